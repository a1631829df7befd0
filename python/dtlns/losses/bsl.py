"""Bilateral softmax: softmax that doubts positives as it doubts negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dtlns._border import real
from dtlns.losses.base import Batch, Loss
from dtlns.losses.softmax import negative_logits


class BSL(Loss):
    """-(τ1 / τ2) log E_p[exp(s_p / τ1)] + log E_n[exp(s_n / τ2)], of cosines by default.

    E_n averages over a pair's negatives, E_p over the pairs of the batch that share its user, as the authors'
    code does: a positive that scores far below the user's others counts little, since it may be noise. A user
    with one pair in the batch has nothing to compare, and τ1 does not matter for it. With τ1 → ∞ all
    positives count the same.

    Source: Wu et al., BSL: understanding and improving softmax loss for recommendation (ICDE 2024), here
    divided by τ2 to be on the scale of the softmax.

    Args:
        temperature: τ2, of the negatives.
        positive_temperature: τ1, of the positives.

    Raises:
        InputError: One is not a positive number.

    Example:
        >>> BSL(temperature=0.1).positive_temperature
        0.15
    """

    similarity = "cosine"
    option_names = ("temperature", "positive_temperature")

    def __init__(self, temperature: float = 0.15, positive_temperature: float = 0.15) -> None:
        self.temperature = real("temperature", temperature, 0.0, above=True)
        self.positive_temperature = real("positive_temperature", positive_temperature, 0.0, above=True)

    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair by itself, as if it were its user's only one: float32 [B]; 0 without negatives."""
        logits = negative_logits(batch, self.temperature)
        losses = log_mean_exp(logits, batch.allowed) - batch.positive_scores / self.temperature
        return losses if batch.allowed is None else losses.where(batch.allowed.any(dim=1), 0.0)

    def batch_loss(self, batch: Batch) -> Tensor:
        """Return what changes when a user's positives are seen together: a scalar, never above 0."""
        users, items = batch.whole_vectors()
        logits = (users * items).sum(dim=-1) / self.positive_temperature
        weights = torch.ones_like(logits) if batch.whole_weights is None else batch.whole_weights
        apart = (weights * logits).sum()
        together = sum_of_log_mean_exp(logits, weights, batch.whole_users, batch.layers.n_users)
        return (apart - together) / len(logits) * (self.positive_temperature / self.temperature)


def log_mean_exp(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the logarithm of the mean of exp over those that count: float32 [B, K] -> [B]."""
    sums = torch.logsumexp(logits, dim=1)
    if allowed is None:
        return sums - math.log(logits.shape[1])
    return sums - allowed.sum(dim=1).clamp(min=1).log()


def sum_of_log_mean_exp(logits: Tensor, weights: Tensor, users: Tensor, n_users: int) -> Tensor:
    """Return Σ_u W_u log( Σ_b w_b exp(l_b) / W_u ) over the pairs b of each user u, W_u = Σ_b w_b.

    Args:
        logits: float32 [W].
        weights: float32 [W], not negative.
        users: int64 [W].
        n_users: U.

    Returns:
        A scalar; users without pairs, or with weights of 0 alone, add nothing.

    Example:
        >>> logits, users = torch.tensor([0.0, 0.0, 5.0]).exp(), torch.tensor([2, 2, 0])
        >>> same = sum_of_log_mean_exp(logits, torch.ones(3), users, 4)
        >>> torch.testing.assert_close(same, logits.sum())
    """
    none = logits.new_zeros(n_users)
    limits = torch.finfo(logits.dtype)
    highest = torch.full_like(none, limits.min).scatter_reduce(0, users, logits.detach(), "amax")
    totals = none.index_add(0, users, weights)
    sums = none.index_add(0, users, weights * torch.exp(logits - highest[users]))
    means = sums.clamp(min=limits.tiny) / totals.clamp(min=limits.tiny)
    return (totals * (means.log() + highest)).sum()
