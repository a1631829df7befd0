"""The search itself: Optuna proposes a point, it is trained, and its validation value is told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dtlns.data.views import TrainView
from dtlns.errors import InputError, TrainingError
from dtlns.recipe import Recipe
from dtlns.samplers.registry import needs_codes
from dtlns.search.checks import JudgedLike, check_search
from dtlns.search.parsing import parse_space
from dtlns.search.record import Proposal, Record, open_record
from dtlns.search.space import Axis, Scalar, at_point, describe
from dtlns.search.trials import SearchResult, State, Trial
from dtlns.training.device import resolve_device
from dtlns.training.identity import run_identity
from dtlns.training.progress import Progress
from dtlns.training.trainer import train as fit
from dtlns.trees import PathCodes

if TYPE_CHECKING:
    from dtlns.training.loop import SelectorLike

_PATIENCE = 3  # validations of a trial before it may be pruned: small learning rates begin slowly
_Run = Callable[[Recipe, Callable[[Progress], None]], float]


class _PrunedError(Exception):
    """Leaves a training that is not worth going on with."""


def tune(
    train: TrainView,
    selector: SelectorLike,
    base: Recipe,
    space: Mapping[str, Axis | list[Scalar] | Mapping[str, Any]],
    *,
    codes: Mapping[str, PathCodes] | None = None,
    judged: JudgedLike | None = None,
    trials: int = 30,
    timeout: float | None = None,
    seed: int = 0,
    pruning: bool = True,
    folder: Path | None = None,
    device: str | torch.device = "auto",
    progress: Callable[[int, Progress], None] | None = None,
    ended: Callable[[SearchResult], None] | None = None,
    source: str = "tune",
) -> SearchResult:
    """Search for the settings with the best validation value, with a tree-structured Parzen estimator.

    A space with at most `trials` points is tried out. In others, points come from Optuna's `TPESampler`
    (Bergstra et al., NIPS 2011), each from a seed of its own: what is proposed depends on the trials before
    and on nothing else, so that an interrupted search goes on to the trials of one that was not. A point that
    is proposed again is not trained again. A trial whose training cannot go on, such as one with too large
    a learning rate, has failed, and the search goes on.

    Args:
        train: The training interactions.
        selector: Rates scorers by validation; all that a search learns of held-out pairs.
        base: What all trials share.
        space: Places in the recipe, each with a list of values or a range; see `parse_space`.
        codes: Path codes by view name, for the samplers that need them.
        judged: Judged candidates, where false negatives are used.
        trials: Trials that shall have ended, those of earlier calls with the same folder included.
        timeout: Seconds after which no new trial begins, but for the very first.
        seed: Of the proposals; that of training is `base.train.seed`.
        pruning: Stop a trial whose best validation value is below the median of the complete trials at the
            same epoch (Optuna's `MedianPruner`), when five are complete and after three validations.
        folder: Gets `study.db`, from which a later call goes on; None keeps everything in memory. One process
            at a time may work there (`dtlns.lock.alone`).
        device: Where to train.
        progress: Called after each epoch, with the trial's number.
        ended: Called after each trial, with all that have ended.
        source: Where the settings come from, for messages.

    Returns:
        All trials and, through `best` and `recipe`, the best settings.

    Raises:
        InputError: `trials` is not positive.
        ConfigError: The space does not fit the settings, a point cannot be trained, or the folder holds a
            search with other settings or data.
        TrainingError: Not a single trial is complete.

    Example:
        >>> import numpy as np, scipy.sparse as sp
        >>> from dtlns.data.views import ValidView
        >>> from dtlns.evaluation.selector import Selector
        >>> from dtlns.training.settings import ModelConfig, TrainConfig
        >>> view = TrainView.from_csr(sp.csr_array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]))
        >>> valid = ValidView(np.array([0, 1, 1, 1]), np.array([1], np.uint32), 3)
        >>> base = Recipe(train=TrainConfig(model=ModelConfig(name="ease")))
        >>> found = tune(view, Selector(view, valid), base, {"train.model.options.l2": [1.0, 10.0]})
        >>> [trial.value for trial in found.trials]
        [1.0, 1.0]
    """
    if trials < 1:
        raise InputError(f"trials is {trials}", allowed="1 or more")
    axes = parse_space(space, source)
    check_search(base, axes, codes or {}, judged, source)
    where = device if isinstance(device, torch.device) else resolve_device(device)
    identity = run_identity(train, base.train, codes or {}, None, where, selector)
    identity["train"] = identity.pop("settings")
    identity |= {"selection": base.selection.model_dump(), "space": describe(axes)}
    identity |= {"seed": seed, "pruning": pruning, "judged": None if judged is None else judged.digest}

    def run(recipe: Recipe, tell: Callable[[Progress], None]) -> float:
        settings, chosen = recipe.train, (recipe.train.false_negatives, recipe.selection)
        using = judged if settings.false_negatives != "ignore" else None
        model = fit(
            train,
            settings,
            selector=selector,
            codes=codes if needs_codes(settings.sampler) else None,
            false_negatives=None if using is None else using.select(*chosen),
            refresh=using.refresher(*chosen) if using is not None and settings.refresh_every else None,
            device=where,
            progress=tell,
        )
        assert model.best_value is not None  # there is a selector
        return model.best_value

    recipe = base.model_copy(update={"metric": selector.name})
    points = math.prod(axis.size for axis in axes.values())
    prune_from = _PATIENCE * base.train.validate_every if pruning else None
    with open_record(folder, identity, axes, seed, prune_from) as record:
        started = time.monotonic()
        while len(record.trials) < trials and record.points < points:
            if record.trials and timeout is not None and time.monotonic() - started >= timeout:
                break
            _try(record.propose(all_points=points <= trials), record, recipe, run, progress)
            if ended is not None:
                ended(SearchResult(selector.name, recipe, axes, tuple(record.trials)))
        result = SearchResult(selector.name, recipe, axes, tuple(record.trials), record.importance())
    if result.best is None:
        raise _nothing(result)
    return result


def _try(
    proposal: Proposal,
    record: Record,
    base: Recipe,
    run: _Run,
    progress: Callable[[int, Progress], None] | None,
) -> None:
    """Do one trial."""
    if proposal.earlier is not None:
        for epoch, value in proposal.earlier.curve.items():
            proposal.report(epoch, value)
        again = replace(
            proposal.earlier, number=proposal.number, repeats=proposal.earlier.number, seconds=0.0
        )
        record.end(proposal, again)
        return

    def tell(state: Progress) -> None:
        stop = False
        if state.value is not None:
            proposal.report(state.epoch, state.value)
            stop = state.seconds_left > 0.0 and proposal.hopeless()
        if progress is not None:
            progress(proposal.number, replace(state, seconds_left=0.0) if stop else state)
        if stop:
            raise _PrunedError

    started = time.monotonic()
    outcome: State = "complete"
    failure = None
    try:
        value = run(at_point(base, proposal.point), tell)
        if not proposal.curve:  # a model without epochs
            proposal.report(0, value)
    except _PrunedError:
        outcome = "pruned"
    except TrainingError as error:
        outcome, failure = "failed", error.what
    seconds = round(time.monotonic() - started, 3)
    record.end(
        proposal,
        Trial(proposal.number, proposal.point, outcome, proposal.curve, seconds, failure=failure),
    )


def _nothing(result: SearchResult) -> TrainingError:
    """Say why there is no best trial."""
    failed = [trial for trial in result.trials if trial.state == "failed"]
    return TrainingError(
        f"all {len(failed)} trials failed, the first with: {failed[0].failure}",
        hint="search smaller learning rates",
    )
