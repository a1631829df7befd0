"""What is trained in the recipe `best`: settings of arms, of a trial, and of what goes on after it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact
from dtlns.config import Arm, BestConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.evaluation.selector import Selector
from dtlns.rehearsal import rehearse, rehearse_training
from dtlns.stages.selection import select_false_negatives
from dtlns.training.settings import TrainConfig
from dtlns.training.streams import derive

SMALLER = 0.25  # the step size of what goes on; an arm's epochs are small samples, which full steps follow


def check_best(config: BestConfig) -> None:
    """Refuse settings that would change nothing, or that do not fit together; before any work.

    Args:
        config: The run.

    Raises:
        ConfigError: A name is unknown, an arm is there twice or does not fit the host, or a setting has no
            place in the recipe.
    """
    host = config.train
    for place, value, wanted, why in (
        ("train.false_negatives", host.false_negatives, "ignore", "arms say what is done with them"),
        ("train.refresh_every", host.refresh_every, 0, "false negatives are found once"),
        ("train.tune", host.tune, False, "the arms are what is chosen"),
        ("train.sampler.multi_view", host.sampler.multi_view, False, "the trees are features here"),
        ("calibration.users", config.calibration.users, None, "no judge is asked"),
    ):
        if value != wanted:
            raise ConfigError(
                f"{place} = {value!r} in the recipe best", allowed=str(wanted).lower(), hint=why
            )
    names = [arm.name for arm in config.arms]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"the arm {twice} is there twice", hint="leave one out, or change it")
    Selector.parse(config.metric)
    rehearse(config.pretrain, [], [(host, config.trees)])
    for arm in config.arms:
        try:
            rehearse_training(with_arm(host, arm), config.trees.views, config.trees.branching)
        except ConfigError as error:
            raise ConfigError(
                f"the arm {arm.name} does not fit the host: {error.what}",
                allowed=error.allowed,
                hint="give arms of your own: [[arms]], a temperature only where the host's loss has one",
            ) from error


def with_arm(host: TrainConfig, arm: Arm, size: float = 1.0) -> TrainConfig:
    """Return the host's settings with an arm: false negatives by chance, and its temperature.

    Args:
        host: The plain host.
        arm: How false negatives are used.
        size: Pairs in an epoch with the arm, by those without. Epochs are so many more that there are as many
            pairs in all, and in each of the times between two validations.
    """
    changes: dict[str, Any] = {
        "false_negatives": "sampled",
        "observed": arm.observed,
        "epochs": math.ceil(host.epochs / size),
        "validate_every": math.ceil(host.validate_every / size),
    }
    if arm.temperature is not None:
        told = host.loss.options | {"temperature": arm.temperature}
        changes["loss"] = host.loss.model_copy(update={"options": told})
    return host.model_copy(update=changes)


def on_trial(config: BestConfig) -> TrainConfig:
    """Return the host's settings in a trial, the same random numbers for all that is tried."""
    host = config.train
    epochs = max(1, round(config.trial * host.epochs))
    return host.model_copy(update={"seed": derive(host.seed, "trial") >> 1, "epochs": epochs})


def going_on(config: BestConfig) -> TrainConfig:
    """Return the host's settings after a trial: smaller steps, and random numbers of their own."""
    host = config.train
    return host.model_copy(
        update={
            "seed": derive(host.seed, "finish") >> 1,
            "epochs": max(1, round(config.finish * host.epochs)),
            "learning_rate": SMALLER * host.learning_rate,
        }
    )


def size_of(arm: Arm, host: TrainConfig, found: Artifact, train: TrainView) -> float:
    """Return how many pairs an epoch has with an arm, by those without; one step at least.

    Args:
        arm: How false negatives are used.
        host: The plain host.
        found: The false negatives, with their chances.
        train: The training interactions.
    """
    pairs = select_false_negatives(found, train.n_users, train.n_items, "sampled", arm.selection)
    size = arm.observed + float(pairs.weights.sum()) / train.n_interactions
    return max(size, min(1.0, host.batch_size / train.n_interactions))


def title_of(host: TrainConfig, arm: Arm | None = None) -> str:
    """Name the host, alone or with an arm, for people."""
    alone = f"{host.model.name}, {host.sampler.name}"
    if arm is None:
        return alone
    how = f"weight {arm.weight:g}" if arm.weight is not None else f"c = {arm.scale:g}"
    observed = "" if arm.observed == 1 else f", observed {arm.observed:g}"
    temperature = "" if arm.temperature is None else f", temperature {arm.temperature:g}"
    return f"{alone} + best {arm.top} false negatives, {how}{observed}{temperature}"


def better(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether a model is better than another by more than the standard error of their difference.

    Args:
        one: float64 [B], a metric of each user under the model.
        other: float64 [B], the same under the other one.
    """
    difference = one - other
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() > error)
