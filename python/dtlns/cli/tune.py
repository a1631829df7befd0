"""`dtlns tune`."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from dtlns.cli import options
from dtlns.search.checks import point_text
from dtlns.search.config import load_tune_config
from dtlns.search.report import duration, machine_summary, summary
from dtlns.search.runner import tune_in
from dtlns.search.trials import SearchResult
from dtlns.training.progress import Progress, stderr_progress


@click.command("tune")
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@options.output
@click.option("--trials", type=click.IntRange(min=1), help="Trials, those of earlier calls included.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds after which no trial begins."
)
@options.device
@options.as_json
def command(
    config: Path, out: Path, trials: int | None, timeout: float | None, device: str, as_json: bool
) -> None:
    """Search for the settings with the best validation value, as CONFIG (a TOML file) says.

    The folder gets best.toml, which `dtlns train --config` reads, and trials.csv. The same command goes on
    after an interruption, and with more --trials after the end. Test is never looked at.
    """
    options.log_to_stderr()
    settings = load_tune_config(config)
    display = _Display(trials or settings.trials)
    result, train = tune_in(
        out,
        settings,
        base=config.resolve().parent,
        trials=trials,
        timeout=timeout,
        device=device,
        progress=display.epoch,
        ended=display.trial,
        source=str(config),
    )
    best = result.best
    assert best is not None  # tune_in raises without one
    options.emit(machine_summary(result, best, train), as_json, lambda: summary(result, best, train))


class _Display:
    """Tells on stderr how a search goes: epochs now and then, and a line for each trial.

    Args:
        trials: How many there shall be at most.
    """

    def __init__(self, trials: int) -> None:
        self._trials = trials
        self._show = stderr_progress()

    def epoch(self, number: int, state: Progress) -> None:
        """Show an epoch; the last one of a trial is told by the trial's own line."""
        if state.seconds_left > 0.0:
            self._show(state)

    def trial(self, result: SearchResult) -> None:
        """Show the trial that ended last."""
        last, best = result.trials[-1], result.best
        count = min(self._trials, math.prod(axis.size for axis in result.space.values()))
        told = f"{result.metric} {last.value:.4f}" if last.value is not None else f"failed: {last.failure}"
        if last.state == "pruned":
            told += " (pruned)"
        parts = [f"trial {last.number} of {count}: {told}"]
        if best is not None:
            parts.append(
                "the best so far" if best is last else f"best {best.value:.4f} in trial {best.number}"
            )
        parts.append(point_text(last.point))
        parts.append(f"as trial {last.repeats}" if last.repeats else duration(last.seconds))
        left = (count - last.number) * sum(trial.seconds for trial in result.trials) / last.number
        if left >= 1.0:
            parts.append(f"about {duration(left)} left")
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        click.echo(clear + " · ".join(parts), err=True)
