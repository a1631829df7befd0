"""DNS: the hardest of N uniform candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.scored import ScoreBased, candidate_scores


class DNS(ScoreBased):
    """Takes the candidate that the model itself scores highest, argmax_n <e_u, e_n>.

    Source: Zhang et al., Optimizing top-N collaborative filtering via dynamic negative item sampling
    (SIGIR 2013), with a pool of N uniform candidates.
    """

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw N candidates and keep the hardest: int64 [B, 1]."""
        with torch.no_grad():
            candidates = context.draw(self.candidates)
            scores = self.scores(context, candidates)
            chosen = self.choose(scores, context.positives, candidates)
        return Negatives(candidates.gather(1, chosen))

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates by pooled embeddings: float32 [B, N, 1]."""
        return candidate_scores(context.user_vectors, context.item_vectors.unsqueeze(1), candidates)
