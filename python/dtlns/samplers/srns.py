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
from dtlns.training.streams import MEMORY
from dtlns.trees import PathCodes

WINDOW = 5
_USERS = 8192  # whose memories are renewed at a time


class SRNS(DNS):
    """Takes, from a memory of its user, the item with the largest P_n + α_t · std(P_n).

    P_n = σ(s_n - s_p) is how likely n is liked better than the positive p, and std goes over the last five
    epochs: a false negative scores high and steadily, a true hard one does not. α_t = α min(1, t / T0), t the
    epochs that are done. A memory holds N items for each of K negatives. At the start of each epoch
    it is joined by N · `fresh` uniform ones, of which and of whom as many as before are kept, drawn without
    replacement in proportion to exp(s / τ); by Gumbel noise (Kool et al., ICML 2019), which is the same
    distribution.

    Source: Ding et al., Simplify and robustify negative sampling for implicit collaborative filtering
    (NeurIPS 2020), the score-based memory and the variance-based criterion of section 3, as in the released
    code, with α = 5, T0 = 50, τ = 10, N = 8 and fresh = 8 of its run on MovieLens-1M. Different here: a
    memory is renewed once an epoch, and not with every pair of its user; it starts by the same rule, from
    fresh items alone; an item is in it once, where the user has enough others; and scores of earlier epochs
    are computed from embeddings that were kept, for whatever items are asked, instead of being recorded for
    thousands of items that are drawn epochs ahead.

    Takes 8 K N bytes a user for the memory and 20 K N for its scores, and 20 D for every user and item:
    34 MB for 15,138 users and 8,439 items at K N = 10 and D = 64.

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
    scores_history: Tensor

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
        # float32 [U, K · N, up to 5], what the histories say of the memory
        self.register_buffer("scores_history", torch.empty(*nobody.shape, 0), persistent=False)

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
        self.memory = torch.cat([self._renewed(block, context) for block in blocks])
        self.scores_history = torch.cat([self._past(block) for block in blocks])

    def _renewed(self, users: Tensor, context: EpochContext) -> Tensor:
        """Return the new memories of some users: int64 [B, K · N]."""
        held = self.memory[users]
        size = held.shape[1]
        key: dict[str, Any] = {"seed": context.seed, "epoch": context.epoch, "purpose": MEMORY}
        fresh = context.draws.draw(users, self.fresh * size, rows=users, **key)
        items = torch.cat([held.clamp(min=0), fresh], dim=1)
        user_vectors = self.user_history[-1][users]
        scores = candidate_scores(user_vectors, self.item_history[-1].unsqueeze(1), items).squeeze(2)
        numbers = context.draws.uniform(users, items.shape[1], **key) + 2.0**-25  # above 0
        keys = scores / self.temperature - torch.log(-torch.log(numbers))
        keys = keys.masked_fill(_repeated(items), -1e30)  # at least N fresh items are left
        keys = keys.masked_fill(~_may_stay(context.draws, users, held, items), -torch.inf)
        return items.gather(1, keys.topk(size, dim=1).indices)

    def _past(self, users: Tensor) -> Tensor:
        """Score the memories of some users by each kept epoch: float32 [B, K · N, up to 5]."""
        kept = zip(self.user_history, self.item_history, strict=True)
        scores = [candidate_scores(u[users], i.unsqueeze(1), self.memory[users]) for u, i in kept]
        return torch.cat(scores, dim=2)

    def draw_candidates(self, context: DrawContext) -> Tensor:
        """Return the users' memories, int64 [B, K · N]."""
        return self.memory[context.users]

    def prepare(self, context: DrawContext) -> Prepared:
        """Look up the memories, and how much P_n has varied: float32 [B, K · N]."""
        users, items = self.user_history[:, context.users], self.item_history[:, context.positives]
        positive = (users * items).sum(dim=-1).T.unsqueeze(1)  # [B, 1, up to 5]
        liked = torch.sigmoid(self.scores_history[context.users] - positive)
        return {**super().prepare(context), "varied": liked.std(dim=2, correction=0)}

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


def _may_stay(draws: Draws, users: Tensor, held: Tensor, items: Tensor) -> Tensor:
    """Tell which items a memory may hold: all fresh ones, and what it holds where it still may be drawn."""
    allowed = torch.ones_like(items, dtype=torch.bool)
    size = held.shape[1]
    allowed[:, :size] = (held >= 0) & draws.allowed(users, items[:, :size])
    return allowed
