"""Models, samplers, losses and judges by name: each is one entry point, our own and a third party's alike."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from dtlns.errors import ConfigError

GROUPS = ("dtlns.models", "dtlns.samplers", "dtlns.losses", "dtlns.judges")


def plugin_names(group: str) -> list[str]:
    """Return the names that are registered in a group, sorted.

    Args:
        group: One of `GROUPS`.

    Example:
        >>> "mf" in plugin_names("dtlns.models")
        True
    """
    return sorted({entry.name for entry in entry_points(group=group)})


def load_plugin(group: str, name: str) -> Any:
    """Import what is registered under a name.

    Args:
        group: One of `GROUPS`.
        name: The entry point's name, such as `lightgcn`.

    Returns:
        The object that the entry point names, usually a class.

    Raises:
        ConfigError: Nothing, or more than one thing, is registered under that name, or importing it fails.
    """
    found = {entry.value: entry for entry in entry_points(group=group, name=name)}
    kind = _kind(group)
    if not found:
        raise ConfigError(
            f"unknown {kind} {name!r}",
            allowed=", ".join(plugin_names(group)) or f"nothing: no entry point in {group}",
            hint=f"a plug-in registers itself as an entry point in the group {group}",
        )
    if len(found) > 1:
        raise ConfigError(f"{kind} {name!r} is registered more than once: {', '.join(sorted(found))}")
    (entry,) = found.values()
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{kind} {name!r} ({entry.value}) cannot be imported: {error}") from error


def check_options(group: str, name: str, plugin: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that a plug-in does not read; it lists those that it reads in `option_names`.

    Args:
        group: One of `GROUPS`.
        name: What the plug-in is called.
        plugin: What its entry point names.
        options: The table `options` of its settings.

    Raises:
        ConfigError: An option is not among `plugin.option_names`.
    """
    known = tuple(getattr(plugin, "option_names", ()))
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{_kind(group)} {name!r} has no option {unknown[0]!r}", allowed=", ".join(known) or "no options"
        )


def _kind(group: str) -> str:
    return "loss" if group == "dtlns.losses" else group.rpartition(".")[2].removesuffix("s")
