"""What a sampler is asked and what it answers: ids, and mixed embeddings where it makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dtlns.data.views import TrainView
from dtlns.models.base import Layers, gather_rows
from dtlns.sampling import NegativePool
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes


class CandidateTerm(Protocol):
    """Something that adds to the normalised scores of candidates, such as the tree similarities."""

    def __call__(self, positives: Tensor, candidates: Tensor) -> Tensor:
        """Rate candidates: int64 [B] and [B, N] -> float32 [B, N]."""
        ...


@dataclass(frozen=True, eq=False)
class SamplingContext:
    """Everything that a sampler may know about one batch.

    Attributes:
        users: int64 [B], on the model's device.
        positives: int64 [B], on the model's device.
        users_host: int64 [B], the same in main memory, for the pool.
        rows: int64 [B], global row numbers of the pairs; they key the random numbers, with
            `dtlns.sampling.keyed_uniform`, whose purposes from 1000 on are left to third parties.
        epoch: From 1.
        seed: The run's seed.
        pool: Exact uniform draws from what a user has not interacted with.
        layers: float32 [U, L, D] and [I, L, D], with their gradients.
        user_layers: float32 [B, L, D].
        positive_layers: float32 [B, L, D].
        pooling: Combines layers, [..., L, D] -> [..., D].
    """

    users: Tensor
    positives: Tensor
    users_host: NDArray[np.int64]
    rows: NDArray[np.int64]
    epoch: int
    seed: int
    pool: NegativePool
    layers: Layers
    user_layers: Tensor
    positive_layers: Tensor
    pooling: Callable[[Tensor], Tensor]

    def draw(self, n: int) -> Tensor:
        """Draw uniform unobserved items: int64 [B, n], the same for any batching and thread count."""
        ids = self.pool.sample(self.users_host, n, rows=self.rows, seed=self.seed, epoch=self.epoch)
        return torch.from_numpy(ids).to(self.users.device)

    @cached_property
    def user_vectors(self) -> Tensor:
        """float32 [B, D], pooled and without gradient, to choose by."""
        return self.pooling(self.user_layers.detach())

    @cached_property
    def item_vectors(self) -> Tensor:
        """float32 [I, D], pooled and without gradient, to choose by."""
        return self.pooling(self.layers.items.detach())


@dataclass(frozen=True, eq=False)
class Negatives:
    """A sampler's answer.

    Attributes:
        ids: int64 [B, K]; for a mixed negative, the item chosen in the input layer.
        layers: float32 [B, K, L, D], where the sampler mixes embeddings; None means those of `ids`.
        log_q: float32 [B, K], log-probability of each draw, where the sampler knows it.
        auxiliary_loss: A scalar added to the loss, for samplers that learn.
    """

    ids: Tensor
    layers: Tensor | None = None
    log_q: Tensor | None = None
    auxiliary_loss: Tensor | None = None

    def embeddings(self, items: Tensor) -> Tensor:
        """Return float32 [B, K, L, D]: the mixed embeddings, or those of `ids` from [I, L, D]."""
        return gather_rows(items, self.ids) if self.layers is None else self.layers


class Sampler(nn.Module, ABC):
    """Draws negatives for a batch; may hold parameters and state, which are trained and checkpointed.

    Attributes:
        option_names: What it reads from `SamplerConfig.options`; other names are refused.
    """

    option_names: ClassVar[tuple[str, ...]] = ()

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
        """Make a sampler; one that needs nothing of this keeps the default, which is `cls()`.

        Args:
            config: Its name and options.
            train: The training interactions.
            codes: Path codes by view name, empty where there are none.
            dimensions: D of the model, for samplers with parameters.
            seed: Of anything random that is drawn once.
        """
        return cls()

    @abstractmethod
    def sample(self, context: SamplingContext) -> Negatives:
        """Draw K negatives for each pair of a batch."""
