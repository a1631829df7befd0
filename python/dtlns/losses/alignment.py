"""Alignment and uniformity: pairs close together, everything else far apart, without negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dtlns._border import real
from dtlns.embeddings import comparable
from dtlns.losses.base import Batch, Loss

_TINY = 1e-20  # makes log 0 / 0 a 0


class AlignmentUniformity(Loss):
    """|| u - i ||² of a pair, and γ / 2 (uniformity of the users + of the positives) of the whole batch.

    Vectors have unit length here, whatever the similarity; `similarity` says how the trained vectors score:
    by their inner product, with the lengths that they have, in the authors' code and here. In the uniformity
    a user counts as often as she is in the batch, and with the weights of her pairs. Negatives are not looked
    at: the sampler `uniform` is the cheapest. The two matrices of a batch take 4 W² bytes each.

    Source: Wang et al., Towards representation alignment and uniformity in collaborative filtering (KDD
    2022), l_align and l_uniform with the squared distance and t = 2, and l_DirectAU, their sum.

    Args:
        gamma: γ; from 0.2 to 10 in the paper, by data set.

    Raises:
        InputError: It is negative or no number.
    """

    option_names = ("gamma",)

    def __init__(self, gamma: float = 1.0) -> None:
        self.gamma = real("gamma", gamma, 0.0)

    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair by its squared distance: float32 [B]."""
        users, positives = (_unit(vectors) for vectors in (batch.user_vectors, batch.positive_vectors))
        return (users - positives).square().sum(dim=1)

    def batch_loss(self, batch: Batch) -> Tensor | None:
        """Return γ times the mean uniformity of users and positives."""
        users, positives = (uniformity(rows, batch.whole_weights) for rows in batch.whole_vectors())
        return 0.5 * self.gamma * (users + positives)


def uniformity(vectors: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute log mean exp(-2 || x - y ||²) over all pairs of different rows, made of unit length first.

    Args:
        vectors: float32 [W, D].
        weights: float32 [W]; two rows count with the product of theirs. None means ones.

    Returns:
        A scalar, at most 0; 0 where there are no two rows that count.

    Example:
        >>> float(uniformity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])))  # a squared distance of 4
        -8.0
    """
    unit = _unit(vectors.float())
    with torch.autocast(unit.device.type, enabled=False):
        # || x - y ||² = 2 - 2 <x, y>; in place, since these W² numbers are what the loss costs
        exponents = torch.addmm(unit.new_full((1, 1), -4.0), unit, unit.T, alpha=4.0)
        potentials = exponents.fill_diagonal_(-math.inf).exp_()
        return _log_mean(potentials, weights)


def _log_mean(potentials: Tensor, weights: Tensor | None) -> Tensor:
    """Return the log of the weighted mean off the diagonal of float32 [W, W], which is 0 there."""
    counts = torch.ones_like(potentials[0]) if weights is None else weights
    pairs = counts @ (counts.sum() - counts)
    return torch.log((counts @ potentials @ counts + _TINY) / (pairs + _TINY))


def _unit(vectors: Tensor) -> Tensor:
    return comparable(vectors, "cosine")
