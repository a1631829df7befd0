"""MixGCF: negatives synthesised from the positive and the hardest candidate of each layer."""

from __future__ import annotations

import torch
from torch import Tensor

from dtlns.embeddings import comparable
from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.scored import ScoreBased, candidate_scores
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
        """Synthesise negatives: ids int64 [B, K], layers float32 [B, K, L, D]."""
        chosen = self.choose(context)
        negative = context.layers.chosen_items(chosen)
        mixing = self.coefficients(context)
        mixed = torch.lerp(negative, context.positive_layers.unsqueeze(1), mixing)
        return Negatives(chosen[:, :, 0], layers=mixed)

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates per layer, by the pooled user where pooling keeps its size: float32 [B, C, L]."""
        users = context.user_vectors
        if users.shape[-1] != context.item_layers[0].shape[-1]:  # layers are put beside each other
            users = comparable(context.user_layers.detach(), context.similarity)
        return candidate_scores(users, context.item_layers, candidates)

    def coefficients(self, context: SamplingContext) -> Tensor:
        """Draw r: float32 [B, K, L, 1], keyed by seed, epoch and row."""
        n_layers = context.layers.n_layers
        numbers = context.uniform(self.negatives * n_layers, purpose=MIXING)
        return numbers.view(len(numbers), self.negatives, n_layers, 1)
