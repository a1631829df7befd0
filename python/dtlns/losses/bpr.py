"""BPR: each negative should score below its positive."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from dtlns.losses.base import Batch, Loss


class BPR(Loss):
    """Bayesian personalised ranking: the mean over negatives of log(1 + exp(s_neg - s_pos)).

    Source: Rendle et al., BPR (UAI 2009), the optimisation criterion of section 4.
    """

    def pair_losses(self, batch: Batch) -> Tensor:
        """Rate each pair: float32 [B]."""
        gaps = batch.negative_scores - batch.positive_scores.unsqueeze(1)
        return batch.mean_over_negatives(functional.softplus(gaps))
