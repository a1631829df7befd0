"""In-batch negatives: the positives of the other pairs, corrected by how popular they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.samplers.base import DrawContext, Negatives, Prepared, Sampler, SamplingContext
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class InBatch(Sampler):
    """Takes the positives of the whole batch as the negatives of each of its pairs; K = W.

    Items that the pair's user has, its own positive first of all, do not count. A pair of the batch has item
    n with q_n = c_n / Σ_m c_m, its share of the training interactions, and log_q is the logarithm of that:
    the correction s - log q, known here and not estimated from a stream. It expects an item as often as it
    comes. So an item that is the positive of several pairs counts several times: dropping the repetitions
    would correct for popularity twice. For batches of a shuffled epoch the expected number of n among the W
    is W q_n exactly, and Σ exp(s_n) / (W q_n) estimates the sum over the catalogue without bias.

    The paper corrects the positive's score as well; here losses correct negatives alone, since the positive
    is given and not drawn. Pairs that false negatives add are not counted in q; an item without a training
    interaction counts as if it had one.

    Source: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations
    (RecSys 2019), section 3, the batch softmax and its correction.

    Args:
        counts: int64 [I], training interactions of each item.
    """

    log_share: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        share = counts.clamp(min=1).to(torch.float64) / counts.sum()
        self.register_buffer("log_share", share.log().to(torch.float32), persistent=False)

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
        """Make a sampler; see `Sampler.build`.

        Raises:
            ConfigError: A number of negatives is asked for, which the batch gives.
        """
        if config.negatives != 1:
            raise ConfigError(
                f"in-batch negatives are as many as a batch has pairs, not {config.negatives}",
                hint="leave the number of negatives out; the batch size sets it",
            )
        return cls(torch.from_numpy(train.item_counts.astype(np.int64)))

    def prepare(self, context: DrawContext) -> Prepared:
        """Look up: log_q float32 [1, W] and allowed bool [B, W]."""
        ids = context.whole_positives
        return {
            "log_q": self.log_share[ids].unsqueeze(0),
            "allowed": context.draws.allowed(context.users, ids),
        }

    def sample(self, context: SamplingContext) -> Negatives:
        """Take int64 [1, W]."""
        found = self.prepared(context)
        ids = context.whole_positives.unsqueeze(0)
        return Negatives(ids, log_q=found["log_q"], allowed=found["allowed"])
