"""`dtlns calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dtlns.artifacts import open_artifact
from dtlns.cli import options
from dtlns.cli.hidden import hidden_folder, hidden_positives
from dtlns.config import CalibrationConfig, checked
from dtlns.judges.registry import prepared
from dtlns.stages.calibration import load_calibration, write_calibration
from dtlns.stages.candidates import KIND as CANDIDATES
from dtlns.stages.candidates import load_candidates
from dtlns.stages.hidden import check_calibration
from dtlns.stages.trees import KIND as TREES


@click.command("calibrate")
@click.argument("candidates", type=options.FOLDER)
@options.output
@click.option("--trees", type=options.FOLDER, required=True, help="From `dtlns build-trees`.")
@click.option("--judge", default="prefix", show_default=True, help="Judge.")
@options.judge_options
@click.option("--share", type=float, default=0.1, show_default=True, help="Share of each history to hide.")
@click.option(
    "--hide",
    "by",
    type=click.Choice(["auto", "random", "latest"]),
    default="auto",
    show_default=True,
    help="Which interactions to hide; auto follows the data set's own split.",
)
@options.hidden
@options.calibration_users
@options.seed
@options.device
@options.as_json
@options.force
def command(
    candidates: Path,
    out: Path,
    trees: Path,
    judge: str,
    judge_options: tuple[str, ...],
    share: float,
    by: str,
    hidden: Path | None,
    users: int | None,
    seed: int,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Learn what a judge's scores are worth: the chance that a candidate is a positive that was hidden.

    Hides a share of each user's training interactions, rebuilds the pipeline behind CANDIDATES without them,
    and measures the fit on users that it has not seen.
    """
    options.log_to_stderr()
    settings = checked(
        CalibrationConfig, {"share": share, "by": by, "seed": seed, "users": users}, "command line"
    )
    asked = options.judge_from(judge, judge_options)  # refused before the training, not after it
    found, codes = open_artifact(candidates, CANDIDATES), open_artifact(trees, TREES)
    check_calibration(load_candidates(found)[1], settings)
    exists = options.if_exists(force)
    with prepared(asked):
        without = hidden_positives(found, hidden_folder(out, hidden), device, settings)
        artifact = write_calibration(out, found, codes, without, asked, users=users, if_exists=exists)
    calibration, measured = load_calibration(artifact)
    options.emit(measured, as_json, lambda: describe(measured, calibration.to_json()))


def describe(measured: dict[str, Any], fitted: dict[str, Any]) -> str:
    """Say in words what a calibration found."""
    weights = ", ".join(f"{c} {w:.3f}" for c, w in zip(fitted["columns"], fitted["weights"], strict=True))
    within = measured.get("auc_within_users")
    looked = measured.get("looked_at")
    lines = [
        f"{measured['positives']} of {measured['hidden_interactions']} hidden positives are among "
        f"{measured['pairs']} candidates of {measured['users']} users: base rate {measured['base_rate']:.4f}",
        *(
            []
            if looked is None
            else [
                f"the judge looked at {looked['pairs']} of them, base rate {looked['base_rate']:.4f}; the "
                "others have the chance of its other columns"
            ]
        ),
        "on users that the fit has not seen:",
        f"  AUC                    {measured['auc']:.3f}",
        *([] if within is None else [f"  AUC within users       {within:.3f}"]),
        f"  average precision      {measured['average_precision']:.4f}",
        f"  lift in the top 1 %    {measured['lift_at_top_1_percent']:.2f}",
        f"  calibration error      {measured['calibration_error']:.5f}",
        "  predicted → observed   "
        + ", ".join(f"{b['predicted']:.4f} → {b['observed']:.4f}" for b in measured["reliability"]),
        f"weights in the logit: {weights}",
    ]
    return "\n".join(lines)
