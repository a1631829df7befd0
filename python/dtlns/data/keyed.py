"""Random numbers that are functions of (seed, user id, item id): no row order, no other user matters.

The mixer is SplitMix64's finaliser (Steele, Lea and Flood 2014); its constants are part of the data format,
since another mixer would make other splits.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from dtlns.errors import InputError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_keys(seed: int, users: pl.Series, items: pl.Series) -> NDArray[np.uint64]:
    """Return a uniform 64-bit key for each (user, item) row, uint64 [N].

    Args:
        seed: 0 to 2^63-1.
        users: Ids, Int64 or String [N].
        items: Ids, Int64 or String [N].

    Raises:
        InputError: The seed is out of range.
    """
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed is {seed}", allowed="0 to 2^63-1")
    start = _mix(np.full(1, seed, dtype=np.uint64) + _GOLDEN)
    return _mix(_mix(start ^ _id_hash(users)) + _id_hash(items) * _GOLDEN)


def _id_hash(column: pl.Series) -> NDArray[np.uint64]:
    if column.dtype != pl.String:
        return _mix(column.to_numpy().astype(np.uint64) + _GOLDEN)
    distinct = column.unique(maintain_order=True)
    hashes = np.fromiter(
        (
            int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
            for text in distinct
        ),
        dtype=np.uint64,
        count=len(distinct),
    )
    table = pl.DataFrame({"id": distinct, "hash": hashes})
    joined = column.alias("id").to_frame().join(table, on="id", how="left", maintain_order="left")
    result: NDArray[np.uint64] = joined["hash"].to_numpy()
    return result


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
