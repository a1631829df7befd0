"""MixGCF: negatives synthesised from the positive and the hardest candidate of each layer."""

from __future__ import annotations

import torch
from torch import Tensor

from dtlns.models.base import gather_rows
from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.scored import ScoreBased, candidate_scores
from dtlns.sampling import keyed_uniform
from dtlns.training.streams import MIXING


class MixGCF(ScoreBased):
    """Positive mixing and hop mixing.

    Positive mixing, per layer l: e'_n = r_l e_p + (1 - r_l) e_n with r_l ~ U(0, 1), drawn per pair and layer
    (eq. 7). Hop mixing: the candidate with the largest <e_u, e'_n> in each layer, and the chosen layers
    together form the negative (eq. 8, 9). r_l is the same for all candidates of a layer, so neither the
    arg-max nor the min-max normalised score depends on it: the choice needs <e_u, e_n> alone, and only the
    chosen candidates are mixed.

    Source: Huang et al., MixGCF (KDD 2021).
    """

    def sample(self, context: SamplingContext) -> Negatives:
        """Synthesise one negative per pair: ids int64 [B, 1], layers float32 [B, 1, L, D]."""
        with torch.no_grad():
            candidates = context.draw(self.candidates)
            scores = self.scores(context, candidates)
            chosen = candidates.gather(1, self.choose(scores, context.positives, candidates))
            mixing = self.coefficients(context)
        # [B, L]: item chosen[b, l] in layer l is row chosen * L + l of the table with layers unfolded
        n_layers, size = context.layers.items.shape[1:]
        unfolded = context.layers.items.reshape(-1, 1, size)
        offsets = torch.arange(n_layers, device=chosen.device)
        negative = gather_rows(unfolded, chosen * n_layers + offsets).squeeze(2)
        mixed = mixing * context.positive_layers + (1 - mixing) * negative
        return Negatives(chosen[:, :1], layers=mixed.unsqueeze(1))

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates per layer, <pooled e_u, e_n of the layer>: float32 [B, N, L]."""
        return candidate_scores(context.user_vectors, context.layers.items.detach(), candidates)

    def coefficients(self, context: SamplingContext) -> Tensor:
        """Draw r: float32 [B, L, 1], keyed by seed, epoch and row."""
        numbers = keyed_uniform(
            context.rows,
            context.layers.items.shape[1],
            seed=context.seed,
            epoch=context.epoch,
            purpose=MIXING,
        )
        return torch.from_numpy(numbers).to(context.users.device).unsqueeze(2)
