"""Matrix factorisation: one embedding per user and item, and their inner product."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.models.base import EmbeddingModel
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step, torch_generator


class MF(EmbeddingModel):
    """Matrix factorisation with Xavier-uniform initial embeddings, L = 1.

    Source: Koren, Bell and Volinsky, Matrix factorization techniques for recommender systems (2009).

    Args:
        n_users: U.
        n_items: I.
        dimensions: D.
        seed: Of the initial embeddings.

    Example:
        >>> MF(3, 4, 8).layers().users.shape
        torch.Size([3, 1, 8])
    """

    def __init__(self, n_users: int, n_items: int, dimensions: int, *, seed: int = 0) -> None:
        super().__init__()
        self.n_users = n_users
        self.n_items = n_items
        self.user_embeddings = xavier(n_users, dimensions, seed=seed, purpose="init users")
        self.item_embeddings = xavier(n_items, dimensions, seed=seed, purpose="init items")

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        return cls(train.n_users, train.n_items, config.dimensions, seed=seed)

    def layers(self, step: Step | None = None) -> Layers:
        """Return the embeddings themselves, as one layer."""
        return Layers(self.user_embeddings.unsqueeze(1), self.item_embeddings.unsqueeze(1))


def xavier(rows: int, dimensions: int, *, seed: int, purpose: str) -> nn.Parameter:
    """Make a table with Xavier-uniform entries, ±sqrt(6 / (rows + D)), from a generator of its own.

    Source: Glorot and Bengio, Understanding the difficulty of training deep networks (2010), eq. 16.

    Args:
        rows: Number of users or items.
        dimensions: D.
        seed: The run's seed.
        purpose: Tells this table's numbers from another's.

    Returns:
        float32 [rows, D].
    """
    table = torch.empty(rows, dimensions, dtype=torch.float32)
    nn.init.xavier_uniform_(table, generator=torch_generator(seed, purpose))
    return nn.Parameter(table)
