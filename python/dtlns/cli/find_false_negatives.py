"""`dtlns find-false-negatives`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click

from dtlns.artifacts import open_artifact
from dtlns.cli import options
from dtlns.cli.hidden import hidden_folder, hidden_positives
from dtlns.config import CalibrationConfig
from dtlns.errors import ConfigError
from dtlns.false_negative_model.classifier import KINDS, Kind
from dtlns.false_negative_model.features import GROUPS, Group
from dtlns.stages.calibration import KIND as CALIBRATION
from dtlns.stages.candidates import KIND as CANDIDATES
from dtlns.stages.false_negative_model import write_found
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.pretrain import KIND as PRETRAINED
from dtlns.stages.trees import KIND as TREES


@click.command("find-false-negatives")
@click.argument("candidates", type=options.FOLDER)
@options.output
@click.option("--pretrained", type=options.FOLDER, required=True, help="The model of the candidates.")
@click.option("--trees", type=options.FOLDER, help="From `dtlns build-trees`, for features of trees.")
@click.option("--judged", type=options.FOLDER, help="From `dtlns judge`, for features of a judge.")
@click.option(
    "--calibration",
    "calibrations",
    multiple=True,
    type=options.FOLDER,
    help="From `dtlns calibrate`, of that judge, one for each hiding.",
)
@options.hidden
@click.option(
    "--hidings",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Hide so many times, pretraining each time, for more positives to fit on. Those after the first "
    "are kept beside it.",
)
@click.option(
    "--features",
    "groups",
    multiple=True,
    type=click.Choice(GROUPS),
    help="Group of features; may be given again.  [default: all; trees and judge where they are given]",
)
@click.option(
    "--classifier",
    type=click.Choice(KINDS),
    default="boosting",
    show_default=True,
    help="Gradient-boosted trees, or logistic regression.",
)
@options.seed
@options.device
@options.as_json
@options.force
def command(
    candidates: Path,
    out: Path,
    pretrained: Path,
    trees: Path | None,
    judged: Path | None,
    calibrations: tuple[Path, ...],
    hidden: Path | None,
    hidings: int,
    groups: tuple[str, ...],
    classifier: str,
    seed: int,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Find false negatives for the users of CANDIDATES, with a model fitted on hidden positives."""
    options.log_to_stderr()
    found = open_artifact(candidates, CANDIDATES)
    model = open_artifact(pretrained, PRETRAINED)
    codes = None if trees is None else open_artifact(trees, TREES)
    if (judged is None) != (not calibrations):
        raise ConfigError(
            "a judge's chances and their calibration belong together",
            allowed="both --judged and --calibration, or neither",
        )
    judge = None
    if judged is not None:
        judge = open_artifact(judged, JUDGED), [open_artifact(path, CALIBRATION) for path in calibrations]
    first = hidden_folder(out, hidden)
    without = [hidden_positives(found, first, device, CalibrationConfig(), as_it_is=True)]
    told = without[0].config
    for number in range(2, hidings + 1):
        seed_of = int(told["seed"]) + number - 1
        again = CalibrationConfig(share=told["share"], by=told["by"], seed=seed_of)
        folder = first.with_name(f"{first.name}-{number}")
        without.append(hidden_positives(found, folder, device, again, as_it_is=True))
    written = write_found(
        out,
        found,
        model,
        without,
        trees=codes,
        judge=judge,
        groups=cast(tuple[Group, ...], groups) or None,
        classifier=cast(Kind, classifier),
        seed=seed,
        if_exists=options.if_exists(force),
    )
    measured = json.loads((written.path / "measured.json").read_bytes())
    options.emit(measured, as_json, lambda: _describe(measured))


def _describe(measured: dict[str, Any]) -> str:
    return (
        f"{measured['pairs']} candidates, {measured['positives']} of the {measured['hidden_interactions']} "
        "hidden positives among them; on users that the fit has not seen:\n"
        f"AUC {measured['auc']:.3f}, average precision {measured['average_precision']:.4f}, "
        f"lift in the best 1 % {measured['lift_at_top_1_percent']:.1f}"
    )
