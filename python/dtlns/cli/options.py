"""Options and outputs that several commands share."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from dtlns.cli.fit_options import named_values
from dtlns.config import JudgeConfig
from dtlns.judges.base import Judge
from dtlns.judges.registry import build_judge

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
output = click.option("-o", "--output", "out", type=FOLDER, required=True, help="Folder to write.")
force = click.option("--force", is_flag=True, help="Replace an artefact that is there.")
seed = click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU when there is one.",
)
hidden = click.option(
    "--hidden",
    type=FOLDER,
    help="Where the hidden positives and the model pretrained without them are kept; judges and controls may "
    "share it.  [default: OUTPUT-hidden]",
)


calibration_users = click.option(
    "--users",
    type=click.IntRange(min=1),
    help="Calibrate on so many users, drawn among all: a judge that costs something is asked about them "
    "alone.  [default: all]",
)
judge_options = click.option(
    "--judge-option",
    "judge_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the judge, such as model=FOLDER for llm; may be given again.",
)


def judge_from(name: str, texts: Iterable[str]) -> Judge:
    """Make a judge from --judge and --judge-option."""
    return build_judge(JudgeConfig(name=name, options=named_values("--judge-option", texts)))


def log_to_stderr() -> None:
    """Send the package's log lines, and warnings, to stderr; stdout is for data."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("dtlns")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    warnings.showwarning = lambda message, *_, **__: click.echo(f"warning: {message}", err=True)


class _Lines(logging.Formatter):
    """A plain line; what is more than information says so."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def emit(value: Any, as_json: bool, human: Callable[[], str]) -> None:
    """Print a result: JSON for machines, or text for people."""
    click.echo(json.dumps(value, indent=2, sort_keys=True) if as_json else human())


def where(dataset: Path, out: Path) -> dict[str, str]:
    """Return the fact for `run.json` that leads from an output folder back to its data set."""
    return {"dataset": os.path.relpath(dataset.resolve(), out.resolve())}


def if_exists(force: bool) -> Any:
    """Translate `--force`."""
    return "replace" if force else "error"
