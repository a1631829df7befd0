"""Exact draws by tensor code, with the numbers of the core, on any device that torch knows."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtlns.draws import Draws
from dtlns.errors import InputError
from dtlns.item_tables import ItemOrder, ItemWeights
from dtlns.philox import MANY, Numbers
from dtlns.pools import NEGATIVES, NegativePool


class TensorDraws(Draws):
    """Draws without the host: tables are copied to the device once, and no call waits for an answer.

    So shapes depend on those of the arguments alone, and nothing is checked: see `Draws` for what a user with
    nothing left gets. Weights and orders are copied by the first call with them.

    Args:
        pool: What may be drawn for each user.
        device: Where users, rows and answers live.

    Raises:
        InputError: The catalogue has more than 2^24 items, see `Numbers.below`.

    Example:
        >>> import scipy.sparse as sp
        >>> from dtlns import TrainView
        >>> pool = NegativePool(TrainView.from_csr(sp.csr_array([[1, 0, 1], [1, 1, 1]])))
        >>> users = torch.tensor([0, 1])
        >>> TensorDraws(pool, torch.device("cpu")).draw(users, 2, rows=users, seed=1, epoch=0).tolist()
        [[1, 1], [3, 3]]
    """

    def __init__(self, pool: NegativePool, device: torch.device) -> None:
        super().__init__(pool, device)
        if pool.n_items > MANY:
            raise InputError(f"the catalogue has {pool.n_items} items", allowed=f"at most {MANY} on a device")
        indptr = pool.sets.indptr()
        self._start = self._there(indptr[:-1])
        self._length = self._there(np.diff(indptr))
        self._longest = int(np.diff(indptr).max(initial=0))
        self._forbidden = self._entries(pool.sets.indices().astype(np.int32))
        self._weighted: WeakKeyDictionary[ItemWeights, _Weighted] = WeakKeyDictionary()
        self._ordered: WeakKeyDictionary[ItemOrder, _Ordered] = WeakKeyDictionary()

    def draw(
        self, users: Tensor, n: int, *, rows: Tensor, seed: int, epoch: int, purpose: int = NEGATIVES
    ) -> Tensor:
        """Draw int64 [B, n]; see `Draws.draw`."""
        numbers = Numbers.of("negatives", purpose, seed, epoch, rows, n)
        left = self.available(users)
        ranks = numbers.below(left.clamp(min=1), self.n_items)
        return self._or_nothing(left, self._at_rank(self._forbidden, users, ranks))

    def draw_weighted(
        self,
        users: Tensor,
        n: int,
        weights: ItemWeights,
        *,
        rows: Tensor,
        seed: int,
        epoch: int,
        purpose: int = NEGATIVES,
    ) -> tuple[Tensor, Tensor]:
        """Draw int64 [B, n] with float32 [B, n]; see `Draws.draw_weighted`."""
        tables = self._weighted_tables(weights)
        numbers = Numbers.of("weighted", purpose, seed, epoch, rows, n)
        mass = tables.mass[users]
        points = numbers.below_wide(mass.clamp(min=1))
        # as the core does: beyond the last forbidden item that lies before the point
        skipped = self._count(tables.allowed_before, users, points)
        last = (self._start[users].unsqueeze(1) + skipped - 1).clamp(min=0)
        beyond = tables.cumulative[self._forbidden[last] + 1] + (points - tables.allowed_before[last])
        points = torch.where(skipped > 0, beyond, points)
        ids = torch.searchsorted(tables.cumulative, points, right=True) - 1
        ids = ids.clamp(max=self.n_items - 1)
        log_q = (tables.log_weight[ids] - tables.log_mass[users].unsqueeze(1)).to(torch.float32)
        return self._or_nothing(mass, ids), log_q

    def draw_within(
        self,
        users: Tensor,
        n: int,
        order: ItemOrder,
        low: Tensor,
        high: Tensor,
        *,
        rows: Tensor,
        seed: int,
        epoch: int,
        purpose: int = NEGATIVES,
    ) -> Tensor:
        """Draw int64 [B, n]; see `Draws.draw_within`."""
        tables = self._ordered_tables(order)
        numbers = Numbers.of("within", purpose, seed, epoch, rows, n)
        first, sizes = self._spans(tables, users, low, high)
        total = sizes.sum(dim=1)
        left = numbers.below(total.clamp(min=1), self.n_items)
        ranks = left  # of the range in which what is left runs out
        for place in range(sizes.shape[1]):
            inside = left < sizes[:, place, None]
            ranks = torch.where(inside & (left >= 0), first[:, place, None] + left, ranks)
            left = left - sizes[:, place, None]
        positions = self._at_rank(tables.forbidden, users, ranks).clamp(max=self.n_items - 1)
        return self._or_nothing(total, tables.order[positions])

    def uniform(self, rows: Tensor, n: int, *, seed: int, epoch: int, purpose: int) -> Tensor:
        """Draw float32 [B, n]; see `Draws.uniform`."""
        return Numbers.of("numbers", purpose, seed, epoch, rows, n).unit()

    def available(self, users: Tensor) -> Tensor:
        """Count int64 [B]; see `Draws.available`."""
        return self.n_items - self._length[users]

    def available_within(self, users: Tensor, order: ItemOrder, low: Tensor, high: Tensor) -> Tensor:
        """Count int64 [B]; see `Draws.available_within`."""
        return self._spans(self._ordered_tables(order), users, low, high)[1].sum(dim=1)

    def allowed(self, users: Tensor, items: Tensor) -> Tensor:
        """Tell bool [B, K]; see `Draws.allowed`."""
        if items.ndim == 1 and self._longest <= items.shape[0] * self._longest.bit_length():
            return self._allowed_shared(users, items)
        wanted = items.expand(len(users), -1)
        before = self._count(self._forbidden, users, wanted - 1)
        found = self._forbidden[self._start[users].unsqueeze(1) + before] == wanted
        return ~(found & (before < self._length[users].unsqueeze(1)))

    def _allowed_shared(self, users: Tensor, items: Tensor) -> Tensor:
        """Walk the histories, which is less work than a search for each item unless they are long."""
        ordered = items.sort().values
        steps = torch.arange(self._longest, device=self.device)
        history = self._forbidden[self._start[users].unsqueeze(1) + steps].to(torch.int64)
        place = torch.searchsorted(ordered, history)
        n = len(items)
        met = steps < self._length[users].unsqueeze(1)
        if n:
            met = met & (ordered[place.clamp(max=n - 1)] == history)
        taken = torch.zeros(len(users), n + 1, dtype=torch.bool, device=self.device)
        taken.scatter_(1, torch.where(met, place, n), True)
        # an item that is asked for twice is marked at its first place
        return ~taken[:, torch.searchsorted(ordered, items)]

    def _count(self, entries: Tensor, users: Tensor, bound: Tensor, slope: int = 0) -> Tensor:
        """Count the entries e_j of each user's row with e_j - slope * j <= bound, which never decreases in j.

        Args:
            entries: One for each forbidden item of each user, and padding, [E].
            users: int64 [B].
            bound: int64 [B, N].
        """
        before = (self._start[users] - 1).unsqueeze(1)
        length = self._length[users].unsqueeze(1)
        count = torch.zeros_like(bound)
        for power in reversed(range(self._longest.bit_length())):
            more = count + 2**power
            entry = entries[before + more]
            if slope:
                entry = entry - (more - 1)
            count = torch.where((more <= length) & (entry <= bound), more, count)
        return count

    def _at_rank(self, forbidden: Tensor, users: Tensor, ranks: Tensor) -> Tensor:
        """Return what has so many allowed ones before it: f_j - j of them precede the forbidden f_j."""
        return ranks + self._count(forbidden, users, ranks, slope=1)

    def _spans(self, tables: _Ordered, users: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the allowed positions before each range and inside it: int64 [B, R] both."""
        first = low - self._count(tables.forbidden, users, low - 1)
        return first, high - self._count(tables.forbidden, users, high - 1) - first

    def _or_nothing(self, left: Tensor, ids: Tensor) -> Tensor:
        return torch.where(left.unsqueeze(1) > 0, ids, self.n_items)

    def _weighted_tables(self, weights: ItemWeights) -> _Weighted:
        if weights not in self._weighted:
            pool = self.pool.weighted(weights)
            self._weighted[weights] = _Weighted(
                self._there(np.concatenate([[0], np.cumsum(weights.values, dtype=np.int64)])),
                self._entries(pool.sets.allowed_before().astype(np.int64)),
                self._there(pool.sets.mass().astype(np.int64)),
                self._there(pool.log_weight),
                self._there(pool.log_mass),
            )
        return self._weighted[weights]

    def _ordered_tables(self, order: ItemOrder) -> _Ordered:
        if order not in self._ordered:
            positions = self.pool.ordered(order).positions().astype(np.int32)
            self._ordered[order] = _Ordered(self._there(order.items), self._entries(positions))
        return self._ordered[order]

    def _entries(self, values: NDArray[np.int32] | NDArray[np.int64]) -> Tensor:
        """Copy one value for each forbidden item, padded for a search that starts in the last row."""
        return self._there(np.pad(values, (0, 2 ** self._longest.bit_length())))

    def _there(self, values: NDArray[np.generic]) -> Tensor:
        return torch.tensor(values, device=self.device)


@dataclass(frozen=True, eq=False)
class _Weighted:
    """Tables of `dtlns.pools.WeightedPool` on the device; masses are int64."""

    cumulative: Tensor
    allowed_before: Tensor
    mass: Tensor
    log_weight: Tensor
    log_mass: Tensor


@dataclass(frozen=True, eq=False)
class _Ordered:
    """An order and the forbidden positions in it on the device."""

    order: Tensor
    forbidden: Tensor
