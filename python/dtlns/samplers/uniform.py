"""Uniform negatives: the plain BPR sampler, and negatives that a batch shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch

from dtlns.data.views import TrainView
from dtlns.samplers.base import DrawContext, Negatives, Prepared, Sampler, SamplingContext
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class Uniform(Sampler):
    """Draws items uniformly from those that the user has not interacted with.

    Source: Rendle et al., BPR (UAI 2009), section 4.2.

    Args:
        negatives: K.
    """

    def __init__(self, negatives: int = 1) -> None:
        super().__init__()
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
        return cls(config.negatives)

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw: ids int64 [B, K] and log_q float32 [B, K]."""
        left = context.draws.available(context.users).to(torch.float32)
        log_q = -torch.log(left).unsqueeze(1).expand(-1, self.negatives)
        return {"ids": context.draw(self.negatives), "log_q": log_q}

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [B, K]."""
        found = self.prepared(context)
        return Negatives(found["ids"], log_q=found["log_q"])
