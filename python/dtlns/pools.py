"""What may be drawn as a negative for each user, and exact draws from it."""

from __future__ import annotations

from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from dtlns import _core
from dtlns._border import id_array, integer, seed_value
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.item_tables import ItemOrder, ItemWeights

Exclude: TypeAlias = sp.sparray | sp.spmatrix | None

NEGATIVES = 0
"""Purpose of a draw of items where none is given; purposes end at 2^28 - 1, third parties' start at 1000."""


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
        self._weighted: WeakKeyDictionary[ItemWeights, WeightedPool] = WeakKeyDictionary()
        self._ordered: WeakKeyDictionary[ItemOrder, _core.OrderedSets] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what is forbidden, for workers that are spawned; sums and orders are made again."""
        return _restored, (self._sets.indptr(), self._sets.indices(), self.n_items)

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

    def allowed(self, users: ArrayLike, items: ArrayLike) -> NDArray[np.bool_]:
        """Tell which items can be drawn for each user.

        Args:
            users: int [B].
            items: int [B, K], or [K] for the same items for every user.

        Returns:
            bool [B, K].

        Raises:
            InputError: An id is out of range, or shapes do not fit.
        """
        ids = id_array("items", items)
        if ids.ndim not in (1, 2):
            raise InputError(f"items has shape {ids.shape}", allowed="one or two dimensions")
        return self._sets.allowed(id_array("users", users, 1), ids)

    def sample(
        self,
        users: ArrayLike,
        n: int,
        *,
        rows: ArrayLike,
        seed: int,
        epoch: int,
        purpose: int = NEGATIVES,
    ) -> NDArray[np.int64]:
        """Draw `n` items for each user; see `sample_negatives`.

        Args:
            users: int [B].
            n: Draws for each user, N.
            rows: int [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            int64 [B, N].

        Raises:
            InputError: An id is out of range, or a user has nothing left to draw.
        """
        return self._sets.draw(*_batch(users, rows, n), *_key(seed, epoch, purpose))

    def sample_weighted(
        self,
        users: ArrayLike,
        n: int,
        weights: ItemWeights,
        *,
        rows: ArrayLike,
        seed: int,
        epoch: int,
        purpose: int = NEGATIVES,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Draw `n` items for each user, in proportion to weights: q(i | u) = w_i / Σ of w over allowed items.

        Args:
            users: int [B].
            n: Draws for each user, N.
            weights: Of all items; the sums that a draw needs are made once, and kept as long as these live.
            rows: int [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            Items, int64 [B, N], and log q of each, float32 [B, N].

        Raises:
            InputError: An id is out of range, a user has nothing left, or weights are for other items.
        """
        pool = self.weighted(weights)
        batch = _batch(users, rows, n)
        ids = pool.sets.draw(*batch, *_key(seed, epoch, purpose))
        log_q = pool.log_weight[ids] - pool.log_mass[batch[0]][:, None]
        return ids, log_q.astype(np.float32)

    def sample_within(
        self,
        users: ArrayLike,
        n: int,
        order: ItemOrder,
        low: ArrayLike,
        high: ArrayLike,
        *,
        rows: ArrayLike,
        seed: int,
        epoch: int,
        purpose: int = NEGATIVES,
    ) -> NDArray[np.int64]:
        """Draw `n` items for each user, uniformly from the allowed ones within ranges of an order.

        Args:
            users: int [B].
            n: Draws for each user, N.
            order: Of all items; users' forbidden items are sorted by it once, and kept as long as it lives.
            low: int [B, R], first positions of ranges that do not overlap.
            high: int [B, R], the positions behind the last ones.
            rows: int [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            int64 [B, N].

        Raises:
            InputError: An id or range is wrong, or nothing is left within a row's ranges.
        """
        ranges = id_array("low", low, 2), id_array("high", high, 2)
        return self.ordered(order).draw(*_batch(users, rows, n), *ranges, *_key(seed, epoch, purpose))

    def available_within(
        self, users: ArrayLike, order: ItemOrder, low: ArrayLike, high: ArrayLike
    ) -> NDArray[np.int64]:
        """Count the allowed items within ranges: int64 [B]; see `sample_within`."""
        ranges = id_array("low", low, 2), id_array("high", high, 2)
        return self.ordered(order).available(id_array("users", users, 1), *ranges)

    def weighted(self, weights: ItemWeights) -> WeightedPool:
        """Return the sums that draws by these weights need, made when first asked for."""
        if weights not in self._weighted:
            self._weighted[weights] = WeightedPool(self._sets, weights)
        return self._weighted[weights]

    def ordered(self, order: ItemOrder) -> _core.OrderedSets:
        """Return the forbidden sets sorted by an order, made when first asked for."""
        if order not in self._ordered:
            self._ordered[order] = _core.OrderedSets(self._sets, order.items.astype(np.uint32))
        return self._ordered[order]

    @property
    def sets(self) -> _core.ForbiddenSets:
        """The forbidden sets of all users, in the core."""
        return self._sets


class WeightedPool:
    """A pool's sums for some weights, and the logarithms of probabilities, float64.

    They are taken once and here, so that log q has the same bits on every device.
    """

    def __init__(self, sets: _core.ForbiddenSets, weights: ItemWeights) -> None:
        self.sets = _core.WeightedSets(sets, weights.values)
        self.log_weight = np.log(weights.values.astype(np.float64))
        with np.errstate(divide="ignore"):  # -inf for a user with nothing left, for whom nothing is drawn
            self.log_mass = np.log(self.sets.mass().astype(np.float64))


def _restored(indptr: NDArray[np.int64], forbidden: NDArray[np.uint32], n_items: int) -> NegativePool:
    return NegativePool(TrainView(indptr, forbidden, n_items))


def _batch(users: ArrayLike, rows: ArrayLike, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    return id_array("users", users, 1), id_array("rows", rows, 1), integer("n", n, 0, 2**31 - 1)


def _key(seed: int, epoch: int, purpose: int) -> tuple[int, int, int]:
    return seed_value(seed), seed_value(epoch, "epoch"), integer("purpose", purpose, 0, 2**28 - 1)


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
