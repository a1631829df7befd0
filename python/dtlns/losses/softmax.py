"""Sampled softmax: the positive against all of its negatives at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from dtlns._border import real
from dtlns.losses.base import Batch, Loss


class SampledSoftmax(Loss):
    """-log( exp(s_pos / τ) / (exp(s_pos / τ) + Σ_n exp(s_n / τ - log(q_n I))) ), of cosines by default.

    Computed as log(1 + exp(logsumexp_n - s_pos / τ)). Where the sampler knows the probability q_n of its
    draws, each counts 1 / q_n times, so that K of them stand for the whole catalogue (Bengio and Senécal,
    Adaptive importance sampling to accelerate training of a neural probabilistic language model, 2008): the
    sum is K / I times an estimate of that over all items. The constant stays, so that uniform draws,
    q = 1 / I, mean the same with a known q and without.

    Source: Wu et al., On the effectiveness of sampled softmax loss for item recommendation (TOIS 2024).

    Args:
        temperature: τ.

    Raises:
        InputError: It is not a positive number.

    Example:
        >>> SampledSoftmax(temperature=0.2).temperature
        0.2
    """

    similarity = "cosine"
    option_names = ("temperature",)

    def __init__(self, temperature: float = 0.15) -> None:
        self.temperature = real("temperature", temperature, 0.0, above=True)

    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair: float32 [B]; 0 where none of its negatives counts."""
        negatives = torch.logsumexp(negative_logits(batch, self.temperature), dim=1)
        return functional.softplus(negatives - batch.positive_scores / self.temperature)


def negative_logits(batch: Batch, temperature: float) -> Tensor:
    """Return the negatives' scores over τ, corrected by how likely they were drawn: float32 [B, K].

    One that does not count has the lowest number that there is, not -inf: a pair without negatives
    would have no gradient by that. The logits are made for the sum of their exp alone.
    """
    shift = None if batch.log_q is None else -(batch.log_q + math.log(batch.layers.n_items))
    logits = batch.negative_logits(batch.user_vectors / temperature, shift)
    if batch.allowed is not None:
        with torch.no_grad():  # exp is 0 there, and so is the gradient: no second pass is needed for that
            logits.masked_fill_(~batch.allowed, torch.finfo(logits.dtype).min)
    return logits
