"""SimGCL: LightGCN that also learns to recognise a user or an item through noise."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from dtlns._border import integer, real
from dtlns.data.views import TrainView
from dtlns.losses.base import Batch
from dtlns.models.contrast import info_nce, perturbation
from dtlns.models.lightgcn import LightGCN
from dtlns.training.settings import ModelConfig


class SimGCL(LightGCN):
    """LightGCN without its input layer in the mean, and InfoNCE between two noisy views of each node.

    Its batch loss is λ (InfoNCE over the batch's different users + InfoNCE over its different positives). The
    pairs are rated by clean embeddings. The matrices of a batch hold one number for two of its users, or two
    of its positives: 4 W² bytes at most, each.

    Source: Yu et al., Are graph augmentations necessary? Simple graph contrastive learning for recommendation
    (SIGIR 2022), section 3, and the authors' code: τ = 0.2, and λ = 0.5, ε = 0.1 for Yelp2018. L2 is on the
    input embeddings of the batch, as for all models here, where theirs is on the final ones.

    Args:
        train: The training interactions, which are the graph.
        dimensions: D.
        hops: Propagation layers, at least one.
        contrast: λ, weight of the contrastive term; the option `lambda`.
        eps: ε, length of the noise.
        temperature: τ.
        seed: Of the initial embeddings.

    Raises:
        InputError: A number is out of range.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 1], [0, 1, 1]]))
        >>> SimGCL(train, 4, hops=2).layers().items.shape
        torch.Size([3, 3, 4])
    """

    option_names = ("lambda", "eps", "temperature")

    def __init__(
        self,
        train: TrainView,
        dimensions: int,
        hops: int = 3,
        *,
        contrast: float = 0.5,
        eps: float = 0.1,
        temperature: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(train, dimensions, integer("layers", hops, 1, 64), seed=seed)
        self.contrast = real("lambda", contrast, 0.0)
        self.eps = real("eps", eps, 0.0, above=True)
        self.temperature = real("temperature", temperature, 0.0, above=True)

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        options = {"contrast" if name == "lambda" else name: value for name, value in config.options.items()}
        return cls(train, config.dimensions, config.layers, seed=seed, **options)

    def pool(self, layered: Tensor) -> Tensor:
        """Average the layers but the input: float32 [..., L, D] -> [..., D]."""
        return layered[..., 1:, :].mean(dim=-2)

    def batch_loss(self, batch: Batch) -> Tensor | None:
        """Return the contrastive term: a scalar."""
        device = self.graph.device
        one, other = (
            perturbation(
                batch.layers,
                self.graph,
                eps=self.eps,
                generator=batch.step.generator(f"contrastive view {view}", device),
            )
            for view in (1, 2)
        )
        total = torch.zeros((), device=device)
        for rows, first, second, ids in (
            (batch.layers.user_rows, one.users, other.users, torch.unique(batch.whole_users)),
            (batch.layers.item_rows, one.items, other.items, torch.unique(batch.whole_positives)),
        ):
            common = self.pool(rows(ids))
            views = common + self.pool(first[ids]), common + self.pool(second[ids])
            total = total + info_nce(*views, self.temperature)
        return self.contrast * total
