"""Which settings are searched: dotted places in a recipe, each with its values; and the points of that."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dtlns.config import checked
from dtlns.recipe import Recipe

Scalar = bool | int | float | str
_LIMIT = 256  # combinations of choices that are all looked at


@dataclass(frozen=True)
class Choice:
    """A list of values, without an order."""

    values: tuple[Scalar, ...]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def all(self) -> Sequence[Scalar]:
        """List the values."""
        return self.values


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; whole ones if both are `int`.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Look at the logarithms.
        step: Distance of two values, or None.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def middle(self) -> float:
        """A value between the ends."""
        step = self._step
        return (self.low + self.high) / 2 if step is None else self.low + step * (int(self.size) // 2)

    @property
    def size(self) -> float:
        """How many values there are; infinite without steps."""
        step = self._step
        return math.inf if step is None else round((self.high - self.low) / step) + 1

    def all(self) -> Sequence[Scalar]:
        """List the values, where there is a step; their last digits are those of a decimal fraction."""
        step, low = self._step, self.low
        assert step is not None
        return [type(low)(f"{low + at * step:.12g}") for at in range(int(self.size))]

    @property
    def _step(self) -> float | None:
        return self.step or (1 if isinstance(self.low, int) else None)


Axis = Choice | Range
Space = Mapping[str, Axis]
Point = Mapping[str, Scalar]


def at_point(base: Recipe, point: Point, source: str = "space") -> Recipe:
    """Return a recipe with the values of a point.

    Args:
        base: Everything else.
        point: Values by dotted place.
        source: Where they come from, for messages.

    Raises:
        ConfigError: A value is not allowed.

    Example:
        >>> at_point(Recipe(), {"train.model.options.temperature": 0.2}).train.model.options
        {'temperature': 0.2}
    """
    values = base.model_dump()
    for place, value in point.items():
        *parents, last = place.split(".")
        target = values
        for parent in parents:
            target = target[parent]
        target[last] = value
    return checked(Recipe, values, source)


def corners(space: Space) -> Iterator[dict[str, Scalar]]:
    """Go through points that show whether a space makes sense.

    All combinations of choices, with ranges in their middle; where there are more than a few hundred, one
    place after the other goes through its choices, and the others keep their first. Then one range after the
    other goes to its ends: all of them at once need not make sense, such as two weights of 0, and are hardly
    ever drawn.

    Args:
        space: The space.
    """
    some = {
        place: axis.values if isinstance(axis, Choice) else (axis.middle,) for place, axis in space.items()
    }
    first = {place: values[0] for place, values in some.items()}
    if math.prod(len(values) for values in some.values()) <= _LIMIT:
        yield from grid({place: Choice(values) for place, values in some.items()})
    else:
        yield first
        yield from (first | {place: value} for place, values in some.items() for value in values[1:])
    for place, axis in space.items():
        if isinstance(axis, Range):
            yield from (first | {place: end} for end in (axis.low, axis.high))


def grid(space: Space) -> Iterator[dict[str, Scalar]]:
    """Go through all points of a space in which every axis has a finite size.

    Args:
        space: The space.

    Example:
        >>> [tuple(point.values()) for point in grid({"a": Choice((True, "x")), "b": Range(0, 4, step=2)})]
        [(True, 0), (True, 2), (True, 4), ('x', 0), ('x', 2), ('x', 4)]
    """
    for values in itertools.product(*(axis.all() for axis in space.values())):
        yield dict(zip(space, values, strict=True))


def describe(space: Space) -> dict[str, Any]:
    """Return a space as JSON values, by which it is recognised."""
    return {place: asdict(axis) for place, axis in space.items()}
