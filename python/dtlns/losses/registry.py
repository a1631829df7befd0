"""Losses by name."""

from __future__ import annotations

from dtlns.errors import ConfigError
from dtlns.losses.base import Loss
from dtlns.plugins import check_options, load_plugin
from dtlns.training.settings import LossConfig


def build_loss(config: LossConfig, default: str) -> Loss:
    """Make the loss that a configuration names.

    Args:
        config: Its name and options.
        default: The model's own choice, where no name is given.

    Raises:
        ConfigError: No such loss, or it does not read an option.
    """
    name = config.name or default
    kind = load_plugin("dtlns.losses", name)
    if not (isinstance(kind, type) and issubclass(kind, Loss)):
        raise ConfigError(f"loss {name!r} is {kind!r}", allowed="a subclass of dtlns.losses.base.Loss")
    check_options("dtlns.losses", name, kind, config.options)
    return kind.build(config.options)
