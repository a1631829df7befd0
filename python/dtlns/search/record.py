"""The trials of a search as an Optuna study, in memory or in a file that outlives the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from dtlns.errors import ConfigError
from dtlns.search.space import Axis, Choice, Point, Scalar, Space, grid
from dtlns.search.trials import State, Trial
from dtlns.training.streams import derive

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.trial import FrozenTrial, TrialState

    from dtlns.search.storage import kept_study
except ImportError as missing:
    raise ConfigError("a search needs Optuna", hint="pip install 'dtlns[tune]'") from missing

_MANY = 20  # complete trials; importances of fewer are mostly noise
_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_NOTES = ("seconds", "repeats", "failure")  # what we write down of a trial beside what Optuna does


class Record:
    """All trials of a search.

    Args:
        study: Where they are, and where the next ones happen.
        keep: Writes down one that has ended, or None.
        space: Axes by place.
        seed: Of the proposals.

    Attributes:
        trials: Those that have ended, by number.
    """

    def __init__(
        self, study: optuna.Study, keep: Callable[[FrozenTrial], None] | None, space: Space, seed: int
    ) -> None:
        self._study = study
        self._keep = keep
        self._space = space
        self._distributions = {place: _distribution(axis) for place, axis in space.items()}
        self._seed = seed
        self.trials = [self._read(trial) for trial in study.get_trials(deepcopy=False)]
        self._first = {self._key(trial.point): trial for trial in reversed(self.trials)}

    @property
    def points(self) -> int:
        """How many different points were tried."""
        return len(self._first)

    def propose(self, *, all_points: bool) -> Proposal:
        """Begin the next trial.

        Args:
            all_points: Take the points of a finite space one after the other.
        """
        number = len(self.trials) + 1
        if all_points:
            untried = next(point for point in grid(self._space) if self._key(point) not in self._first)
            self._study.sampler = _Given(untried)
        else:
            # A sampler for each trial, keyed by its number, has no state that an interruption could lose.
            key = derive(self._seed, "search", number) % 2**32
            self._study.sampler = optuna.samplers.TPESampler(seed=key)
        live = self._study.ask(self._distributions)
        point = {place: live.params[place] for place in self._distributions}
        return Proposal(live, number, point, self._first.get(self._key(point)))

    def end(self, proposal: Proposal, trial: Trial) -> None:
        """Write down how a trial ended."""
        for name in _NOTES:
            proposal.live.set_user_attr(name, getattr(trial, name))
        value = trial.value if trial.state == "complete" else None
        ended = self._study.tell(proposal.live, value, _STATES[trial.state])
        if self._keep is not None:
            self._keep(ended)
        self.trials.append(trial)
        self._first.setdefault(self._key(trial.point), trial)

    def importance(self) -> dict[str, float] | None:
        """Say how much of the value depends on each place; None where too few trials are complete."""
        if len(self._distributions) < 2 or sum(trial.state == "complete" for trial in self.trials) < _MANY:
            return None
        return optuna.importance.get_param_importances(self._study)

    def _read(self, trial: FrozenTrial) -> Trial:
        return Trial(
            number=trial.number + 1,
            point={place: trial.params[place] for place in self._distributions},
            state=next(state for state, theirs in _STATES.items() if theirs == trial.state),
            curve=dict(sorted(trial.intermediate_values.items())),
            **{name: trial.user_attrs[name] for name in _NOTES},
        )

    def _key(self, point: Point) -> tuple[Any, ...]:
        return tuple(point[place] for place in self._distributions)


class _Given(optuna.samplers.RandomSampler):
    """Proposes one point."""

    def __init__(self, point: Point) -> None:
        super().__init__()
        self._point = point

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Scalar:
        """Return the point's value at a place."""
        return self._point[param_name]


class Proposal:
    """A trial that has begun.

    Attributes:
        live: Optuna's side of it.
        number: From 1.
        point: Values by place.
        earlier: A trial at the same point that has ended, or None.
        curve: Validation values by epoch, so far.
    """

    def __init__(self, live: optuna.Trial, number: int, point: Point, earlier: Trial | None) -> None:
        self.live = live
        self.number = number
        self.point = point
        self.earlier = earlier
        self.curve: dict[int, float] = {}

    def report(self, epoch: int, value: float) -> None:
        """Add a validation value."""
        self.curve[epoch] = value
        self.live.report(value, epoch)

    def hopeless(self) -> bool:
        """Tell whether the trial is not worth going on with."""
        return self.live.should_prune()


@contextmanager
def open_record(
    folder: Path | None, identity: Mapping[str, Any], space: Space, seed: int, prune_from: int | None
) -> Iterator[Record]:
    """Open the record of a search, or begin one.

    Trials happen in memory and are written when they have ended, each in one transaction. So one that was
    running when its process was killed has never been, and is done again.

    Args:
        folder: Where `study.db` is; None keeps everything in memory.
        identity: What the search is, as JSON values; one with another identity is not gone on with.
        space: Axes by place.
        seed: Of the proposals.
        prune_from: First epoch at which a trial may be pruned; None never prunes.

    Raises:
        ConfigError: The file holds another search.
        ArtifactError: The file cannot be read.
    """
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if prune_from is not None:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=prune_from)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # who called tells of trials
    try:
        study = optuna.create_study(direction="maximize", pruner=pruner)
        with nullcontext((None, None)) if folder is None else kept_study(folder, identity) as (known, keep):
            study.add_trials(known or ())
            yield Record(study, keep, space, seed)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.values)
    if isinstance(axis.low, int):
        return IntDistribution(axis.low, int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)
