"""What a draw may know about all items: integer weights, and an order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns._border import id_array
from dtlns.errors import InputError

MASS = 2**32 - 1
"""Largest sum of integer weights."""


@dataclass(frozen=True, eq=False)
class ItemWeights:
    """Integer weights of all items, so that a draw in proportion to them is exact.

    Attributes:
        values: uint32 [I], each at least 1, together below 2^32.

    Raises:
        InputError: The weights are no such integers.

    Example:
        >>> ItemWeights.from_float([1.0, 3.0]).values.tolist()
        [1073741823, 3221225470]
    """

    values: NDArray[np.uint32]

    def __post_init__(self) -> None:
        values = id_array("weights", self.values, 1)
        outside = np.flatnonzero((values < 1) | (values > MASS))
        if outside.size:
            item = outside[0]
            raise InputError(f"item {item} has the weight {values[item]}", allowed=f"1 to {MASS}")
        if values.sum() > MASS:
            raise InputError(f"the weights sum to {values.sum()}", allowed=f"at most {MASS}")
        own = values.astype(np.uint32)
        own.setflags(write=False)
        object.__setattr__(self, "values", own)

    @classmethod
    def from_float(cls, weights: ArrayLike) -> Self:
        """Round real weights to integers.

        With shares p_i = w_i / Σ w and S = 2^32 - 1 - I, the integer is q_i = max(1, round(S p_i)). An item
        gains or loses at most 1, and all of them at most I, so that

            |q_i / Σ q - p_i| <= (1 + I p_i) / (S - I),

        with a million items 2.3e-10 for a rare one, and a relative 4.7e-4 for one of average weight, at the
        very most. An item of weight 0 gets the smallest share that there is.

        Args:
            weights: Real [I], finite, not negative, not all 0.

        Raises:
            InputError: There is no such weight for every item.
        """
        real = np.asarray(weights, dtype=np.float64)
        if real.ndim != 1:
            raise InputError(f"weights have shape {real.shape}", allowed="one dimension")
        wrong = np.flatnonzero(~(np.isfinite(real) & (real >= 0)))
        if wrong.size:
            item = wrong[0]
            raise InputError(
                f"item {item} has the weight {real[item]}", allowed="finite numbers of at least 0"
            )
        if not real.any():
            raise InputError(f"all {len(real)} weights are 0", allowed="at least one above 0")
        shares = real / real.max()  # the sum of large numbers could overflow
        scaled = shares * ((MASS - len(real)) / shares.sum())
        return cls(np.maximum(np.rint(scaled), 1).astype(np.uint32))


@dataclass(frozen=True, eq=False)
class ItemOrder:
    """An order of all items, in which a draw may be confined to ranges of positions.

    Attributes:
        items: int64 [I], the item at each position; every item once.

    Raises:
        InputError: An item is missing.

    Example:
        >>> ItemOrder([2, 0, 1]).positions.tolist()
        [1, 2, 0]
    """

    items: NDArray[np.int64]

    def __post_init__(self) -> None:
        own = id_array("order", self.items, 1).copy()
        if not np.array_equal(np.sort(own), np.arange(len(own))):
            raise InputError("the order lacks an item", allowed=f"each of 0 to {len(own) - 1} once")
        own.setflags(write=False)
        object.__setattr__(self, "items", own)

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """int64 [I], the position of each item."""
        positions = np.empty_like(self.items)
        positions[self.items] = np.arange(len(positions))
        return positions
