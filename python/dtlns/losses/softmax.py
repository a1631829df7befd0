"""Sampled softmax: the positive against all of its negatives at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dtlns.errors import ConfigError
from dtlns.losses.base import Batch, Loss


class SampledSoftmax(Loss):
    """-log( exp(s_pos / τ) / (exp(s_pos / τ) + Σ_n exp(s_n / τ - log q_n)) ), of cosines by default.

    The correction by log q makes the sum an estimate of the sum over the catalogue (Bengio and Senécal, 2008;
    Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019, eq. 3 to 5); with uniform negatives it
    only shifts them all against the positive, so it is taken relative to uniform draws: log (q_n · I).

    Source: Wu et al., On the effectiveness of sampled softmax loss for item recommendation (TOIS 2024).

    Args:
        temperature: τ.

    Raises:
        ConfigError: It is not a positive number.
    """

    similarity = "cosine"
    option_names = ("temperature",)

    def __init__(self, temperature: float = 0.15) -> None:
        self.temperature = positive_number("temperature", temperature)

    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair: float32 [B]."""
        positive = batch.positive_scores.unsqueeze(1) / self.temperature
        negative = corrected(batch.negative_scores / self.temperature, batch)
        return torch.logsumexp(torch.cat([positive, negative], dim=1), dim=1) - positive.squeeze(1)


def corrected(logits: Tensor, batch: Batch) -> Tensor:
    """Correct negatives by how likely they were drawn, and drop those that do not count.

    Args:
        logits: float32 [B, K].
        batch: With `log_q` and `allowed`.

    Returns:
        float32 [B, K]; -inf where a negative does not count.
    """
    if batch.log_q is not None:
        logits = logits - (batch.log_q + math.log(len(batch.layers.items)))
    if batch.allowed is not None:
        logits = logits.masked_fill(~batch.allowed, -math.inf)
    return logits


def positive_number(name: str, value: object) -> float:
    """Check an option that must be a positive number.

    Raises:
        ConfigError: It is something else.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    if not good:
        raise ConfigError(f"{name} is {value!r}", allowed="a number above 0")
    return float(value)  # type: ignore[arg-type]
