"""NGCF: propagation with weights, products with the neighbourhood, and a nonlinearity."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from dtlns._border import real
from dtlns.data.views import TrainView
from dtlns.embeddings import Layers, SeparateLayers
from dtlns.errors import InputError
from dtlns.models.base import EmbeddingModel
from dtlns.models.mf import xavier
from dtlns.models.propagation import BipartiteGraph
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step

SLOPE = 0.2
"""Of LeakyReLU below 0; what the authors' framework takes where it is not told."""


class NGCF(EmbeddingModel):
    """Neural graph collaborative filtering: layers put beside each other, so that a vector has L · D numbers.

    E_(l+1) = LeakyReLU((A + 1) E_l W1_l + (A E_l ⊙ E_l) W2_l), A = D^-1/2 R D^-1/2 over users and items;
    the outputs of the layers after the input get unit length in the final vector, not on the way on.

    Source: Wang et al., Neural graph collaborative filtering (SIGIR 2019): eq. 7 and 8 for the layers, 9 and
    10 for the score. From the authors' code: the unit length, and message dropout as dropout of each layer's
    output, 0.1. Where the code departs from eq. 7 and 8, the equations are followed: it has biases, applies
    LeakyReLU to the two terms by themselves, and takes D^-1 (R + 1) in both. No node dropout, which the
    authors leave off. All layers have D dimensions. L2 is on the input embeddings of the batch, as for all
    models here, where theirs is on the final ones.

    Args:
        train: The training interactions, which are the graph.
        dimensions: D.
        hops: Propagation layers.
        message_dropout: Share of each layer's output that is dropped in training, below 1.
        seed: Of the initial embeddings and weights (Xavier-uniform).

    Raises:
        InputError: The dropout is not a share.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 1], [0, 1, 1]]))
        >>> model = NGCF(train, 4, hops=2)
        >>> model.pool(model.layers().users).shape
        torch.Size([2, 12])
    """

    option_names = ("message_dropout",)

    def __init__(
        self,
        train: TrainView,
        dimensions: int,
        hops: int = 3,
        *,
        message_dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.message_dropout = real("message_dropout", message_dropout, 0.0)
        if self.message_dropout >= 1:
            raise InputError(f"message_dropout is {message_dropout!r}", allowed="a number from 0 to below 1")
        self.n_users = train.n_users
        self.n_items = train.n_items
        self.user_embeddings = xavier(train.n_users, dimensions, seed=seed, purpose="init users")
        self.item_embeddings = xavier(train.n_items, dimensions, seed=seed, purpose="init items")
        self.sums = _weights("W1", hops, dimensions, seed)
        self.products = _weights("W2", hops, dimensions, seed)
        self.graph = BipartiteGraph(train)

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        return cls(train, config.dimensions, config.layers, seed=seed, **config.options)

    def layers(self, step: Step | None = None) -> Layers:
        """Propagate, with message dropout in training: float32 [U, L, D] and [I, L, D], the input first."""
        nodes = torch.cat([self.user_embeddings, self.item_embeddings])
        kept = 1 - self.message_dropout
        generator = None if step is None else step.generator("ngcf message dropout", nodes.device)
        outputs = [nodes]
        for sums, products in zip(self.sums, self.products, strict=True):
            around = self._neighbourhoods(nodes)
            mixed = (around + nodes) @ sums + (around * nodes) @ products
            nodes = functional.leaky_relu(mixed, SLOPE)
            if generator is not None and kept < 1:
                numbers = torch.rand(nodes.shape, generator=generator, device=nodes.device)
                nodes = nodes * (numbers < kept) / kept
            outputs.append(functional.normalize(nodes, dim=1))
        users, items = zip(
            *(torch.split(rows, [self.n_users, self.n_items]) for rows in outputs), strict=True
        )
        return SeparateLayers(users, items, sparse_gradients=False)

    def pool(self, layered: Tensor) -> Tensor:
        """Put layers beside each other: float32 [..., L, D] -> [..., L · D]."""
        return layered.flatten(-2)

    def _neighbourhoods(self, nodes: Tensor) -> Tensor:
        """Multiply by the adjacency: float32 [U + I, D]."""
        layers = self.graph(nodes[: self.n_users], nodes[self.n_users :], 1)
        return torch.cat([layers.users[:, 1], layers.items[:, 1]])


def _weights(name: str, hops: int, dimensions: int, seed: int) -> nn.ParameterList:
    """Return a matrix for each hop, float32 [D, D]."""
    return nn.ParameterList(
        xavier(dimensions, dimensions, seed=seed, purpose=f"init {name} {hop}") for hop in range(hops)
    )
