"""False negatives: unobserved pairs that are judged to be positive, with a weight each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from dtlns.data.views import TrainView
from dtlns.errors import InputError


@dataclass(frozen=True, eq=False)
class FalseNegatives:
    """Judged pairs, users by items, as sorted rows.

    Attributes:
        indptr: int64 [U + 1].
        indices: uint32 [F], item indexes, strictly increasing within a user.
        weights: float32 [F], not negative, such as min(1, c · p_hidden).
        n_items: I.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    weights: NDArray[np.float32]
    n_items: int

    @classmethod
    def from_pairs(
        cls,
        users: NDArray[np.integer[Any]],
        items: NDArray[np.integer[Any]],
        weights: NDArray[np.floating[Any]] | None = None,
        *,
        n_users: int,
        n_items: int,
    ) -> Self:
        """Sort pairs into rows.

        Args:
            users: integers [F].
            items: integers [F].
            weights: floats [F], not negative; None means ones.
            n_users: U.
            n_items: I.

        Raises:
            InputError: Lengths differ, an index is out of range, a pair is there twice, or a weight is
                negative or not finite.

        Example:
            >>> pairs = FalseNegatives.from_pairs(np.array([1, 0]), np.array([2, 1]), n_users=2, n_items=3)
            >>> pairs.users.tolist(), pairs.indices.tolist()
            ([0, 1], [1, 2])
        """
        given = np.ones(len(users), dtype=np.float32) if weights is None else np.asarray(weights)
        if not (users.shape == items.shape == given.shape and users.ndim == 1):
            raise InputError(
                f"users {users.shape}, items {items.shape} and weights {given.shape} differ in shape",
                allowed="three arrays of one length",
            )
        for name, ids, bound in (("user", users, n_users), ("item", items, n_items)):
            if ids.size and (ids.min() < 0 or ids.max() >= bound):
                bad = ids[(ids < 0) | (ids >= bound)][0]
                raise InputError(f"{name} {bad} is out of range", allowed=f"0 to {bound - 1}")
        bad_weights = ~(np.isfinite(given) & (given >= 0))
        if bad_weights.any():
            raise InputError(f"a weight is {given[bad_weights][0]}", allowed="finite numbers, 0 or more")
        keys = users.astype(np.int64) * n_items + items.astype(np.int64)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if twice.size:
            user, item = divmod(int(keys[twice[0]]), n_items)
            raise InputError(f"user {user} has item {item} twice", allowed="each pair once")
        return cls(
            indptr=np.searchsorted(keys, np.arange(n_users + 1, dtype=np.int64) * n_items).astype(np.int64),
            indices=items[order].astype(np.uint32),
            weights=given[order].astype(np.float32),
            n_items=n_items,
        )

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return len(self.indptr) - 1

    @property
    def n_pairs(self) -> int:
        """Number of judged pairs, F."""
        return len(self.indices)

    @cached_property
    def users(self) -> NDArray[np.uint32]:
        """uint32 [F], the user of each pair."""
        return np.repeat(np.arange(self.n_users, dtype=np.uint32), np.diff(self.indptr))

    def csr(self) -> sp.csr_array:
        """Return the weights as a user-by-item matrix, float32 [U, I]."""
        return sp.csr_array(
            (self.weights, self.indices.astype(np.int64), self.indptr), shape=(self.n_users, self.n_items)
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the pairs and weights."""
        sha = hashlib.sha256(f"dtlns false negatives 1:{self.n_items}\0".encode())
        for array in (self.indptr, self.indices, self.weights):
            sha.update(np.ascontiguousarray(array).tobytes() + b"\0")
        return sha.hexdigest()

    def check(self, train: TrainView) -> None:
        """Refuse pairs that are no unobserved pairs of this training split.

        Raises:
            InputError: The sizes differ, or a pair is a training interaction.
        """
        if (self.n_users, self.n_items) != (train.n_users, train.n_items):
            raise InputError(
                f"false negatives are for {self.n_users} users and {self.n_items} items",
                allowed=f"those of the training data, {train.n_users} and {train.n_items}",
            )
        mine = self.users.astype(np.int64) * self.n_items + self.indices
        observed = train.user_of_interaction.astype(np.int64) * train.n_items + train.indices
        both = np.intersect1d(mine, observed, assume_unique=True)
        if both.size:
            user, item = divmod(int(both[0]), self.n_items)
            raise InputError(
                f"{both.size} false negatives are training interactions, the first user {user}, item {item}",
                allowed="unobserved pairs",
            )
