"""Samplers that choose among uniform candidates by a score, and the hook that adds to their scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.samplers.base import CandidateTerm, Sampler, SamplingContext
from dtlns.samplers.multiview import MultiView
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes

_SLICE_NUMBERS = 1_000_000  # 4 MB of float32


class ScoreBased(Sampler):
    """Scores N uniform candidates and chooses one, per layer where the sampler scores layers.

    With terms, the score of candidate n is minmax_N(s_n) + Σ_t term_t(p, n), eq. 8 to 10 of DTL-NS
    (arXiv 2602.18249); without, the raw score decides, which the normalisation would not change.

    Args:
        candidates: N.
        terms: What is added to the normalised scores.
    """

    def __init__(self, candidates: int = 10, terms: tuple[CandidateTerm, ...] = ()) -> None:
        super().__init__()
        self.candidates = candidates
        self.terms = terms

    @classmethod
    def build(
        cls,
        config: SamplerConfig,
        train: TrainView,
        *,
        codes: Mapping[str, PathCodes],
        dimensions: int,
        seed: int,
    ) -> Self:
        """Make a sampler; see `Sampler.build`."""
        terms = (MultiView.build(config, train, codes),) if config.multi_view else ()
        return cls(config.candidates, terms)

    @abstractmethod
    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates: int64 [B, N] -> float32 [B, N, L], L = 1 where layers are not told apart."""

    def choose(self, scores: Tensor, positives: Tensor, candidates: Tensor) -> Tensor:
        """Choose a candidate per layer: the arg-max of the final scores, ties to the first.

        Args:
            scores: float32 [B, N, L].
            positives: int64 [B].
            candidates: int64 [B, N].

        Returns:
            int64 [B, L], positions among the N candidates.
        """
        if self.terms:
            scores = min_max(scores)
            for term in self.terms:
                scores = scores + term(positives, candidates).unsqueeze(2)
        return scores.argmax(dim=1)


def min_max(scores: Tensor) -> Tensor:
    """Scale scores to [0, 1] over the candidates; all equal become 0.

    Args:
        scores: float32 [B, N, L].

    Returns:
        float32 [B, N, L].
    """
    low, high = torch.aminmax(scores, dim=1, keepdim=True)
    spread = high - low
    return (scores - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


@torch.no_grad()
def candidate_scores(users: Tensor, items: Tensor, candidates: Tensor) -> Tensor:
    """Compute <e_u, e_n> for every candidate and layer, without gradient.

    Source: eq. 8 of MixGCF (KDD 2021) without the mixing, which does not change the choice.

    Args:
        users: float32 [B, D], pooled.
        items: float32 [I, L, D].
        candidates: int64 [B, N].

    Returns:
        float32 [B, N, L].
    """
    batch, n = candidates.shape
    _, layers, size = items.shape
    table = items.reshape(len(items), layers * size)
    scores = users.new_empty(batch, n * layers, 1)
    # the gathered rows are N times the batch: in slices through one small buffer they stay in the cache
    rows = batch if items.is_cuda else max(1, min(batch, _SLICE_NUMBERS // (n * layers * size)))
    buffer = users.new_empty(rows * n, layers * size)
    for start in range(0, batch, rows):
        stop = min(start + rows, batch)
        part = buffer[: (stop - start) * n]
        torch.index_select(table, 0, candidates[start:stop].reshape(-1), out=part)
        torch.bmm(
            part.view(stop - start, n * layers, size), users[start:stop].unsqueeze(2), out=scores[start:stop]
        )
    return scores.view(batch, n, layers)
