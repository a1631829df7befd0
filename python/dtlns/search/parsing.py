"""The table `[space]`, checked against the settings that it names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from dtlns.errors import ConfigError
from dtlns.recipe import Recipe
from dtlns.search.space import Axis, Choice, Range, Scalar

_RANGE = ("low", "high", "log", "step")
_FORM = "a list of values, or a table { low, high, log, step }"
_NEVER = {
    "metric": "the metric is what decides, so it is not searched",
    "train.seed": "the best of several seeds is luck: compare seeds with `dtlns compare`",
    "train.tune": "the search itself chooses options",
}


def parse_space(table: Mapping[str, Any], source: str = "space") -> dict[str, Axis]:
    """Read a search space.

    Args:
        table: Values by dotted place, such as `train.l2` or `selection.top`; tables in tables do as well.
        source: Where it comes from, for messages.

    Returns:
        The axes by place, sorted.

    Raises:
        ConfigError: A place is unknown or may not be searched, or values do not fit it.

    Example:
        >>> parse_space({"train.epochs": [50, 100], "train.l2": {"low": 0.0, "high": 0.1}})["train.l2"]
        Range(low=0.0, high=0.1, log=False, step=None)
    """
    found: dict[str, Axis] = {}
    for place, value in _leaves(table):
        name = f"{source}: {place}"
        if place in found:
            raise ConfigError(f"{name} is there twice")
        if place in _NEVER:
            raise ConfigError(f"{name} cannot be searched", hint=_NEVER[place])
        kind = _kind(place, name)
        found[place] = value if isinstance(value, Axis) else _axis(value, kind, name)
    return dict(sorted(found.items()))


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten tables down to lists and ranges."""
    for key, value in table.items():
        place = f"{prefix}{key}"
        if isinstance(value, Mapping) and not {"low", "high"} & value.keys():
            yield from _leaves(value, f"{place}.")
        else:
            yield place, value


def _kind(place: str, name: str) -> Any:
    """Return the type of the setting at a place."""
    node: Any = Recipe
    done = ""
    for part in place.split("."):
        if isinstance(node, type) and issubclass(node, BaseModel):
            if part not in node.model_fields:
                allowed = [f"{done}{field}" for field in node.model_fields if f"{done}{field}" not in _NEVER]
                raise ConfigError(f"{name} is not a setting", allowed=", ".join(allowed))
            node = _plain(node.model_fields[part].annotation)
        elif get_origin(node) is dict:
            node = _plain(get_args(node)[1])
        else:
            raise ConfigError(
                f"{name} is not a setting", allowed=f"{done.removesuffix('.')}, which has no parts"
            )
        done += f"{part}."
    if isinstance(node, type) and issubclass(node, BaseModel):
        inside = ", ".join(f"{place}.{field}" for field in node.model_fields)
        raise ConfigError(f"{name} is a table of settings", allowed=inside)
    if get_origin(node) is dict:
        raise ConfigError(f"{name} is a table", allowed=f"{place}.NAME")
    return node


def _plain(annotation: Any) -> Any:
    """Strip bounds and `None` off a type; several that are left are `Any`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _plain(kinds[0]) if len(kinds) == 1 else Any
    return annotation


def _axis(value: Any, kind: Any, name: str) -> Axis:
    if isinstance(value, list | tuple) and value:
        return Choice(_choices(value, kind, name))
    if isinstance(value, Mapping):
        return _range(value, kind, name)
    raise ConfigError(f"{name} = {value!r}", allowed=_FORM)


def _choices(values: list[Any] | tuple[Any, ...], kind: Any, name: str) -> tuple[Scalar, ...]:
    for value in values:
        wanted = {bool: "true or false", int: "whole numbers", float: "numbers"}.get(kind)
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = {
            bool: isinstance(value, bool),
            int: whole,
            float: (whole or isinstance(value, float)) and math.isfinite(value),
        }.get(kind, isinstance(value, Scalar))
        if not fits:
            raise ConfigError(f"{name} has {value!r}", allowed=wanted or "numbers, text, true or false")
    chosen = tuple(float(value) for value in values) if kind is float else tuple(values)
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"{name} = {list(values)}", allowed="each value once")
    return chosen


def _range(table: Mapping[str, Any], kind: Any, name: str) -> Range:
    unknown = sorted(table.keys() - {*_RANGE})
    if unknown:
        raise ConfigError(f"{name}: unknown key {unknown[0]!r}", allowed=", ".join(_RANGE))
    missing = sorted({"low", "high"} - table.keys())
    if missing:
        raise ConfigError(f"{name}: {missing[0]} is missing")
    if kind not in (int, float, Any):
        raise ConfigError(f"{name} is no number and has no range", allowed="a list of values")
    numbers = {key: table[key] for key in ("low", "high", "step") if key in table}
    for key, value in numbers.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (kind is not int and isinstance(value, float) and math.isfinite(value))):
            allowed = "a whole number" if kind is int else "a number"
            raise ConfigError(f"{name}: {key} = {value!r}", allowed=allowed)
    if kind is float or any(isinstance(value, float) for value in numbers.values()):
        numbers = {key: float(value) for key, value in numbers.items()}
    axis = Range(**numbers, log=table.get("log", False))
    if not isinstance(axis.log, bool):
        raise ConfigError(f"{name}: log = {axis.log!r}", allowed="true or false")
    if axis.low >= axis.high:
        raise ConfigError(f"{name}: low = {axis.low} and high = {axis.high}", allowed="low below high")
    if axis.log and axis.low <= 0:
        raise ConfigError(f"{name}: low = {axis.low}", allowed="a number above 0, where log = true")
    if axis.step is not None:
        steps = (axis.high - axis.low) / axis.step if axis.step > 0 else 0.0
        if axis.log:
            raise ConfigError(f"{name} has both log and step", allowed="one of them")
        if steps < 1 or abs(steps - round(steps)) > 1e-9 * steps:
            raise ConfigError(f"{name}: step = {axis.step}", allowed="steps that lead from low to high")
    return axis
