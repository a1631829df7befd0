"""Exact, replayable negative draws and random numbers keyed by interaction."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import id_array, integer, seed_value
from dtlns.data.views import TrainView
from dtlns.errors import InputError

Exclude: TypeAlias = sp.sparray | sp.spmatrix | None

NEGATIVES = 0
"""Purpose of the draws that `NegativePool.sample` makes, unless told otherwise."""


class NegativePool:
    """What may be drawn as a negative for each user, prepared once for a loop of draws.

    Args:
        train: The training view; a user's history is never drawn.
        exclude: SciPy sparse [U, I]; each stored non-zero is another item that is never drawn for the
            user, such as a suspected false negative.

    Raises:
        InputError: `exclude` has another shape than the view.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 1]]))
        >>> NegativePool(train).sample([0], 2, rows=[0], seed=1, epoch=0).tolist()
        [[1, 1]]
    """

    def __init__(self, train: TrainView, exclude: Exclude = None) -> None:
        if exclude is None:
            self._sets = _core.ForbiddenSets(train.indptr, train.indices, train.n_items)
        else:
            indptr, indices = _sorted_rows(exclude, (train.n_users, train.n_items))
            self._sets = _core.ForbiddenSets(train.indptr, train.indices, train.n_items, indptr, indices)
        self._available = self._sets.available()

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return self._sets.n_users

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return self._sets.n_items

    def forbidden(self, user: int) -> NDArray[np.uint32]:
        """Return the items that are never drawn for a user, uint32, increasing."""
        return self._sets.forbidden(integer("user", user, 0, max(self.n_users - 1, 0)))

    def available(self, users: ArrayLike) -> NDArray[np.int64]:
        """Return the number of items that can be drawn for each user, int64 [B] for int [B]."""
        ids = id_array("users", users, 1)
        if ids.size and not (ids.min() >= 0 and ids.max() < self.n_users):
            bad = ids[(ids < 0) | (ids >= self.n_users)][0]
            raise InputError(f"user {bad} is out of range", allowed=f"0 to {self.n_users - 1}")
        return self._available[ids]

    def sample(
        self, users: ArrayLike, n: int, *, rows: ArrayLike, seed: int, epoch: int
    ) -> NDArray[np.int64]:
        """Draw `n` items for each user; see `sample_negatives`.

        Args:
            users: int [B].
            n: Draws for each user, N.
            rows: int [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.

        Returns:
            int64 [B, N].

        Raises:
            InputError: An id is out of range, or a user has nothing left to draw.
        """
        return self._sets.draw(
            id_array("users", users, 1),
            id_array("rows", rows, 1),
            integer("n", n, 0, 2**31 - 1),
            seed_value(seed),
            seed_value(epoch, "epoch"),
        )


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


def _sorted_rows(
    matrix: sp.sparray | sp.spmatrix, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    if not sp.issparse(matrix):
        raise InputError(f"exclude is a {type(matrix).__name__}", allowed="a SciPy sparse matrix, or None")
    if matrix.shape != shape:
        raise InputError(f"exclude has shape {matrix.shape}", allowed=f"shape {shape}, users by items")
    csr = sp.csr_array(matrix, copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    csr.sort_indices()
    return csr.indptr.astype(np.int64), csr.indices.astype(np.uint32)
