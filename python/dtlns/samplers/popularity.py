"""Popularity: negatives in proportion to a power of how often they were interacted with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from dtlns._border import real
from dtlns.data.views import TrainView
from dtlns.draws import ItemWeights
from dtlns.samplers.base import DrawContext, Negatives, Prepared, Sampler, SamplingContext
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes

BETA = 0.75


class Popularity(Sampler):
    """Draws items by q(n | u) = c_n^β / Σ_m c_m^β, c_n the training interactions of item n.

    The sum goes over the items m that may be drawn for u, so that q is exact for each user. An item without
    a training interaction counts as if it had one: it is drawn as seldom as the rarest, and not never.
    β = 0 is uniform, β = 1 draws in proportion to popularity.

    Source: Mikolov et al., Distributed representations of words and phrases and their compositionality
    (NeurIPS 2013), section 2.2, for the power and its 3/4; Rendle and Freudenthaler, Improving pairwise
    learning for item recommendation from implicit feedback (WSDM 2014), for popular items as negatives.

    Args:
        weights: Of the items; see `popularity_weights`.
        negatives: K.
    """

    option_names = ("beta",)

    def __init__(self, weights: ItemWeights, negatives: int = 1) -> None:
        super().__init__()
        self.weights = weights
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
        """Make a sampler with the option `beta`, β; see `Sampler.build`."""
        return cls(popularity_weights(train, config.options.get("beta", BETA)), config.negatives)

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw: ids int64 [B, K] and log_q float32 [B, K]."""
        ids, log_q = context.draws.draw_weighted(
            context.users,
            self.negatives,
            self.weights,
            rows=context.rows,
            seed=context.seed,
            epoch=context.epoch,
        )
        return {"ids": ids, "log_q": log_q}

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [B, K]."""
        found = self.prepared(context)
        return Negatives(found["ids"], log_q=found["log_q"])


def popularity_weights(train: TrainView, beta: float) -> ItemWeights:
    """Return max(c_i, 1)^β of every item.

    Args:
        train: The training interactions.
        beta: β, at least 0.

    Raises:
        InputError: β is no such number, or so large that the weights overflow.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 0], [1, 0, 0]]))
        >>> weights = popularity_weights(train, 1.0).values
        >>> (weights / weights.sum()).round(3).tolist()
        [0.5, 0.25, 0.25]
    """
    counts = np.maximum(train.item_counts, 1).astype(np.float64)
    with np.errstate(over="ignore"):  # ItemWeights names an infinite weight
        return ItemWeights.from_float(counts ** real("beta", beta, 0.0))
