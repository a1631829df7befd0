"""What a model is to the rest: something that scores items for users, and maybe layers of embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers, Similarity, comparable
from dtlns.losses.base import Batch, Loss
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step


@runtime_checkable
class Scorer(Protocol):
    """Anything that ranks all items for a user; evaluation and recommendation need no more."""

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        ...

    @property
    def n_items(self) -> int:
        """Number of items, I."""
        ...

    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score every item for some users.

        Args:
            users: int64 [B].

        Returns:
            float32 [B, I], higher is better, never NaN.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing folder: `scorer.json` and `scorer.safetensors`."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


@runtime_checkable
class TensorScorer(Protocol):
    """A scorer that can also score on a GPU; evaluation there asks for it."""

    def score_tensor(self, users: Tensor) -> Tensor:
        """Score every item for some users: int64 [B] -> float32 [B, I], on the device of `users`."""
        ...


class EmbeddingModel(nn.Module, ABC):
    """A model whose score is the inner product, or the cosine, of a user's and an item's pooled embedding.

    A subclass sets `n_users` and `n_items`, gives `build` and `layers`, and may change `pool`, the loss that
    it is trained with, and what it adds to it.

    Attributes:
        n_users: U.
        n_items: I.
        option_names: What it reads from `ModelConfig.options`; other names are refused.
        default_loss: Name of the loss where the user names none; None for a model that brings `pair_losses`
            of its own, which then cannot be trained with another.
    """

    n_users: int
    n_items: int
    option_names: ClassVar[tuple[str, ...]] = ()
    default_loss: ClassVar[str | None] = "bpr"

    @classmethod
    @abstractmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int) -> Self:
        """Make an untrained model on the CPU.

        Args:
            config: Its shape.
            train: The training interactions (ids for MF, the graph for LightGCN).
            seed: Of the initial embeddings.
        """

    @abstractmethod
    def layers(self, step: Step | None = None) -> Layers:
        """Compute all embeddings, differentiable.

        Args:
            step: Keys what is random in training, such as dropout, by `step.generator`, so that a resumed
                run and every process see the same; None leaves it out, and is how a model is evaluated.

        Returns:
            float32 [U, L, D] and [I, L, D].
        """

    def pool(self, layered: Tensor) -> Tensor:
        """Combine layers: the mean over L. float32 [..., L, D] -> [..., D]."""
        layers = layered.shape[-2]
        # unlike that of `mean`, the gradient of a sum is a view and not a copy for each layer
        return layered.squeeze(-2) if layers == 1 else layered.sum(dim=-2) / layers

    @torch.no_grad()
    def pooled(self, similarity: Similarity = "inner") -> tuple[Tensor, Tensor]:
        """Return the final embeddings, whose inner product is the similarity: float32 [U, D] and [I, D]."""
        training = self.training
        self.eval()
        users, items = (comparable(self.pool(layered), similarity) for layered in self.layers())
        self.train(training)
        return users.detach(), items.detach()

    def pair_losses(self, batch: Batch, loss: Loss | None) -> Tensor:
        """Rate each pair: float32 [B]; what the loss says, where the model has none of its own."""
        if loss is None:
            raise NotImplementedError(f"{type(self).__name__} has neither a default_loss nor pair_losses")
        return loss.pair_losses(batch)

    def batch_loss(self, batch: Batch) -> Tensor | None:
        """Return what the model adds for the whole batch, such as a contrastive term, or None.

        It is a scalar of the batch's W pairs, the same in every process, from `batch.whole_users` and
        `batch.whole_positives`.
        """
        return None
