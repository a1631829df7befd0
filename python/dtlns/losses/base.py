"""What a loss sees of a batch and what it answers: one number for each pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from dtlns.embeddings import Layers, Similarity, comparable
from dtlns.training.streams import Step


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Pairs, their negatives and their embeddings.

    Several processes share a batch: each sees its own B of the W pairs, and the model's whole tables.
    Negatives that are the same for all pairs have a first dimension of 1 instead of B.

    Attributes:
        users: int64 [B].
        positives: int64 [B].
        negatives: int64 [B, K] or [1, K].
        whole_users: int64 [W], the users of the whole batch, the same in every process.
        whole_positives: int64 [W], their positives.
        whole_weights: float32 [W], how much each pair of the whole batch counts; None means ones.
        layers: The model's embeddings for this batch.
        user_layers: float32 [B, L, D], rows of `layers.users`.
        positive_layers: float32 [B, L, D], rows of `layers.items`.
        negative_layers: float32 [B, K, L, D] or [1, K, L, D], of drawn items or mixed.
        allowed: bool [B, K], which of the negatives count for which pair; None means all.
        log_q: float32 [B, K] or [1, K], log-probability of each negative under its sampler, where known.
        step: Keys the random numbers.
        pooling: Combines layers, [..., L, D] -> [..., D].
        similarity: How vectors are compared.
    """

    users: Tensor
    positives: Tensor
    negatives: Tensor
    whole_users: Tensor
    whole_positives: Tensor
    whole_weights: Tensor | None = None
    layers: Layers
    user_layers: Tensor
    positive_layers: Tensor
    negative_layers: Tensor
    allowed: Tensor | None = None
    log_q: Tensor | None = None
    step: Step
    pooling: Callable[[Tensor], Tensor]
    similarity: Similarity

    def vectors(self, layered: Tensor) -> Tensor:
        """Pool layers and make them comparable: float32 [..., L, D] -> [..., D]."""
        return comparable(self.pooling(layered), self.similarity)

    @cached_property
    def user_vectors(self) -> Tensor:
        """float32 [B, D]."""
        return self.vectors(self.user_layers)

    @cached_property
    def positive_vectors(self) -> Tensor:
        """float32 [B, D]."""
        return self.vectors(self.positive_layers)

    @cached_property
    def positive_scores(self) -> Tensor:
        """float32 [B], the score of each pair."""
        return (self.user_vectors * self.positive_vectors).sum(dim=-1)

    @cached_property
    def negative_scores(self) -> Tensor:
        """float32 [B, K], the score of each pair's user with its negatives."""
        return self.negative_logits(self.user_vectors)

    def negative_logits(self, users: Tensor, shift: Tensor | None = None) -> Tensor:
        """Compare other vectors than the users' own with the negatives, such as those scaled by 1 / τ.

        A factor of [B, D] and a shift inside of the product save passes over [B, K].

        Args:
            users: float32 [B, D].
            shift: float32 [B, K] or [1, K], added to the products.

        Returns:
            float32 [B, K], a new tensor.
        """
        negatives = self.vectors(self.negative_layers)
        if len(negatives) != 1:  # none, too: a process may have no share of a small last batch
            if negatives.shape[1] == 1:  # a third of the time of a product of matrices
                each = (negatives * users.unsqueeze(1)).sum(dim=2).float()
            else:
                each = torch.bmm(negatives, users.unsqueeze(2)).squeeze(2).float()
            return each if shift is None else each + shift
        shared = negatives[0].T  # one product of matrices, and no copy for each pair
        if shift is None or torch.is_autocast_enabled(users.device.type):
            product = (users @ shared).float()  # the shift is far from 0: half precision would round it
            return product if shift is None else product + shift
        return torch.addmm(shift, users, shared)

    def whole_vectors(self) -> tuple[Tensor, Tensor]:
        """Return users and positives of the whole batch, float32 [W, D] each."""
        if self.whole_users is self.users:
            return self.user_vectors, self.positive_vectors
        users = self.layers.user_rows(self.whole_users)
        items = self.layers.item_rows(self.whole_positives)
        return self.vectors(users), self.vectors(items)

    def mean_over_negatives(self, values: Tensor) -> Tensor:
        """Average over those negatives that count: float32 [B, K] -> [B]; 0 where none does."""
        if self.allowed is None:
            return values.mean(dim=1)
        kept = torch.where(self.allowed, values, torch.zeros_like(values)).sum(dim=1)
        return kept / self.allowed.sum(dim=1).clamp(min=1)


class Loss(ABC):
    """What training lowers: the mean over pairs of weight · `pair_losses`, plus `batch_loss`.

    Weights of pairs, such as those of weighted false negatives, are applied to `pair_losses` by the trainer;
    a `batch_loss` that is made of pairs has them in `batch.whole_weights`.

    Attributes:
        similarity: How vectors are compared, where the user does not say.
        option_names: What it reads from `LossConfig.options`; other names are refused.
    """

    similarity: ClassVar[Similarity] = "inner"
    option_names: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def build(cls, options: Mapping[str, Any]) -> Self:
        """Make a loss from its options; the default takes them as arguments by name."""
        return cls(**options)

    @abstractmethod
    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair: float32 [B], which must not depend on the batch's other pairs."""

    def batch_loss(self, batch: Batch) -> Tensor | None:
        """Return what belongs to the whole batch and not to one pair, a scalar of its W pairs, or None."""
        return None
