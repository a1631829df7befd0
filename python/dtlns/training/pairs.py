"""The pairs that an epoch runs over, and the items that may be drawn against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dtlns.data.views import TrainView
from dtlns.false_negatives import FalseNegatives
from dtlns.sampling import NegativePool
from dtlns.training.settings import TrainConfig
from dtlns.training.streams import numpy_generator


@dataclass(frozen=True, eq=False)
class Pairs:
    """Positive pairs in global row order: training interactions first, added positives after them.

    Attributes:
        users: int64 [R].
        items: int64 [R].
        weights: float32 [R], or None for all ones.
        pool: What may be drawn as a negative in every epoch.
        chances: float32 [R], how likely a pair is in an epoch, or None where all always are.
        avoided: The training interactions, and pairs of which each leaves the negatives of an epoch with the
            chance of its weight; None where the pool is the same in all epochs.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    pool: NegativePool
    chances: NDArray[np.float32] | None = None
    avoided: tuple[TrainView, FalseNegatives] | None = None

    @classmethod
    def build(cls, train: TrainView, settings: TrainConfig, false_negatives: FalseNegatives | None) -> Self:
        """Put the pairs together.

        Args:
            train: The training interactions.
            settings: `false_negatives`, `observed` and `interaction_weights` are read.
            false_negatives: Judged pairs, or None with the use `ignore`. Of a user they may take half of the
                items without an interaction, those of the largest weights; the others stay negatives.
        """
        users = train.user_of_interaction.astype(np.int64)
        items = train.indices.astype(np.int64)
        weights = None
        if settings.interaction_weights and train.weights is not None:
            weights = train.weights
        use = settings.false_negatives
        if false_negatives is None or use == "ignore":
            return cls(users, items, weights, NegativePool(train))
        false_negatives = _leave_half(train, false_negatives)
        judged = false_negatives.csr()
        judged.data = np.ones_like(judged.data)  # a pair of weight 0 leaves the negatives too
        pool = NegativePool(train, exclude=judged)
        if use == "exclude":
            return cls(users, items, weights, pool)
        if use == "avoid":
            return cls(users, items, weights, pool, avoided=(train, false_negatives))
        ones = np.ones_like(false_negatives.weights)
        extra = ones if use == "positive" else false_negatives.weights
        kept = extra > 0
        sure = np.ones(len(users), dtype=np.float32)
        own = sure if weights is None else weights
        added = ones if use == "sampled" else extra
        return cls(
            np.concatenate([users, false_negatives.users[kept].astype(np.int64)]),
            np.concatenate([items, false_negatives.indices[kept].astype(np.int64)]),
            None if weights is None and use != "weighted" else np.concatenate([own, added[kept]]),
            pool,
            np.concatenate([sure * np.float32(settings.observed), extra[kept]]) if use == "sampled" else None,
        )

    def __len__(self) -> int:
        return len(self.users)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch in its order, int64 [1 to R], keyed by seed and epoch."""
        order = numpy_generator(seed, "order", epoch).permutation(len(self)).astype(np.int64)
        if self.chances is None:
            return order
        there = numpy_generator(seed, "there", epoch).random(len(self)) < self.chances
        return order[there[order]] if there.any() else order[:1]

    def negatives(self, seed: int, epoch: int) -> NegativePool:
        """Return what may be drawn as a negative in an epoch, keyed by seed and epoch."""
        if self.avoided is None:
            return self.pool
        train, pairs = self.avoided
        out = pairs.csr()
        out.data = (numpy_generator(seed, "avoided", epoch).random(pairs.n_pairs) < out.data).astype(
            np.float32
        )
        return NegativePool(train, exclude=out)


def _leave_half(train: TrainView, judged: FalseNegatives) -> FalseNegatives:
    """Keep so few pairs of each user that half of the free items can be drawn as negatives."""
    most = (train.n_items - train.user_counts) // 2
    if (np.diff(judged.indptr) <= most).all():
        return judged
    users = judged.users.astype(np.int64)
    order = np.lexsort((-judged.weights, users))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - judged.indptr[users]
    kept = place < most[users]
    return FalseNegatives.from_pairs(
        users[kept],
        judged.indices[kept].astype(np.int64),
        judged.weights[kept],
        n_users=judged.n_users,
        n_items=judged.n_items,
    )
