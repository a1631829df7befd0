"""What a search leaves: the table of its trials, the best settings, and a summary for eyes or machines."""

from __future__ import annotations

import csv
import io
from typing import Any

from dtlns.recipe import recipe_toml
from dtlns.search.space import Choice
from dtlns.search.trials import SearchResult, Trial


def trials_csv(result: SearchResult) -> str:
    """Return the trials as CSV, one line each."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    facts = ("number", "state", "value", "best_epoch", "seconds", "repeats")
    writer.writerow([*facts, *result.space, "failure"])
    for trial in result.trials:
        told = [getattr(trial, name) for name in facts]
        writer.writerow([*told, *(trial.point[place] for place in result.space), trial.failure])
    return out.getvalue()


def best_toml(result: SearchResult, best: Trial, command: str) -> str:
    """Return the settings of the best trial as a recipe.

    Args:
        result: The search.
        best: Its best trial.
        command: How to train it.
    """
    return (
        f"# Trial {best.number} of {len(result.trials)}: validation {result.metric} {best.value:.4f}"
        f"{_epoch(best)}. To train it:\n# {command}\n{recipe_toml(result.recipe(best))}"
    )


def summary(result: SearchResult, best: Trial, command: str) -> str:
    """Return what came out, for people.

    Args:
        result: The search.
        best: Its best trial.
        command: How to train it.
    """
    seconds = sum(trial.seconds for trial in result.trials)
    rows = [["", "best", "searched", *(["importance"] if result.importance else [])]]
    for place, axis in result.space.items():
        value = best.point[place]
        ends = axis.values if isinstance(axis, Choice) else (axis.low, axis.high)
        searched = (", " if isinstance(axis, Choice) else " to ").join(map(_text, ends))
        share = [f"{result.importance[place]:.2f}"] if result.importance else []
        rows.append([place, _text(value), searched, *share])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        [
            f"{counts(result)}, {duration(seconds)}",
            f"best: validation {result.metric} {best.value:.4f} in trial {best.number}{_epoch(best)}",
            "",
            *(line.rstrip() for line in lines),
            "",
            f"Train it: {command}",
            "Validation chose the settings and the epoch, so its number flatters; test was not looked at.",
        ]
    )


def machine_summary(result: SearchResult, best: Trial, command: str) -> dict[str, Any]:
    """Return what came out as JSON values; arguments as for `summary`."""
    return {
        "metric": result.metric,
        "best": _plain(best),
        "trials": [_plain(trial) for trial in result.trials],
        "importance": None if result.importance is None else dict(result.importance),
        "command": command,
    }


def counts(result: SearchResult) -> str:
    """Say how many trials ended how.

    Example:
        >>> from dtlns.recipe import Recipe
        >>> trials = (Trial(1, {}, "complete", {5: 0.1}, 1.0), Trial(2, {}, "failed", {}, 1.0))
        >>> counts(SearchResult("recall@20", Recipe(), {}, trials))
        '2 trials: 1 complete, 1 failed'
    """
    states = [trial.state for trial in result.trials]
    found = [
        f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed") if state in states
    ]
    return f"{len(states)} trial{'s' if len(states) > 1 else ''}: {', '.join(found)}"


def duration(seconds: float) -> str:
    """Return seconds for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _epoch(trial: Trial) -> str:
    return f", epoch {trial.best_epoch}" if trial.best_epoch else ""


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "best_epoch": trial.best_epoch,
        "seconds": trial.seconds,
        "repeats": trial.repeats,
        "failure": trial.failure,
        "point": dict(trial.point),
        "curve": [[epoch, value] for epoch, value in trial.curve.items()],
    }
