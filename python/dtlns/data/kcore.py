"""Iterative k-core: drop users and items with too few interactions until none is left to drop."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.errors import DataError, InputError


def k_core(frame: pl.DataFrame, users: int, items: int) -> tuple[pl.DataFrame, int]:
    """Keep the largest part of a log where every user and item has enough interactions.

    Args:
        frame: Columns `user` and `item`, each pair once.
        users: Least interactions of a user.
        items: Least interactions of an item.

    Returns:
        The kept rows in their order, and the number of rounds that it took.

    Raises:
        InputError: A bound is below one.
        DataError: Nothing is left.

    Example:
        >>> import polars as pl
        >>> log = pl.DataFrame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 1]})
        >>> k_core(log, 2, 2)[0].height
        4
    """
    for name, value in (("users", users), ("items", items)):
        if value < 1:
            raise InputError(f"the k-core of {name} is {value}", allowed="1 or more")
    user = _dense(frame["user"])
    item = _dense(frame["item"])
    kept = np.arange(frame.height)
    rounds = 0
    while True:
        enough = np.bincount(user)[user] >= users
        enough &= np.bincount(item)[item] >= items
        if enough.all():
            break
        kept, user, item = kept[enough], user[enough], item[enough]
        rounds += 1
        if not kept.size:
            raise DataError(
                f"no interaction is left in the k-core of {users} per user and {items} per item",
                hint="choose a smaller k or a lower rating threshold",
            )
    return (frame if not rounds else frame[kept]), rounds


def _dense(column: pl.Series) -> NDArray[np.int64]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1
