"""XSimGCL: one noisy pass for recommendation and contrast, between the last layers and an early one."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from dtlns._border import integer, real
from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.losses.base import Batch
from dtlns.models.contrast import info_nce, perturbation
from dtlns.models.lightgcn import LightGCN
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step


class XSimGCL(LightGCN):
    """LightGCN without its input layer in the mean, noisy in training, contrasted across its own layers.

    One noisy pass a step gives both the embeddings that rate pairs and the two views: the pooled embedding,
    and that of layer l* alone. The batch loss is λ (InfoNCE over the batch's different users + InfoNCE over
    its different positives). Evaluation is without noise. The matrices of a batch take 4 W² bytes at most,
    each.

    Source: Yu et al., XSimGCL: Towards extremely simple graph contrastive learning for recommendation (TKDE
    2023), section 3, and the authors' code: λ = 0.2, ε = 0.2, τ = 0.15, l* = 1 for Yelp2018. L2 is on the
    input embeddings of the batch, as for all models here, where theirs is on the final ones.

    Args:
        train: The training interactions, which are the graph.
        dimensions: D.
        hops: Propagation layers, at least one.
        contrast: λ, weight of the contrastive term; the option `lambda`.
        eps: ε, length of the noise.
        temperature: τ.
        contrast_layer: l*, from 0, the input, to the number of hops.
        seed: Of the initial embeddings.

    Raises:
        InputError: A number is out of range.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 1], [0, 1, 1]]))
        >>> model = XSimGCL(train, 4, hops=2)
        >>> bool((model.layers().users == model.layers(Step(0, 1, 0)).users).all())
        False
    """

    option_names = ("lambda", "eps", "temperature", "contrast_layer")

    def __init__(
        self,
        train: TrainView,
        dimensions: int,
        hops: int = 3,
        *,
        contrast: float = 0.2,
        eps: float = 0.2,
        temperature: float = 0.15,
        contrast_layer: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(train, dimensions, integer("layers", hops, 1, 64), seed=seed)
        self.contrast = real("lambda", contrast, 0.0)
        self.eps = real("eps", eps, 0.0, above=True)
        self.temperature = real("temperature", temperature, 0.0, above=True)
        self.contrast_layer = integer("contrast_layer", contrast_layer, 0, hops)

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model; see `EmbeddingModel.build`."""
        options = {"contrast" if name == "lambda" else name: value for name, value in config.options.items()}
        return cls(train, config.dimensions, config.layers, seed=seed, **options)

    def layers(self, step: Step | None = None) -> Layers:
        """Propagate, with noise after each hop in training: float32 [U, L, D] and [I, L, D]."""
        clean = super().layers(step)
        if step is None:
            return clean
        generator = step.generator("xsimgcl noise", self.graph.device)
        added = perturbation(clean, self.graph, eps=self.eps, generator=generator)
        return Layers(clean.users + added.users, clean.items + added.items)

    def pool(self, layered: Tensor) -> Tensor:
        """Average the layers but the input: float32 [..., L, D] -> [..., D]."""
        return layered[..., 1:, :].mean(dim=-2)

    def batch_loss(self, batch: Batch) -> Tensor | None:
        """Return the contrastive term: a scalar."""
        total = torch.zeros((), device=self.graph.device)
        for rows in (
            batch.layers.user_rows(torch.unique(batch.whole_users)),
            batch.layers.item_rows(torch.unique(batch.whole_positives)),
        ):
            total = total + info_nce(self.pool(rows), rows[:, self.contrast_layer], self.temperature)
        return self.contrast * total
