"""`dtlns judge`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dtlns.artifacts import Artifact, open_artifact
from dtlns.cli import options
from dtlns.cli.hidden import hidden_folder, hidden_positives
from dtlns.config import CalibrationConfig
from dtlns.data.dataset import load_dataset
from dtlns.judges.base import Judge
from dtlns.judges.registry import prepared
from dtlns.stages.calibration import KIND as CALIBRATION
from dtlns.stages.calibration import write_calibration
from dtlns.stages.candidates import KIND as CANDIDATES
from dtlns.stages.controls import CONTROLS, Control, write_control
from dtlns.stages.hidden import check_users
from dtlns.stages.judging import calibrated_judge, check_calibrated, write_judged
from dtlns.stages.trees import KIND as TREES


@click.command("judge")
@click.argument("candidates", type=options.FOLDER)
@click.option("-o", "--output", "out", type=options.FOLDER, help="Folder to write.")
@click.option("--trees", type=options.FOLDER, help="From `dtlns build-trees`; needed unless --control.")
@click.option("--judge", "name", default=None, help="Judge.  [default: prefix, or the calibration's]")
@options.judge_options
@click.option(
    "--calibration",
    type=options.FOLDER,
    help="From `dtlns calibrate`. Without it, one is made and kept in OUTPUT-calibration.",
)
@click.option(
    "--control",
    type=click.Choice(CONTROLS),
    help="Chances that come from no judge: no-judge gives all candidates the same, oracle knows the truth of "
    "a planted data set.",
)
@click.option("--data", type=options.FOLDER, help="The planted data set, for --control oracle.")
@options.hidden
@click.option("--show", type=click.IntRange(min=0), metavar="USER", help="Print a user's first prompt.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what asking a language model would cost. For the time, a few prompts are asked, a twentieth at "
    "most or one batch, and their answers kept.",
)
@click.option("--price", type=float, help="Of a million prompt tokens, for --dry-run.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Ask a language model for the I-th of N parts of the users and keep its answers; no artefact is "
    "written. With --hidden, the prompts that calibrating will ask too.",
)
@options.calibration_users
@options.device
@options.as_json
@options.force
def command(
    candidates: Path,
    out: Path | None,
    trees: Path | None,
    name: str | None,
    judge_options: tuple[str, ...],
    calibration: Path | None,
    control: Control | None,
    data: Path | None,
    hidden: Path | None,
    show: int | None,
    dry_run: bool,
    price: float | None,
    shard: str | None,
    users: int | None,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Score CANDIDATES as false negatives: the judge's scores and the calibrated chance p_hidden."""
    options.log_to_stderr()
    if control is not None and (trees or name or calibration or judge_options):
        raise click.UsageError(f"--control {control} takes no --trees, --judge or --calibration")
    if control is None and trees is None:
        raise click.UsageError("Missing option '--trees'.")
    if (data is not None) != (control == "oracle"):
        raise click.UsageError(
            "--control oracle needs --data, the planted data set; without oracle, leave --data out"
        )
    ahead = show is not None or dry_run or shard is not None
    if price is not None and not dry_run:
        raise click.UsageError("--price goes with --dry-run")
    if users is not None and (control or calibration or (ahead and hidden is None)):
        raise click.UsageError("--users is for calibrating: without --control and --calibration")
    found = open_artifact(candidates, CANDIDATES)
    if users is not None:
        check_users(users, found.config["n_users"])
    if ahead and trees is not None:
        from dtlns.cli.asking import look_ahead  # only here is a language model needed

        judge = options.judge_from(name or "llm", judge_options)
        without = None if hidden is None else open_artifact(hidden, "hidden")
        look_ahead(
            judge,
            found,
            open_artifact(trees, TREES),
            without,
            show=show,
            shard=shard,
            users=users,
            dry_run=dry_run,
            price=price,
            as_json=as_json,
        )
        return
    if out is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    exists = options.if_exists(force)
    if control is not None:
        truth = None if data is None else load_dataset(data)
        needed = _hidden(found, out, hidden, device) if control == "no-judge" else None
        write_control(out, found, control, hidden=needed, data=truth, if_exists=exists)
    elif trees is not None:
        codes = open_artifact(trees, TREES)
        fitted = None if calibration is None else open_artifact(calibration, CALIBRATION)
        judge = _judge(name, judge_options, fitted)  # refused before the training, not after it
        with prepared(judge):
            if fitted is None:
                beside = out.with_name(out.name + "-calibration")
                without = _hidden(found, out, hidden, device)
                fitted = write_calibration(
                    beside, found, codes, without, judge, users=users, if_exists="reuse"
                )
            write_judged(out, found, codes, fitted, judge=judge, if_exists=exists)
    summary = json.loads((out / "summary.json").read_bytes())
    options.emit(summary, as_json, lambda: _describe(summary))


def _judge(name: str | None, texts: tuple[str, ...], fitted: Artifact | None) -> Judge:
    if fitted is None:
        return options.judge_from(name or "prefix", texts)
    if name is None and not texts:
        return calibrated_judge(fitted)
    judge = options.judge_from(name or fitted.config["judge"], texts)
    check_calibrated(judge, fitted)
    return judge


def _hidden(found: Artifact, out: Path, hidden: Path | None, device: str) -> Artifact:
    return hidden_positives(found, hidden_folder(out, hidden), device, CalibrationConfig(), as_it_is=True)


def _describe(summary: dict[str, Any]) -> str:
    quantiles = ", ".join(f"{float(q):.0%} {value:.4f}" for q, value in summary["p_hidden_quantiles"].items())
    lines = [
        f"{summary['pairs']} candidates judged",
        f"p_hidden: mean {summary['p_hidden_mean']:.4f}, quantiles {quantiles}",
    ]
    if "score_means" in summary:
        then, now = summary["score_means_when_calibrated"], summary["score_means"]
        both = [name for name in now if None not in (then[name], now[name])]
        shift = ", ".join(f"{name} {then[name]:.2f} → {now[name]:.2f}" for name in both)
        lines.append(f"mean score, when calibrated → here: {shift}")
    return "\n".join(lines)
