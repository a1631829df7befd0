"""The draws of a planted world, vectorised over chunks of users; each chunk has a stream of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dtlns.data.planted import PlantedSettings

CHUNK = 4096  # users that are drawn together; part of the stream's definition
_START, _YEAR = 1_577_836_800, 31_536_000  # times fall into 2020


@dataclass(frozen=True, eq=False)
class World:
    """A planted world in id order.

    Attributes:
        paths: uint32 [I, 3].
        ranks: uint32 [I], rank within the leaf, from 0.
        liked: uint32 [U, liked items].
        exposed: bool [U, liked items].
        homes: uint32 [U, home branches].
        items: uint32 [U, interactions], different within a row.
        times: int64 [U, interactions], seconds since the epoch.
    """

    paths: NDArray[np.uint32]
    ranks: NDArray[np.uint32]
    liked: NDArray[np.uint32]
    exposed: NDArray[np.bool_]
    homes: NDArray[np.uint32]
    items: NDArray[np.uint32]
    times: NDArray[np.int64]


def draw_users(settings: PlantedSettings, seed: int) -> World:
    """Draw a world.

    Args:
        settings: Checked numbers of the world.
        seed: 0 or more.

    Returns:
        The world. Item ids are shuffled, so that an index says nothing about the hierarchy.
    """
    k, size = settings.branching, settings.leaf_size
    leaf = np.arange(settings.n_items, dtype=np.uint32) // size
    item_of = np.random.default_rng([seed, 0]).permutation(settings.n_items).astype(np.uint32)
    paths = np.empty((settings.n_items, 3), dtype=np.uint32)
    paths[item_of] = np.stack([leaf // (k * k), leaf // k % k, leaf % k], axis=1)
    ranks = np.empty(settings.n_items, dtype=np.uint32)
    ranks[item_of] = np.arange(settings.n_items, dtype=np.uint32) % size
    chunks = [
        _draw_chunk(
            settings, np.random.default_rng([seed, 1, first // CHUNK]), min(CHUNK, settings.users - first)
        )
        for first in range(0, settings.users, CHUNK)
    ]
    homes, liked, exposed, items, times = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return World(
        paths=paths,
        ranks=ranks,
        liked=item_of[liked],
        exposed=exposed,
        homes=homes.astype(np.uint32),
        items=item_of[items],
        times=times,
    )


def _draw_chunk(
    settings: PlantedSettings, rng: np.random.Generator, users: int
) -> tuple[NDArray[np.generic], ...]:
    """Draw homes, liked slots, exposure, interactions and times of some users; slot = leaf · size + rank."""
    k, size = settings.branching, settings.leaf_size
    homes = _choose(rng, users, k, settings.home_branches)
    subs = _choose(rng, users * homes.shape[1], k, settings.sub_branches)
    subs = (homes.reshape(-1, 1) * k + subs).reshape(users, -1)
    leaves = _choose(rng, users * subs.shape[1], k, settings.leaves)
    leaves = (subs.reshape(-1, 1) * k + leaves).reshape(users, -1)
    liked = (leaves[:, :, None] * size + np.arange(size)).reshape(users, -1)
    exposed = np.zeros(liked.shape, dtype=np.bool_)
    shown = _choose(rng, users, liked.shape[1], settings.n_exposed)
    np.put_along_axis(exposed, shown, True, axis=1)
    # Leaves of the home branches that are not liked, in increasing order.
    in_home = (homes[:, :, None] * (k * k) + np.arange(k * k)).reshape(users, -1)
    is_liked = (in_home[:, :, None] == leaves[:, None, :]).any(axis=2)
    n_other = in_home.shape[1] - leaves.shape[1]
    other = in_home[~is_liked].reshape(users, n_other)

    weights = np.arange(1, size + 1, dtype=np.float64) ** -settings.skew
    within_leaf = np.cumsum(weights / weights.sum())
    # The chance of a liked and exposed item: its weight within the leaf, renormalised over what is exposed.
    cumulative = np.cumsum(np.where(exposed, np.tile(weights, leaves.shape[1]), 0.0), axis=1)

    slots = settings.interactions
    source = np.searchsorted(np.cumsum(settings.shares), rng.random((users, slots)), side="right").clip(max=2)
    items = np.zeros((users, slots), dtype=np.int64)
    todo = np.ones((users, slots), dtype=np.bool_)
    while todo.any():
        row, column = np.nonzero(todo)
        kind = source[row, column]
        draw = rng.random((2, len(row)))
        rank = np.searchsorted(within_leaf, draw[1] * within_leaf[-1], side="right").clip(max=size - 1)
        anywhere = (draw[0] * k**3).astype(np.int64) * size + rank
        fresh = anywhere
        if n_other:
            fresh = np.where(kind == 1, other[row, (draw[0] * n_other).astype(np.int64)] * size + rank, fresh)
        mine = np.flatnonzero(kind == 0)
        at = _invert(cumulative, row[mine], draw[0][mine])
        fresh[mine] = liked[row[mine], at]
        items[row, column] = fresh
        todo = _repeated(items)
    times = _START + rng.integers(0, _YEAR, size=(users, slots))
    return homes, liked, exposed, items, times


def _choose(rng: np.random.Generator, rows: int, of: int, count: int) -> NDArray[np.int64]:
    """Choose `count` different numbers below `of` in each row, in increasing order, int64 [rows, count]."""
    return np.sort(np.argsort(rng.random((rows, of)), axis=1)[:, :count], axis=1)


def _invert(
    cumulative: NDArray[np.float64], row: NDArray[np.int64], draw: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Find, in each named row of cumulative weights, the first position above draw · total, by bisection."""
    target = draw * cumulative[row, -1]
    low = np.zeros(len(row), dtype=np.int64)
    high = np.full(len(row), cumulative.shape[1] - 1, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        above = cumulative[row, middle] > target
        high = np.where(above, middle, high)
        low = np.where(above, low, np.minimum(middle + 1, high))
    return low


def _repeated(items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark what repeats an earlier number of its row; those are drawn again from the same source."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, dtype=np.bool_)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    result = np.empty_like(again)
    np.put_along_axis(result, order, again, axis=1)
    return result
