"""Exact draws on tensors: one interface for samplers, whatever the device."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dtlns.item_tables import ItemOrder, ItemWeights
from dtlns.pools import NEGATIVES, NegativePool
from dtlns.sampling import keyed_uniform

__all__ = ["NEGATIVES", "CoreDraws", "Draws", "ItemOrder", "ItemWeights", "draws_on"]


class Draws(ABC):
    """What may be drawn for each user, bound to one pool and one device; all tensors live there.

    A draw depends on seed, epoch, purpose, row and its own number alone, and is the same on every device.
    On the CPU, ids and ranges are checked, and it is an error to draw where nothing is left. Elsewhere a
    check would wait for the device: who has nothing left gets the id `n_items`, which no table of items has.
    So ask `available` of the users of a run once before it, and `available_within` before a draw within
    ranges.

    Args:
        pool: What may be drawn for each user.
        device: Where users, rows and answers live.
    """

    def __init__(self, pool: NegativePool, device: torch.device) -> None:
        self.pool = pool
        self.device = device

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the pool; tables are made again."""
        return draws_on, (self.pool, self.device)

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return self.pool.n_users

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        return self.pool.n_items

    @abstractmethod
    def draw(
        self, users: Tensor, n: int, *, rows: Tensor, seed: int, epoch: int, purpose: int = NEGATIVES
    ) -> Tensor:
        """Draw items uniformly from what each user has left, with replacement.

        Args:
            users: int64 [B].
            n: Draws for each, N.
            rows: int64 [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            int64 [B, N].
        """

    @abstractmethod
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
        """Draw items in proportion to weights: q(i | u) = w_i / Σ of w over the user's allowed items.

        Args:
            users: int64 [B].
            n: Draws for each, N.
            weights: Of all items; the first draw by them makes the sums that all draws need.
            rows: int64 [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            Items, int64 [B, N], and log q of each, float32 [B, N].
        """

    @abstractmethod
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
        """Draw items uniformly from the allowed ones within ranges of an order.

        Args:
            users: int64 [B].
            n: Draws for each, N.
            order: Of all items; the first draw by it sorts the forbidden items of all users.
            low: int64 [B, R], first positions of ranges that do not overlap.
            high: int64 [B, R], the positions behind the last ones.
            rows: int64 [B], global index of each interaction.
            seed: 64-bit seed.
            epoch: Number of the pass over the data.
            purpose: Tells independent draws for the same rows apart.

        Returns:
            int64 [B, N].
        """

    @abstractmethod
    def uniform(self, rows: Tensor, n: int, *, seed: int, epoch: int, purpose: int) -> Tensor:
        """Draw numbers in [0, 1): float32 [B, n] for int64 [B]; see `dtlns.sampling.keyed_uniform`."""

    @abstractmethod
    def available(self, users: Tensor) -> Tensor:
        """Count the items that can be drawn for each user: int64 [B] -> int64 [B]."""

    @abstractmethod
    def available_within(self, users: Tensor, order: ItemOrder, low: Tensor, high: Tensor) -> Tensor:
        """Count the allowed items within ranges: int64 [B] for [B], [B, R], [B, R]; see `draw_within`."""

    @abstractmethod
    def allowed(self, users: Tensor, items: Tensor) -> Tensor:
        """Tell which items can be drawn for each user.

        Args:
            users: int64 [B].
            items: int64 [B, K], or [K] for the same items for every user.

        Returns:
            bool [B, K].
        """


class CoreDraws(Draws):
    """Draws by the Rust core, on the CPU; tensors are passed without a copy."""

    def __init__(self, pool: NegativePool) -> None:
        super().__init__(pool, torch.device("cpu"))

    def draw(
        self, users: Tensor, n: int, *, rows: Tensor, seed: int, epoch: int, purpose: int = NEGATIVES
    ) -> Tensor:
        """Draw int64 [B, n]; see `Draws.draw`."""
        ids = self.pool.sample(users.numpy(), n, rows=rows.numpy(), seed=seed, epoch=epoch, purpose=purpose)
        return torch.from_numpy(ids)

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
        ids, log_q = self.pool.sample_weighted(
            users.numpy(), n, weights, rows=rows.numpy(), seed=seed, epoch=epoch, purpose=purpose
        )
        return torch.from_numpy(ids), torch.from_numpy(log_q)

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
        ids = self.pool.sample_within(
            users.numpy(),
            n,
            order,
            low.numpy(),
            high.numpy(),
            rows=rows.numpy(),
            seed=seed,
            epoch=epoch,
            purpose=purpose,
        )
        return torch.from_numpy(ids)

    def uniform(self, rows: Tensor, n: int, *, seed: int, epoch: int, purpose: int) -> Tensor:
        """Draw float32 [B, n]; see `Draws.uniform`."""
        return torch.from_numpy(keyed_uniform(rows.numpy(), n, seed=seed, epoch=epoch, purpose=purpose))

    def available(self, users: Tensor) -> Tensor:
        """Count int64 [B]; see `Draws.available`."""
        return torch.from_numpy(self.pool.available(users.numpy()))

    def available_within(self, users: Tensor, order: ItemOrder, low: Tensor, high: Tensor) -> Tensor:
        """Count int64 [B]; see `Draws.available_within`."""
        ranges = low.numpy(), high.numpy()
        return torch.from_numpy(self.pool.available_within(users.numpy(), order, *ranges))

    def allowed(self, users: Tensor, items: Tensor) -> Tensor:
        """Tell bool [B, K]; see `Draws.allowed`."""
        return torch.from_numpy(self.pool.allowed(users.numpy(), items.numpy()))


def draws_on(pool: NegativePool, device: torch.device | str) -> Draws:
    """Return exact draws from a pool on a device.

    Args:
        pool: What may be drawn for each user.
        device: Where users, rows and answers live.

    Example:
        >>> import scipy.sparse as sp
        >>> from dtlns import TrainView
        >>> pool = NegativePool(TrainView.from_csr(sp.csr_array([[1, 0, 1]])))
        >>> users = torch.tensor([0])
        >>> draws_on(pool, "cpu").draw(users, 2, rows=torch.tensor([0]), seed=1, epoch=0).tolist()
        [[1, 1]]
        >>> draws_on(pool, "cpu").allowed(users, torch.tensor([0, 1])).tolist()
        [[False, True]]
    """
    device = torch.device(device)
    if device.type == "cpu":
        return CoreDraws(pool)
    from dtlns.tensor_draws import TensorDraws  # which needs the class above

    return TensorDraws(pool, device)
