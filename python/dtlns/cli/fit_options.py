"""The options of commands that train, and the settings that they make."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Container, Iterable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

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
    ("--layers", "model.layers", int, "Propagation layers, of models that propagate."),
    ("--negatives", "sampler.negatives", int, "Negatives K for each positive."),
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


def named_values(flag: str, texts: Iterable[str]) -> dict[str, Any]:
    """Read options of a model, a sampler or a loss, each written NAME=VALUE.

    A value is written as in TOML; what is not TOML, such as a bare word, is text.

    Args:
        flag: The command-line option, for the message.
        texts: What was given.

    Raises:
        UsageError: There is no `=`, no name, no value, or the name was given before.

    Example:
        >>> named_values("--option", ["l2=100", "similarity=jaccard", "scales=[1, 2]"])
        {'l2': 100, 'similarity': 'jaccard', 'scales': [1, 2]}
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not (name and value):
            raise click.UsageError(f"{flag} {text!r}: write NAME=VALUE, such as l2=100")
        if name in values:
            raise click.UsageError(f"{flag} {name} is given twice")
        try:
            values[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = value
    return values


def given(name: str) -> bool:
    """Tell whether an option of the running command was given, and not left to its default.

    Args:
        name: Of the command's parameter.
    """
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def refuse_loop_options(model: str, usable: Container[str], more: str = "") -> None:
    """Refuse what a model without epochs, such as EASE, cannot use.

    Args:
        model: Its name.
        usable: Names of the parameters that it can use.
        more: What the message says besides on where its options come from.

    Raises:
        UsageError: Another one was given.
    """
    unused = [
        option.opts[0]
        for option in click.get_current_context().command.params
        if option.name not in usable and given(str(option.name))
    ]
    if unused:
        raise click.UsageError(
            f"{model} is a model without epochs and cannot use {', '.join(unused)}; its options are given "
            f"with --option NAME=VALUE{more}"
        )


def _get(settings: Any, place: str) -> Any:
    for part in place.split("."):
        settings = getattr(settings, part)
    return settings
