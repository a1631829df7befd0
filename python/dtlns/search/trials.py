"""What a search has tried, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dtlns.recipe import Recipe
from dtlns.search.space import Point, Space, at_point

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """One point that was tried.

    Attributes:
        number: From 1, in the order of proposals.
        point: Values by dotted place.
        state: `pruned` when it was stopped because others were better at the same epoch; `failed` when
            training could not go on.
        curve: Validation values by epoch; epoch 0 for a model without epochs.
        seconds: How long it took.
        repeats: Number of an earlier trial with the same point, whose outcome was taken over, or None.
        failure: Why training failed, or None.
    """

    number: int
    point: Point
    state: State
    curve: Mapping[int, float]
    seconds: float
    repeats: int | None = None
    failure: str | None = None

    @property
    def value(self) -> float | None:
        """The best validation value; None where training failed."""
        return None if self.state == "failed" else max(self.curve.values(), default=None)

    @property
    def best_epoch(self) -> int | None:
        """The first epoch with that value."""
        return next((epoch for epoch, value in self.curve.items() if value == self.value), None)


@dataclass(frozen=True)
class SearchResult:
    """Where a search stands.

    Attributes:
        metric: Name of the validation number, such as `recall@20`.
        base: What all trials share.
        space: What they differ in.
        trials: All that have ended, by number.
        importance: Share of each place in what the value depends on (PED-ANOVA, Watanabe et al., IJCAI 2023);
            None before the end, or where too few trials are complete to say.
    """

    metric: str
    base: Recipe
    space: Space
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] | None = None

    @property
    def best(self) -> Trial | None:
        """The complete trial with the highest value, the first of equals; None without a complete one."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    def recipe(self, trial: Trial) -> Recipe:
        """Return the full settings of a trial, with which it can be trained again.

        Args:
            trial: One of `trials`.
        """
        return at_point(self.base, trial.point)
