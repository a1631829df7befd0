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
        pool: What may be drawn as a negative.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    pool: NegativePool

    @classmethod
    def build(cls, train: TrainView, settings: TrainConfig, false_negatives: FalseNegatives | None) -> Self:
        """Put the pairs together.

        Args:
            train: The training interactions.
            settings: `false_negatives` and `interaction_weights` are read.
            false_negatives: Judged pairs, or None with the use `ignore`.
        """
        users = train.user_of_interaction.astype(np.int64)
        items = train.indices.astype(np.int64)
        weights = None
        if settings.interaction_weights and train.weights is not None:
            weights = train.weights
        use = settings.false_negatives
        if false_negatives is None or use == "ignore":
            return cls(users, items, weights, NegativePool(train))
        judged = false_negatives.csr()
        judged.data = np.ones_like(judged.data)  # a pair of weight 0 leaves the negatives too
        pool = NegativePool(train, exclude=judged)
        if use == "exclude":
            return cls(users, items, weights, pool)
        extra = np.ones_like(false_negatives.weights) if use == "positive" else false_negatives.weights
        kept = extra > 0
        own = np.ones(len(users), dtype=np.float32) if weights is None else weights
        return cls(
            np.concatenate([users, false_negatives.users[kept].astype(np.int64)]),
            np.concatenate([items, false_negatives.indices[kept].astype(np.int64)]),
            None if weights is None and use == "positive" else np.concatenate([own, extra[kept]]),
            pool,
        )

    def __len__(self) -> int:
        return len(self.users)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the rows in an epoch's order, int64 [R], keyed by seed and epoch."""
        return numpy_generator(seed, "order", epoch).permutation(len(self)).astype(np.int64)
