"""Exact, replayable negative draws and random numbers keyed by interaction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import id_array, integer, seed_value
from dtlns.data.views import TrainView
from dtlns.pools import NEGATIVES, Exclude, NegativePool

__all__ = ["NEGATIVES", "Exclude", "NegativePool", "keyed_uniform", "sample_negatives"]


def sample_negatives(
    train: TrainView,
    users: ArrayLike,
    n: int,
    *,
    rows: ArrayLike,
    seed: int,
    epoch: int,
    exclude: Exclude = None,
) -> NDArray[np.int64]:
    """Draw negatives, exactly uniform over what each user has not interacted with, with replacement.

    A draw depends on seed, epoch, row and its own number alone: not on threads, batches or the order of
    the work (Philox4x32-10, bounded by multiplication with rejection).

    Args:
        train: The training view.
        users: int [B], the users to draw for.
        n: Draws for each, N.
        rows: int [B], the global index of each interaction, so that batches differ.
        seed: 64-bit seed.
        epoch: Number of the pass over the data.
        exclude: SciPy sparse [U, I] of further items that are never drawn. In a loop, make a
            `NegativePool` once instead.

    Returns:
        int64 [B, N], never an item of the user's history or exclusions.

    Raises:
        InputError: An id is out of range, or a user has nothing left to draw.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 1], [1, 1, 0]]))
        >>> sample_negatives(train, [0, 1], 2, rows=[0, 1], seed=1, epoch=0).tolist()
        [[1, 1], [2, 2]]
    """
    return NegativePool(train, exclude).sample(users, n, rows=rows, seed=seed, epoch=epoch)


def keyed_uniform(rows: ArrayLike, n: int, *, seed: int, epoch: int, purpose: int) -> NDArray[np.float32]:
    """Draw uniform numbers in [0, 1) that depend on (seed, epoch, purpose, row, number) alone.

    Args:
        rows: int [B], global index of each interaction.
        n: Numbers for each, N.
        seed: 64-bit seed.
        epoch: Number of the pass over the data.
        purpose: Number of the stream, 0 to 2^31 - 1; streams of different purposes are independent.

    Returns:
        float32 [B, N], multiples of 2^-24.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> keyed_uniform([3, 4], 2, seed=0, epoch=0, purpose=1).shape
        (2, 2)
    """
    return _core.keyed_uniform(
        id_array("rows", rows, 1),
        integer("n", n, 0, 2**31 - 1),
        seed_value(seed),
        seed_value(epoch, "epoch"),
        integer("purpose", purpose, 0, 2**31 - 1),
    )
