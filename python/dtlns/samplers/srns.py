"""SRNS: hard negatives whose scores vary, which false negatives do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from dtlns._border import integer, real
from dtlns.data.views import TrainView
from dtlns.draws import Draws
from dtlns.embeddings import comparable
from dtlns.samplers.base import DrawContext, EpochContext, Prepared, SamplingContext
from dtlns.samplers.dns import DNS
from dtlns.samplers.scored import CandidateTerm, candidate_scores
from dtlns.training.settings import SamplerConfig
from dtlns.training.streams import MEMORY, RENEWAL
from dtlns.trees import PathCodes

WINDOW = 5
_USERS = 8192  # whose memories are renewed at a time
_LAST = -1e30  # log-weight of what is taken where there is nothing else


class SRNS(DNS):
    """Takes, from a memory of its user, the item with the largest P_n + α_t · std(P_n).

    P_n = σ(s_n - s_p) is how likely n is liked better than the positive p, and std goes over the last five
    epochs: a false negative scores high and steadily, a true hard one does not. α_t = α min(1, t / T0), t the
    epochs that are done. A memory holds N items for each of K negatives. It is renewed for each pair: N ·
    `fresh` uniform items join, and as many as before are kept, drawn without replacement in proportion to
    exp(s / τ); by Gumbel noise (Kool et al., ICML 2019), which is the same distribution.

    Source: Ding et al., Simplify and robustify negative sampling for implicit collaborative filtering
    (NeurIPS 2020), the score-based memory and the variance-based criterion of section 3, as in the released
    code, with α = 5, T0 = 50, τ = 10, N = 8 and fresh = 8 of its run on MovieLens-1M. Different here, so that
    a pair's negative depends on no other pair: the renewals of an epoch all begin with the user's memory of
    its start, by the scores of then, and share their fresh items; one more of them makes the memory of the
    next epoch. A first memory comes from fresh items alone. An item is in a memory once, where the user has
    enough others. Scores of earlier epochs are computed from embeddings that were kept, and not recorded for
    thousands of items that are drawn epochs ahead.

    Takes, for each user, 8 K N bytes for the memory and 12 K N (1 + fresh) for what renewals begin with, and
    20 D for every user and item: 48 MB for 15,138 users and 8,439 items at K N = 10 and D = 64.

    Args:
        n_users: U.
        candidates: N.
        terms: What is added to the normalised scores.
        negatives: K.
        alpha: α, at least 0.
        warmup: T0 in epochs, above 0.
        temperature: τ, above 0.
        fresh: New items in a renewal for each one in the memory, from 1.

    Raises:
        InputError: An option is out of range.
    """

    option_names = ("alpha", "warmup", "temperature", "fresh")

    memory: Tensor
    user_history: Tensor
    item_history: Tensor
    joined: Tensor
    log_weights: Tensor

    def __init__(
        self,
        n_users: int,
        candidates: int = 8,
        terms: tuple[CandidateTerm, ...] = (),
        *,
        negatives: int = 1,
        alpha: float = 5.0,
        warmup: float = 50.0,
        temperature: float = 10.0,
        fresh: int = 8,
    ) -> None:
        super().__init__(candidates, terms, negatives=negatives)
        self.alpha = real("alpha", alpha, 0.0)
        self.warmup = real("warmup", warmup, 0.0, above=True)
        self.temperature = real("temperature", temperature, 0.0, above=True)
        self.fresh = integer("fresh", fresh, 1, 1024)
        nobody = torch.full((n_users, negatives * candidates), -1, dtype=torch.int64)
        self.register_buffer("memory", nobody)  # int64 [U, K · N]
        self.register_buffer("user_history", torch.empty(0, n_users, 0))  # float32 [up to 5, U, D]
        self.register_buffer("item_history", torch.empty(0, 0, 0))  # float32 [up to 5, I, D]
        # what the renewals of this epoch begin with: int64 and float32 [U, K · N · (1 + fresh)]
        self.register_buffer("joined", torch.empty(n_users, 0, dtype=torch.int64), persistent=False)
        self.register_buffer("log_weights", torch.empty(n_users, 0), persistent=False)

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
        """Make a sampler; its options are the arguments `alpha` to `fresh`; see `Sampler.build`."""
        terms = cls.terms_of(config, train, codes)
        return cls(train.n_users, config.candidates, terms, negatives=config.negatives, **config.options)

    @torch.no_grad()
    def begin_epoch(self, context: EpochContext) -> None:
        """Keep the embeddings of now, and renew the memories."""
        users, items = (comparable(context.pooling(each), context.similarity) for each in context.layers)
        self.user_history = _with(self.user_history, users)
        self.item_history = _with(self.item_history, items)
        blocks = torch.split(torch.arange(len(users), device=users.device), _USERS)
        renewed = [self._renewed(block, context) for block in blocks]
        self.memory, self.joined, self.log_weights = map(torch.cat, zip(*renewed, strict=True))

    def _renewed(self, users: Tensor, context: EpochContext) -> tuple[Tensor, Tensor, Tensor]:
        """Return some users' next memories, and the items and log-weights that renewals begin with."""
        held = self.memory[users]
        size = held.shape[1]
        key: dict[str, Any] = {"seed": context.seed, "epoch": context.epoch, "purpose": MEMORY}
        fresh = context.draws.draw(users, self.fresh * size, rows=users, **key)
        joined = torch.cat([held.clamp(min=0), fresh], dim=1)
        user_vectors = self.user_history[-1][users]
        scores = candidate_scores(user_vectors, self.item_history[-1].unsqueeze(1), joined).squeeze(2)
        weights = (scores / self.temperature).masked_fill(_repeated(torch.cat([held, fresh], dim=1)), _LAST)
        weights[:, :size].masked_fill_(~_may_stay(context.draws, users, held), -torch.inf)
        kept = _without_replacement(weights, context.draws.uniform(users, joined.shape[1], **key), size)
        return joined.gather(1, kept), joined, weights

    def draw_candidates(self, context: DrawContext) -> Tensor:
        """Renew the memory of each pair's user for it: int64 [B, K · N]."""
        joined, weights = self.joined[context.users], self.log_weights[context.users]
        numbers = context.uniform(joined.shape[1], purpose=RENEWAL)
        return joined.gather(1, _without_replacement(weights, numbers, self.negatives * self.candidates))

    def prepare(self, context: DrawContext) -> Prepared:
        """Renew memories, and tell how much P_n has varied: float32 [B, K · N]."""
        found = super().prepare(context)
        liked = []
        for users, items in zip(self.user_history, self.item_history, strict=True):
            user, positive = users[context.users], items[context.positives]
            scores = candidate_scores(user, items.unsqueeze(1), found["candidates"]).squeeze(2)
            liked.append(torch.sigmoid(scores - (user * positive).sum(dim=-1, keepdim=True)))
        likely = torch.stack(liked)
        # not `std`, which warns where a process has no share of a small last batch
        return {**found, "varied": (likely - likely.mean(dim=0)).square().mean(dim=0).sqrt()}

    def scores(self, context: SamplingContext, candidates: Tensor) -> Tensor:
        """Score candidates by P_n + α_t · std(P_n): float32 [B, C, 1]."""
        positive = (context.user_vectors * context.positive_vectors).sum(dim=-1)
        liked = torch.sigmoid(super().scores(context, candidates) - positive[:, None, None])
        alpha = self.alpha * min(1.0, (context.epoch - 1) / self.warmup)
        return liked + alpha * self.prepared(context)["varied"].unsqueeze(2)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("user_history", "item_history"):  # they grow with the epochs
            if prefix + name in state_dict:
                found = state_dict[prefix + name]
                setattr(self, name, torch.empty_like(found, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _with(history: Tensor, now: Tensor) -> Tensor:
    """Add a table to the last ones: float32 [up to 5, R, D]."""
    return torch.cat([history[1 - WINDOW :], now.unsqueeze(0)]) if len(history) else now.unsqueeze(0).clone()


def _repeated(items: Tensor) -> Tensor:
    """Tell which items stand in their row before: bool [B, C] for int64 [B, C]."""
    ordered, places = items.sort(dim=1, stable=True)
    again = torch.zeros_like(items, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(again).scatter_(1, places, again)


def _may_stay(draws: Draws, users: Tensor, held: Tensor) -> Tensor:
    """Tell which items of a memory are items and still may be drawn: bool [B, C] for int64 [B, C]."""
    return (held >= 0) & draws.allowed(users, held.clamp(min=0))


def _without_replacement(log_weights: Tensor, numbers: Tensor, n: int) -> Tensor:
    """Draw n different places in proportion to weights [B, C], by uniform numbers [B, C]: int64 [B, n]."""
    # numbers are multiples of 2^-24 below 1: only 0 has no logarithm
    gumbel = -torch.log(-torch.log(numbers.clamp(min=2.0**-25)))
    return (log_weights + gumbel).topk(n, dim=1).indices
