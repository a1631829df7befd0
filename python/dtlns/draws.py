"""Exact draws on tensors: one interface for samplers, whatever the device."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from dtlns.errors import InputError
from dtlns.sampling import NEGATIVES, NegativePool, keyed_uniform


class Draws(ABC):
    """What may be drawn for each user, bound to one pool and one device; all tensors live there.

    A draw depends on seed, epoch, purpose, row and its own number alone, and is the same on every device.
    On the CPU, ids are checked, and a user with nothing left is an error. Elsewhere a check would wait for
    the device: a user with nothing left gets the id `n_items`, which no table of items has.

    Args:
        pool: What may be drawn for each user.
        device: Where users, rows and answers live.
    """

    def __init__(self, pool: NegativePool, device: torch.device) -> None:
        self.pool = pool
        self.device = device

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
    def uniform(self, rows: Tensor, n: int, *, seed: int, epoch: int, purpose: int) -> Tensor:
        """Draw numbers in [0, 1): float32 [B, n] for int64 [B]; see `dtlns.sampling.keyed_uniform`."""

    @abstractmethod
    def available(self, users: Tensor) -> Tensor:
        """Count the items that can be drawn for each user: int64 [B] -> int64 [B]."""

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
        if purpose != NEGATIVES:
            raise InputError(f"purpose is {purpose}", allowed=f"{NEGATIVES}")
        return torch.from_numpy(self.pool.sample(users.numpy(), n, rows=rows.numpy(), seed=seed, epoch=epoch))

    def uniform(self, rows: Tensor, n: int, *, seed: int, epoch: int, purpose: int) -> Tensor:
        """Draw float32 [B, n]; see `Draws.uniform`."""
        return torch.from_numpy(keyed_uniform(rows.numpy(), n, seed=seed, epoch=epoch, purpose=purpose))

    def available(self, users: Tensor) -> Tensor:
        """Count int64 [B]; see `Draws.available`."""
        return torch.from_numpy(self.pool.available(users.numpy()))

    def allowed(self, users: Tensor, items: Tensor) -> Tensor:
        """Tell bool [B, K]; see `Draws.allowed`."""
        wanted = items.expand(len(users), -1).numpy()
        rows = [
            ~np.isin(row, self.pool.forbidden(user)) for user, row in zip(users.tolist(), wanted, strict=True)
        ]
        return torch.from_numpy(np.array(rows, dtype=np.bool_).reshape(wanted.shape))


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
    if device.type != "cpu":
        raise InputError(f"device is {device}", allowed="cpu")
    return CoreDraws(pool)
