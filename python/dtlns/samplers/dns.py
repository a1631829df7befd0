"""DNS: the hardest of N uniform candidates."""

from __future__ import annotations

from torch import Tensor

from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.scored import ScoreBased, candidate_scores


class DNS(ScoreBased):
    """Takes the candidate that the model itself scores highest, argmax_n <e_u, e_n>.

    Source: Zhang et al., Optimizing top-N collaborative filtering via dynamic negative item sampling
    (SIGIR 2013), with a pool of N uniform candidates.
    """

    def sample(self, context: SamplingContext) -> Negatives:
        """Keep the hardest of N candidates, K times: int64 [B, K]."""
        return Negatives(self.choose(context).squeeze(2))

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates by pooled embeddings: float32 [B, C, 1]."""
        return candidate_scores(context.user_vectors, context.item_vectors.unsqueeze(1), candidates)
