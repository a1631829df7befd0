"""Pairwise losses as plain functions of scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def bpr(positive: Tensor, negative: Tensor, weights: Tensor | None = None) -> Tensor:
    """Bayesian personalised ranking: the mean of w · log(1 + exp(s_neg - s_pos)).

    The mean runs over pairs and negatives, not over weights: a pair of weight 0.5 pulls half as hard.
    Source: Rendle et al., BPR (UAI 2009), the optimisation criterion of section 4.

    Args:
        positive: float32 [B], scores of the positives.
        negative: float32 [B, K], scores of their negatives.
        weights: float32 [B], or None for ones.

    Returns:
        A scalar.

    Example:
        >>> round(float(bpr(torch.zeros(1), torch.zeros(1, 1))), 4)
        0.6931
    """
    terms = functional.softplus(negative - positive.unsqueeze(1))
    if weights is not None:
        terms = terms * weights.unsqueeze(1)
    return terms.mean()


def half_squared_norm(parts: Sequence[Tensor]) -> Tensor:
    """Return half the squared norm of a pair's embeddings, averaged over the batch.

    Args:
        parts: float32 [B, D] or [B, K, D] (then averaged over K too).

    Returns:
        A scalar, ½ · Σ_parts mean ‖e‖².
    """
    total = torch.zeros((), dtype=parts[0].dtype, device=parts[0].device)
    for part in parts:
        total = total + part.square().sum() / (part.numel() // part.shape[-1])
    return 0.5 * total
