"""The check suite fails each loss that breaks a rule."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dtlns.losses.base import Batch, Loss
from dtlns.losses.bpr import BPR
from dtlns.testing.checks import check_loss


class Averaged(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return super().pair_losses(batch).mean()


class InBatch(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return super().pair_losses(batch) - batch.positive_scores.mean()


class OwnShare(BPR):
    def batch_loss(self, batch: Batch) -> Tensor:
        return batch.user_vectors.square().mean()


class Vector(BPR):
    def batch_loss(self, batch: Batch) -> Tensor:
        return batch.user_vectors.square().sum(dim=1)


class Weighted(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        losses = super().pair_losses(batch)
        return losses if batch.whole_weights is None else losses * batch.whole_weights


class Unmasked(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return functional.softplus(batch.negative_scores - batch.positive_scores.unsqueeze(1)).mean(dim=1)


class FirstOnly(BPR):
    """Averages over the negatives that count, and gives back nothing finite where none does."""

    def pair_losses(self, batch: Batch) -> Tensor:
        gaps = functional.softplus(batch.negative_scores - batch.positive_scores.unsqueeze(1))
        if batch.allowed is None:
            return gaps.mean(dim=1)
        return (gaps * batch.allowed).sum(dim=1) / batch.allowed.sum(dim=1)


class Unshared(BPR):
    """Takes negatives for [B, K] whatever they are, and so a sum over those that are shared."""

    def pair_losses(self, batch: Batch) -> Tensor:
        negatives = batch.vectors(batch.negative_layers)
        scores = (batch.user_vectors.unsqueeze(1) * negatives).sum(dim=-1)
        gaps = functional.softplus(scores - batch.positive_scores.unsqueeze(1))
        return batch.mean_over_negatives(gaps) * len(negatives) / len(batch.users)


class Upwards(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return -super().pair_losses(batch)


class Attracted(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return -batch.positive_scores - batch.mean_over_negatives(batch.negative_scores)


class Overflowing(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        gaps = batch.negative_scores - batch.positive_scores.unsqueeze(1)
        return batch.mean_over_negatives(torch.log1p(torch.exp(gaps)))


class Random(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        return super().pair_losses(batch) * torch.rand(())


class Counting(BPR):
    calls = 0

    def pair_losses(self, batch: Batch) -> Tensor:
        self.calls += 1
        return super().pair_losses(batch) + self.calls


class Logless(BPR):
    def pair_losses(self, batch: Batch) -> Tensor:
        losses = super().pair_losses(batch)
        return losses if batch.log_q is None else losses + batch.log_q.log().sum(dim=1)


class Angular(BPR):
    similarity: ClassVar[Literal["inner", "cosine"]] = "angle"  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Averaged, r"not float32 \[12\], one for each pair"),
        (InBatch, "depends on the batch's other pairs"),
        (OwnShare, "batch_loss is another in a process that has a part"),
        (Vector, "not None or a finite scalar"),
        (Weighted, "they would count twice"),
        (Unmasked, "not allowed has an influence"),
        (FirstOnly, "not finite where a pair has no negatives"),
        (Unshared, r"shared negatives \[1, K\] give another loss"),
        (Upwards, "does not fall when its positive rises"),
        (Attracted, "falls when its negatives rise"),
        (Overflowing, "not finite with embeddings 100 times as long"),
        (Random, "PyTorch's global random state"),
        (Counting, "the same batch twice gives two losses"),
        (Logless, "with log_q, a pair's loss is not finite"),
        (Angular, "similarity is 'angle'"),
    ],
)
def test_broken_losses_fail(kind: type[Loss], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_loss(kind)
