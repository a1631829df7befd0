"""Uniform negatives: the plain BPR sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.samplers.base import Negatives, Sampler, SamplingContext
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class Uniform(Sampler):
    """Draws one item uniformly from those that the user has not interacted with.

    Source: Rendle et al., BPR (UAI 2009), section 4.2.
    """

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
        if config.multi_view:
            raise ConfigError(
                "sampler 'uniform' has no scores to which views could be added",
                allowed="a score-based sampler with multi_view: dns, mixgcf",
            )
        return cls()

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [B, 1]."""
        ids = context.draw(1)
        left = torch.as_tensor(context.pool.available(context.users_host), device=ids.device)
        return Negatives(ids, log_q=-torch.log(left.to(torch.float32)).unsqueeze(1))
