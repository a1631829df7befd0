"""LightGCN: embeddings smoothed over the user-item graph, one layer per hop."""

from __future__ import annotations

from typing import Self

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.models.base import EmbeddingModel
from dtlns.models.mf import xavier
from dtlns.models.propagation import BipartiteGraph
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step


class LightGCN(EmbeddingModel):
    """LightGCN with mean pooling: E_(l+1) = D^-1/2 A D^-1/2 E_l over users and items, L = hops + 1.

    Source: He et al., LightGCN (SIGIR 2020), equations 3 to 8, with layer weights 1 / (hops + 1).

    Args:
        train: The training interactions, which are the graph.
        dimensions: D.
        hops: Propagation layers.
        seed: Of the initial embeddings (Xavier-uniform, users and items each).
    """

    def __init__(self, train: TrainView, dimensions: int, hops: int = 3, *, seed: int = 0) -> None:
        super().__init__()
        self.n_users = train.n_users
        self.n_items = train.n_items
        self.hops = hops
        self.user_embeddings = xavier(train.n_users, dimensions, seed=seed, purpose="init users")
        self.item_embeddings = xavier(train.n_items, dimensions, seed=seed, purpose="init items")
        self.graph = BipartiteGraph(train)

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        return cls(train, config.dimensions, config.layers, seed=seed)

    def layers(self, step: Step | None = None) -> Layers:
        """Propagate: float32 [U, L, D] and [I, L, D], the input embeddings first."""
        layers: Layers = self.graph(self.user_embeddings, self.item_embeddings, self.hops)
        return layers
