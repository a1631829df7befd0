"""Uniform negatives: the plain BPR sampler."""

from __future__ import annotations

import torch

from dtlns.samplers.base import Negatives, Sampler, SamplingContext


class Uniform(Sampler):
    """Draws one item uniformly from those that the user has not interacted with.

    Source: Rendle et al., BPR (UAI 2009), section 4.2.
    """

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [B, 1]."""
        ids = context.draw(1)
        left = torch.as_tensor(context.pool.available(context.users_host), device=ids.device)
        return Negatives(ids, log_q=-torch.log(left.to(torch.float32)).unsqueeze(1))
