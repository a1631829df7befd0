"""Samplers that choose among uniform candidates by a score, and the hook that adds to their scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.samplers.base import DrawContext, Prepared, Sampler, SamplingContext
from dtlns.samplers.multiview import MultiView
from dtlns.sparse import csr_tensor
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


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
        return scores.max(dim=2).indices  # an eighth of the time of argmax for L > 1

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
def candidate_scores(users: Tensor, items: Tensor | Sequence[Tensor], candidates: Tensor) -> Tensor:
    """Compute <e_u, e_n> for every candidate and layer, without gradient.

    Source: eq. 8 of MixGCF (KDD 2021) without the mixing, which does not change the choice.

    Args:
        users: float32 [B, D], one vector for all layers, or [B, L, D], one for each.
        items: float32 [I, L, D], or layer by layer, L times [I, D].
        candidates: int64 [B, N].

    Returns:
        float32 [B, N, L].

    Raises:
        InputError: On the CPU, a candidate is no item.
    """
    layers = items.unbind(1) if isinstance(items, Tensor) else items
    queries = users.unbind(1) if users.ndim == 3 else (users,) * len(layers)
    batch, n = candidates.shape
    n_items = len(layers[0])
    # the product below is the CPU's, unknown to the compiler, and for some of the items
    if users.is_cuda or torch.compiler.is_compiling() or n > n_items or not candidates.numel():
        gathered = [
            (layer[candidates] * query.unsqueeze(1)).sum(dim=2)
            for query, layer in zip(queries, layers, strict=True)
        ]
        return torch.stack(gathered, dim=2)
    ids = candidates.numpy()
    if ids.min() < 0 or ids.max() >= n_items:  # which the product does not look at
        raise InputError(f"candidates are from {ids.min()} to {ids.max()}", allowed=f"0 to {n_items - 1}")
    # the wanted products as a sparse matrix: no candidate is gathered, which would move N · L times the batch
    wanted = csr_tensor(
        torch.arange(0, batch * n + 1, n),
        candidates.reshape(-1),
        users.new_zeros(batch * n),
        (batch, n_items),
        check=False,  # an item may be a candidate twice, in any order
    )
    products = [
        torch.sparse.sampled_addmm(wanted, query, layer.T, beta=0).values()
        for query, layer in zip(queries, layers, strict=True)
    ]
    return torch.stack(products, dim=1).view(batch, n, len(layers))
