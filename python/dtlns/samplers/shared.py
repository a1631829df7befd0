"""Negatives that all pairs of a batch share: drawn once, and compared by one product of matrices."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import scipy.sparse as sp
import torch
from torch import Tensor

from dtlns.data.views import TrainView
from dtlns.draws import Draws, ItemWeights, draws_on
from dtlns.samplers.base import DrawContext, Negatives, Prepared, Sampler, SamplingContext
from dtlns.samplers.popularity import BETA, popularity_weights
from dtlns.sampling import NegativePool
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class _Shared(Sampler):
    """Draws K items from the whole catalogue for each batch, and masks those that a pair's user has.

    The draw is that of a user without a history, keyed by seed, epoch and the number of the batch, so that
    every process has the same. What is left of q after masking is q over the user's other items, up to a
    factor; log_q is that of the draw itself, with which the masked sum over the negatives estimates the sum
    over the items that the user does not have.
    """

    def __init__(self, n_items: int, negatives: int = 512) -> None:
        super().__init__()
        self.negatives = negatives
        self.newcomer = NegativePool(TrainView.from_csr(sp.csr_array((1, n_items))))
        self._draws: dict[torch.device, Draws] = {}

    def prepare(self, context: DrawContext) -> Prepared:
        """Draw: ids int64 [1, K], log_q float32 [1, K] and allowed bool [B, K]."""
        device = context.users.device
        if device not in self._draws:
            self._draws[device] = draws_on(self.newcomer, device)
        newcomer = torch.zeros(1, dtype=torch.int64, device=device)
        row = torch.full_like(newcomer, context.number)
        ids, log_q = self.draw(self._draws[device], newcomer, row, context)
        return {"ids": ids, "log_q": log_q, "allowed": context.draws.allowed(context.users, ids[0])}

    @abstractmethod
    def draw(self, draws: Draws, user: Tensor, row: Tensor, context: DrawContext) -> tuple[Tensor, Tensor]:
        """Draw for one user: int64 [1, K] and log q float32 [1, K]."""

    def sample(self, context: SamplingContext) -> Negatives:
        """Draw int64 [1, K]."""
        found = self.prepared(context)
        return Negatives(found["ids"], log_q=found["log_q"], allowed=found["allowed"])


class SharedUniform(_Shared):
    """Draws K items uniformly for each batch, which are the negatives of all its pairs.

    Source: the shared negatives of sampled softmax, Wu et al., On the effectiveness of sampled softmax loss
    for item recommendation (TOIS 2024), with 512 of them in our reference.

    Args:
        n_items: I.
        negatives: K.
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
        return cls(train.n_items, config.negatives)

    def draw(self, draws: Draws, user: Tensor, row: Tensor, context: DrawContext) -> tuple[Tensor, Tensor]:
        """Draw uniformly from the catalogue."""
        ids = draws.draw(user, self.negatives, rows=row, seed=context.seed, epoch=context.epoch)
        return ids, -torch.log(draws.available(user).to(torch.float32)).unsqueeze(1).expand(ids.shape)


class SharedPopularity(_Shared):
    """Draws K items for each batch in proportion to c_n^β, which are the negatives of all its pairs.

    Source: as for `dtlns.samplers.popularity.Popularity`, whose weights these are.

    Args:
        weights: Of the items.
        negatives: K.
    """

    option_names = ("beta",)

    def __init__(self, weights: ItemWeights, negatives: int = 512) -> None:
        super().__init__(len(weights.values), negatives)
        self.weights = weights

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

    def draw(self, draws: Draws, user: Tensor, row: Tensor, context: DrawContext) -> tuple[Tensor, Tensor]:
        """Draw by popularity from the catalogue."""
        return draws.draw_weighted(
            user, self.negatives, self.weights, rows=row, seed=context.seed, epoch=context.epoch
        )
