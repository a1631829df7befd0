"""The options of commands that train, and the settings that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dtlns.config import checked
from dtlns.training.settings import TrainConfig

F = TypeVar("F", bound=Callable[..., Any])

# option, place in TrainConfig, type, help
_LOOP = [
    ("--epochs", "epochs", int, "Epochs; an upper bound where validation can stop earlier."),
    ("--batch-size", "batch_size", int, "Training pairs in a batch."),
    ("--lr", "learning_rate", float, "Learning rate of Adam."),
    ("--l2", "l2", float, "Weight of the L2 term."),
    ("--dimensions", "model.dimensions", int, "Embedding size."),
    ("--layers", "model.layers", int, "Propagation layers (LightGCN)."),
    ("--n-candidates", "sampler.candidates", int, "Uniform candidates N of a score-based sampler."),
    ("--seed", "seed", int, "Seed."),
]


def loop_options(defaults: TrainConfig) -> Callable[[F], F]:
    """Add the options of the training loop, with the defaults that the settings have."""

    def decorate(command: F) -> F:
        for flag, place, kind, text in reversed(_LOOP):
            default = _get(defaults, place)
            command = click.option(
                flag, place.replace(".", "__"), type=kind, default=default, show_default=True, help=text
            )(command)
        return command

    return decorate


def settings_from(defaults: TrainConfig, options: dict[str, Any]) -> TrainConfig:
    """Make settings from defaults and command-line values; `a__b` stands for the place `a.b`.

    Raises:
        ConfigError: A value is not allowed.
    """
    values = defaults.model_dump()
    for place, value in options.items():
        *parents, last = place.split("__")
        target = values
        for parent in parents:
            target = target[parent]
        target[last] = value
    return checked(TrainConfig, values, "command line")


def _get(settings: Any, place: str) -> Any:
    for part in place.split("."):
        settings = getattr(settings, part)
    return settings
