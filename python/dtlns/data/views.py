"""What each part of the system is allowed to see: the training split, or held-out pairs for evaluation.

Graphs, trees, pretraining, candidates, judges and samplers take a `TrainView` and nothing else, so that a
leak from validation or test is a type error. `ValidView` and `TestView` are opened by evaluation alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dtlns.errors import InputError

MAX_ID = 2**31 - 1  # ids are 32-bit; the bound is SciPy's signed one


@dataclass(frozen=True, eq=False)
class TrainView:
    """The training interactions, users by items, as sorted rows.

    Row order is the global interaction order: interaction `r` is the pair
    `(user_of_interaction[r], indices[r])`.

    Attributes:
        indptr: int64 [U + 1], where each user's items start in `indices`.
        indices: uint32 [E], item indexes, strictly increasing within a user.
        n_items: Number of items in the training catalogue, I.
        timestamps: int64 [E], seconds since the epoch, or None.
        weights: float32 [E], positive confidence weights, or None for all ones.
        user_ids: The users' own ids [U], or None when they are 0..U-1.
        item_ids: The items' own ids [I], or None when they are 0..I-1.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    n_items: int
    timestamps: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    user_ids: NDArray[Any] | None = field(default=None, repr=False)
    item_ids: NDArray[Any] | None = field(default=None, repr=False)

    @classmethod
    def from_csr(cls, matrix: sp.sparray | sp.spmatrix) -> Self:
        """Make a view from a user-by-item matrix, for those with a loop of their own.

        Args:
            matrix: SciPy sparse [U, I]; each stored non-zero is an interaction. Values other than one
                become weights.

        Returns:
            A view whose users and items are the matrix's rows and columns.

        Raises:
            InputError: The matrix has values that are negative or not finite, or is too large.

        Example:
            >>> import scipy.sparse as sp
            >>> TrainView.from_csr(sp.csr_array([[1, 0, 1], [0, 1, 0]])).n_interactions
            3
        """
        if not sp.issparse(matrix):
            raise InputError(
                f"the matrix is a {type(matrix).__name__}", allowed="a SciPy sparse matrix of users by items"
            )
        csr = sp.csr_array(matrix, copy=True)
        if max(csr.shape) > MAX_ID:
            raise InputError(f"the matrix has shape {csr.shape}", allowed=f"at most {MAX_ID} users and items")
        csr.sum_duplicates()
        csr.eliminate_zeros()
        csr.sort_indices()
        values = csr.data.astype(np.float32)
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise InputError(
                f"the matrix holds the value {csr.data[bad[0]]}",
                allowed="positive finite numbers",
                hint="store 1 for an interaction",
            )
        return cls(
            indptr=csr.indptr.astype(np.int64),
            indices=csr.indices.astype(np.uint32),
            n_items=int(csr.shape[1]),
            weights=None if bool(np.all(values == 1)) else values,
        )

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return len(self.indptr) - 1

    @property
    def n_interactions(self) -> int:
        """Number of training interactions, E."""
        return len(self.indices)

    @cached_property
    def user_of_interaction(self) -> NDArray[np.uint32]:
        """uint32 [E], the user of each interaction."""
        return np.repeat(np.arange(self.n_users, dtype=np.uint32), np.diff(self.indptr))

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """int64 [I], interactions of each item."""
        return np.bincount(self.indices, minlength=self.n_items).astype(np.int64)

    @cached_property
    def user_counts(self) -> NDArray[np.int64]:
        """int64 [U], interactions of each user."""
        return np.diff(self.indptr)

    def csr(self) -> sp.csr_array:
        """Return the binary user-by-item matrix, float32 [U, I]."""
        data = np.ones(self.n_interactions, dtype=np.float32)
        return sp.csr_array(
            (data, self.indices.astype(np.int64), self.indptr), shape=(self.n_users, self.n_items)
        )

    def keep(self, kept: NDArray[np.bool_]) -> TrainView:
        """Return a view of the interactions where `kept` is true; users and items stay as they are.

        Args:
            kept: bool [E], in global interaction order.
        """
        counts = np.bincount(self.user_of_interaction[kept], minlength=self.n_users)
        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            indices=self.indices[kept],
            timestamps=None if self.timestamps is None else self.timestamps[kept],
            weights=None if self.weights is None else self.weights[kept],
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything in the view; artefacts carry it to say what they were made from."""
        sha = hashlib.sha256(b"dtlns train view 1\0")
        for name in ("indptr", "indices", "timestamps", "weights"):
            array = getattr(self, name)
            sha.update(f"{name}:{'-' if array is None else array.dtype.str}\0".encode())
            if array is not None:
                sha.update(np.ascontiguousarray(array).tobytes())
        for ids, size in ((self.user_ids, self.n_users), (self.item_ids, self.n_items)):
            sha.update(f"ids:{size}\0".encode())
            if ids is not None:
                for value in ids.tolist():
                    text = f"{type(value).__name__}:{value}".encode()
                    sha.update(f"{len(text)}\0".encode() + text)
        return sha.hexdigest()


@dataclass(frozen=True, eq=False)
class HeldOutView:
    """Held-out pairs, users by items, as sorted rows.

    Users and items beyond the training view's counts are cold: they occur in held-out data only.

    Attributes:
        indptr: int64 [U' + 1] over all users, U' >= U.
        indices: uint32 [E'], item indexes below `n_items`, strictly increasing within a user.
        n_items: Number of all items, I' >= I.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    n_items: int

    @property
    def n_users(self) -> int:
        """Number of all users, warm and cold."""
        return len(self.indptr) - 1

    @property
    def n_interactions(self) -> int:
        """Number of held-out pairs."""
        return len(self.indices)

    def users(self) -> NDArray[np.int64]:
        """int64, the users with at least one held-out pair, in increasing order."""
        return np.flatnonzero(np.diff(self.indptr))


class ValidView(HeldOutView):
    """Validation pairs, for selecting a model and nothing else."""


class TestView(HeldOutView):
    """Test pairs, for reporting a number once."""

    __test__ = False  # not a pytest class
