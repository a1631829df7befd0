"""Samplers that choose among uniform candidates by a score, and the hook that adds to their scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, Self

import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.embeddings import gather_rows
from dtlns.samplers.base import DrawContext, Prepared, Sampler, SamplingContext
from dtlns.samplers.multiview import MultiView
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes

_SLICE_NUMBERS = 1_000_000  # 4 MB of float32


class CandidateTerm(Protocol):
    """Something that adds to the normalised scores of candidates, such as the tree similarities."""

    def __call__(self, positives: Tensor, candidates: Tensor) -> Tensor:
        """Rate candidates: int64 [B] and [B, N] -> float32 [B, N]."""
        ...


class ScoreBased(Sampler):
    """Scores N uniform candidates for each of K negatives and picks one, per layer where layers are scored.

    With terms, the score of candidate n is minmax_N(s_n) + Σ_t term_t(p, n), eq. 8 to 10 of DTL-NS
    (arXiv 2602.18249); without, the raw score decides, which the normalisation would not change.

    A subclass gives `scores`, may change `pick`, and calls `choose` in its `sample`.

    Args:
        candidates: N.
        terms: What is added to the normalised scores.
        negatives: K.
    """

    def __init__(
        self, candidates: int = 10, terms: tuple[CandidateTerm, ...] = (), *, negatives: int = 1
    ) -> None:
        super().__init__()
        self.candidates = candidates
        self.terms = terms
        self.negatives = negatives

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
        return cls(config.candidates, cls.terms_of(config, train, codes), negatives=config.negatives)

    @staticmethod
    def terms_of(
        config: SamplerConfig, train: TrainView, codes: Mapping[str, PathCodes]
    ) -> tuple[CandidateTerm, ...]:
        """Return the multi-view terms where they are wanted."""
        return (MultiView.build(config, train, codes),) if config.multi_view else ()

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw candidates, int64 [B, K · N], and add up the terms, float32 [B, K · N]."""
        candidates = self.draw_candidates(context)
        found = {"candidates": candidates}
        if self.terms:
            found["terms"] = torch.stack([term(context.positives, candidates) for term in self.terms]).sum(0)
        return found

    def draw_candidates(self, context: DrawContext) -> Tensor:
        """Draw what is scored: int64 [B, K · N], uniform, unless a subclass knows better."""
        return context.draw(self.negatives * self.candidates)

    @abstractmethod
    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates: int64 [B, C] -> float32 [B, C, L], L = 1 where layers are not told apart."""

    def pick(self, context: SamplingContext, scores: Tensor) -> Tensor:
        """Pick one of each N candidates per layer: the arg-max, ties to the first.

        Args:
            context: Of the batch.
            scores: float32 [B, K, N, L], final ones.

        Returns:
            int64 [B, K, L], positions among the N.
        """
        return scores.argmax(dim=2)

    @torch.no_grad()
    def choose(self, context: SamplingContext) -> Tensor:
        """Choose items per layer: int64 [B, K, L]."""
        found = self.prepared(context)
        candidates = found["candidates"]
        grouped = candidates.view(len(candidates), self.negatives, self.candidates)
        scores = self.scores(context, candidates)
        scores = scores.view(*grouped.shape, scores.shape[-1])
        if self.terms:
            scores = min_max(scores, dim=2) + found["terms"].view(*grouped.shape, 1)
        return grouped.gather(2, self.pick(context, scores))


def gather_chosen(items: Tensor, chosen: Tensor) -> Tensor:
    """Put together negatives whose layers may come from different items, as hop mixing does (MixGCF, eq. 9).

    Args:
        items: float32 [I, L, D].
        chosen: int64 [B, K, L], the item that gives each layer.

    Returns:
        float32 [B, K, L, D].
    """
    # item chosen[b, k, l] in layer l is row chosen * L + l of the table with layers unfolded
    n_layers, size = items.shape[1:]
    offsets = torch.arange(n_layers, device=chosen.device)
    return gather_rows(items.reshape(-1, 1, size), chosen * n_layers + offsets).squeeze(3)


def min_max(scores: Tensor, dim: int = 1) -> Tensor:
    """Scale scores to [0, 1] over the candidates; all equal become 0.

    Args:
        scores: float32, such as [B, N, L].
        dim: The candidates' dimension.

    Returns:
        float32, of the same shape.
    """
    low, high = torch.aminmax(scores, dim=dim, keepdim=True)
    spread = high - low
    return (scores - low) / torch.where(spread > 0, spread, torch.ones_like(spread))


@torch.no_grad()
def candidate_scores(users: Tensor, items: Tensor, candidates: Tensor) -> Tensor:
    """Compute <e_u, e_n> for every candidate and layer, without gradient.

    Source: eq. 8 of MixGCF (KDD 2021) without the mixing, which does not change the choice.

    Args:
        users: float32 [B, D], one vector for all layers, or [B, L, D], one for each.
        items: float32 [I, L, D].
        candidates: int64 [B, N].

    Returns:
        float32 [B, N, L].
    """
    batch, n = candidates.shape
    _, layers, size = items.shape
    table = items.reshape(len(items), layers * size)
    per_layer = users.ndim == 3 and layers > 1
    queries = users if per_layer else users.reshape(batch, size, 1)
    scores = users.new_empty(batch, n, layers)
    # the gathered rows are N times the batch: in slices through one small buffer they stay in the cache
    rows = batch if items.is_cuda else max(1, min(batch, _SLICE_NUMBERS // max(1, n * layers * size)))
    buffer = users.new_empty(rows * n, layers * size)
    for start in range(0, batch, rows):
        stop = min(start + rows, batch)
        part = buffer[: (stop - start) * n]
        torch.index_select(table, 0, candidates[start:stop].reshape(-1), out=part)
        if per_layer:
            taken = part.view(stop - start, n, layers, size)
            torch.sum(taken * queries[start:stop].unsqueeze(1), dim=-1, out=scores[start:stop])
        else:
            out = scores[start:stop].view(stop - start, n * layers, 1)
            torch.bmm(part.view(stop - start, n * layers, size), queries[start:stop], out=out)
    return scores
