"""DENS: gates tell the factors of an item that a user cares for from those that he does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from dtlns._border import real
from dtlns.data.views import TrainView
from dtlns.samplers.base import Negatives, SamplingContext
from dtlns.samplers.scored import CandidateTerm, ScoreBased
from dtlns.training.settings import SamplerConfig
from dtlns.training.streams import torch_generator
from dtlns.trees import PathCodes

_SLICE_NUMBERS = 250_000  # 1 MB of float32


class DENS(ScoreBased):
    """Disentangled negatives: like what the user has in what does not matter, unlike it in what does.

    Gates split each layer of a positive p of user u, and of a negative n, into a relevant factor and the
    rest, the irrelevant one:

        p_r = p ⊙ σ(W_item p + W_user u),  p_i = p - p_r
        n_r = n ⊙ σ(W_neg n + W_pos p_r),  n_i = n - n_r

    Per layer the candidate with the largest <u, n_i - min(1, t / T0) n> is taken, t the epochs that are done:
    first the largest irrelevant factor, and after the warm-up of T0 epochs the smallest relevant one. The
    negative is the chosen layers together, not gated. The gates learn by contrasts of pooled factors, with
    s(x) = <u, x> and ℓ(a < b) = log(1 + Σ_k exp(a - b)) over the negatives, which are added to each pair's
    loss as

        γ/4 (ℓ(s(p_i) < s(p_r)) + ℓ(s(n_r) < s(n_i)) + ℓ(s(n_r) < s(p_r)) + ℓ(s(p_i) < s(n_i)))

    Source: Lai et al., Disentangled negative sampling for collaborative filtering (WSDM 2023): the gates, the
    factor-aware choice and the four contrastive tasks, with the warm-up, the four equal weights and the
    defaults γ = 0.3 and T0 = 100 of the released code. There the main loss with several negatives is
    log(1 + Σ_k exp(s(n_k) - s(p))); here it is the one that the user chose. Factors are compared by inner
    product, as published, whatever the model's similarity.

    Args:
        gates: Linear maps of layers, [D] -> [D], by `item`, `user`, `neg` and `pos`.
        candidates: N.
        terms: What is added to the normalised scores.
        negatives: K.
        gamma: γ, above 0: without it nothing would train the gates.
        warmup: T0 in epochs, above 0.

    Raises:
        InputError: An option is out of range.
    """

    option_names = ("gamma", "warmup")

    def __init__(
        self,
        gates: Mapping[str, nn.Linear],
        candidates: int = 10,
        terms: tuple[CandidateTerm, ...] = (),
        *,
        negatives: int = 1,
        gamma: float = 0.3,
        warmup: float = 100.0,
    ) -> None:
        super().__init__(candidates, terms, negatives=negatives)
        self.item, self.user, self.neg, self.pos = (gates[name] for name in ("item", "user", "neg", "pos"))
        self.gamma = real("gamma", gamma, 0.0, above=True)
        self.warmup = real("warmup", warmup, 0.0, above=True)

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
        """Make a sampler with the options `gamma` and `warmup`; see `Sampler.build`."""
        gates = {name: _linear(dimensions, seed, name) for name in ("item", "user", "neg", "pos")}
        terms = cls.terms_of(config, train, codes)
        return cls(gates, config.candidates, terms, negatives=config.negatives, **config.options)

    def sample(self, context: SamplingContext) -> Negatives:
        """Put negatives together by layers: ids int64 [B, K], layers float32 [B, K, L, D]."""
        chosen = self.choose(context)
        negative = context.layers.chosen_items(chosen)
        return Negatives(chosen[:, :, 0], layers=negative, auxiliary_losses=self.contrasts(context, negative))

    @torch.no_grad()
    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates per layer: float32 [B, C, L]."""
        users = context.user_layers
        gates = self.pos(self.relevant_positive(users, context.positive_layers))
        kept = 1 - min(1.0, (context.epoch - 1) / self.warmup)
        tables = zip(context.layers.each_item_layer(), users.unbind(1), gates.unbind(1), strict=True)
        return torch.stack([self._layer_scores(*each, candidates, kept) for each in tables], dim=2)

    def _layer_scores(
        self, items: Tensor, users: Tensor, gates: Tensor, candidates: Tensor, kept: float
    ) -> Tensor:
        """Score candidates in one layer: float32 [I, D], [B, D] and [B, D] -> [B, C]."""
        n, size = candidates.shape[1], items.shape[1]
        step = max(1, len(candidates) if items.is_cuda else _SLICE_NUMBERS // (n * size))
        slices = (torch.split(each, step) for each in (candidates, gates, users))
        parts = []  # in slices: the gathered rows and what the gates make of them stay in the cache
        for ids, gate, user in zip(*slices, strict=True):
            rows = items.index_select(0, ids.reshape(-1)).view(len(ids), n, size)
            relevance = torch.sigmoid_(self.neg(rows).add_(gate.unsqueeze(1)))
            left = relevance.neg_().add_(kept).to(rows.dtype).mul_(rows)
            parts.append(torch.bmm(left, user.unsqueeze(2)).squeeze(2).float())
        return torch.cat(parts)

    def relevant_positive(self, users: Tensor, positives: Tensor) -> Tensor:
        """Return p_r, float32 [B, L, D] for [B, L, D] of both."""
        return positives * torch.sigmoid(self.item(positives) + self.user(users))

    def contrasts(self, context: SamplingContext, negatives: Tensor) -> Tensor:
        """Contrast the factors: float32 [B, K, L, D] -> [B]."""
        positives = context.positive_layers
        p_r = self.relevant_positive(context.user_layers, positives)
        n_r = negatives * torch.sigmoid(self.neg(negatives) + self.pos(p_r).unsqueeze(1))
        user = context.pooling(context.user_layers)

        def score(factor: Tensor) -> Tensor:
            return (user.unsqueeze(1) * context.pooling(factor)).sum(dim=-1).float()

        s_pr, s_pi = score(p_r.unsqueeze(1)), score((positives - p_r).unsqueeze(1))  # [B, 1]
        s_nr, s_ni = score(n_r), score(negatives - n_r)  # [B, K]
        pairs = ((s_pi, s_pr), (s_nr, s_ni), (s_nr, s_pr), (s_pi, s_ni))
        return self.gamma / 4 * torch.stack([_below(a, b) for a, b in pairs]).sum(dim=0)


def _below(low: Tensor, high: Tensor) -> Tensor:
    """Return log(1 + Σ_k exp(low - high)): float32 [B] for [B, K]."""
    gaps = low - high
    return torch.logsumexp(torch.cat([torch.zeros_like(gaps[:, :1]), gaps], dim=1), dim=1)


def _linear(size: int, seed: int, name: str) -> nn.Linear:
    """Make a linear map as PyTorch does, U(-1/sqrt(D), 1/sqrt(D)), from a generator of its own."""
    made = nn.Linear(size, size, device="meta").to_empty(device="cpu")  # draws no global numbers
    generator = torch_generator(seed, f"dens {name}")
    for parameter in made.parameters():
        nn.init.uniform_(parameter, -(size**-0.5), size**-0.5, generator=generator)
    return made
