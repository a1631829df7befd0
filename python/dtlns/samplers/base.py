"""What a sampler is asked and what it answers: ids, and mixed embeddings where it makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

from torch import Tensor, nn

from dtlns.data.views import TrainView
from dtlns.draws import Draws
from dtlns.embeddings import Layers, Similarity, comparable
from dtlns.sampling import NEGATIVES
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes

Prepared = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class DrawContext:
    """What is known of a batch before the model is asked: its pairs, and what may be drawn for them.

    Several processes share a batch: each sees its own B of the W pairs. All tensors are on one device.

    Attributes:
        users: int64 [B].
        positives: int64 [B].
        rows: int64 [B], global row numbers of the pairs; they key the random numbers.
        whole_users: int64 [W], the users of the whole batch, the same in every process.
        whole_positives: int64 [W], their positives.
        whole_weights: float32 [W], how much each pair counts; None means ones.
        draws: Exact draws from what a user has not interacted with.
        seed: The run's seed.
        epoch: From 1.
        epochs: Most epochs that will be run, for schedules.
        number: Batch number within the epoch, from 0.
    """

    users: Tensor
    positives: Tensor
    rows: Tensor
    whole_users: Tensor
    whole_positives: Tensor
    draws: Draws
    seed: int
    epoch: int
    epochs: int
    number: int
    whole_weights: Tensor | None = None

    def draw(self, n: int, *, purpose: int = NEGATIVES) -> Tensor:
        """Draw uniform unobserved items: int64 [B, n], the same for any batching, device and thread count."""
        return self.draws.draw(
            self.users, n, rows=self.rows, seed=self.seed, epoch=self.epoch, purpose=purpose
        )

    def uniform(self, n: int, *, purpose: int) -> Tensor:
        """Draw numbers in [0, 1): float32 [B, n]; purposes from 1000 on are left to third parties."""
        return self.draws.uniform(self.rows, n, seed=self.seed, epoch=self.epoch, purpose=purpose)


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplingContext(DrawContext):
    """Everything that a sampler may know about one batch.

    Attributes:
        layers: float32 [U, L, D] and [I, L, D], with their gradients.
        user_layers: float32 [B, L, D].
        positive_layers: float32 [B, L, D].
        pooling: Combines layers, [..., L, D] -> [..., D].
        similarity: How the model compares vectors.
        prepared: What the sampler's `prepare` gave for this batch; None where nobody asked it.
    """

    layers: Layers
    user_layers: Tensor
    positive_layers: Tensor
    pooling: Callable[[Tensor], Tensor]
    similarity: Similarity = "inner"
    prepared: Prepared | None = None

    @cached_property
    def user_vectors(self) -> Tensor:
        """float32 [B, D], pooled, to choose by: no gradient, and comparable by inner product."""
        return comparable(self.pooling(self.user_layers.detach()), self.similarity)

    @cached_property
    def positive_vectors(self) -> Tensor:
        """float32 [B, D], pooled, to choose by."""
        return comparable(self.pooling(self.positive_layers.detach()), self.similarity)

    @cached_property
    def item_vectors(self) -> Tensor:
        """float32 [I, D], pooled, to choose by."""
        return comparable(self.pooling(self.layers.items.detach()), self.similarity)

    @cached_property
    def item_layers(self) -> tuple[Tensor, ...]:
        """L times float32 [I, D], each layer by itself, to choose by."""
        return tuple(comparable(layer.detach(), self.similarity) for layer in self.layers.each_item_layer())


@dataclass(frozen=True, eq=False, kw_only=True)
class EpochContext:
    """What a sampler with a memory may know at the start of an epoch, the same in every process.

    Attributes:
        draws: Exact draws from what a user has not interacted with.
        layers: float32 [U, L, D] and [I, L, D], without gradients.
        pooling: Combines layers, [..., L, D] -> [..., D].
        similarity: How the model compares vectors.
        seed: The run's seed.
        epoch: From 1, the epoch that begins.
        epochs: Most epochs that will be run.
    """

    draws: Draws
    layers: Layers
    pooling: Callable[[Tensor], Tensor]
    similarity: Similarity
    seed: int
    epoch: int
    epochs: int


@dataclass(frozen=True, eq=False)
class Negatives:
    """A sampler's answer; a first dimension of 1 means the same negatives for all pairs.

    Attributes:
        ids: int64 [B, K] or [1, K]; for a mixed negative, the item chosen in the input layer.
        layers: float32 [B, K, L, D], where the sampler mixes embeddings; None means those of `ids`.
        log_q: float32 [B, K] or [1, K], log-probability of each draw, where the sampler knows it.
        allowed: bool [B, K], which of them count for which pair; None means all.
        auxiliary_losses: float32 [B], added to the pairs' losses, for samplers that learn.
    """

    ids: Tensor
    layers: Tensor | None = None
    log_q: Tensor | None = None
    allowed: Tensor | None = None
    auxiliary_losses: Tensor | None = None

    def embeddings(self, layers: Layers) -> Tensor:
        """Return float32 [B, K, L, D]: the mixed embeddings, or those of `ids`."""
        return layers.item_rows(self.ids) if self.layers is None else self.layers


class Sampler(nn.Module, ABC):
    """Draws negatives for a batch; may hold parameters and state, which are trained and checkpointed.

    Attributes:
        option_names: What it reads from `SamplerConfig.options`; other names are refused.
        uses_codes: Whether it needs path codes, with and without multi-view terms.
    """

    option_names: ClassVar[tuple[str, ...]] = ()
    uses_codes: ClassVar[bool] = False

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

    def begin_epoch(self, context: EpochContext) -> None:
        """Take what an epoch needs, for a sampler with a memory; called before its first batch."""

    def prepare(self, context: DrawContext) -> Prepared:
        """Do what needs no embeddings: draws and look-ups, which the CPU does while the last step computes.

        Returns:
            Tensors by name, which `sample` finds by `prepared`.
        """
        return {}

    @abstractmethod
    def sample(self, context: SamplingContext) -> Negatives:
        """Draw K negatives for each pair of a batch."""

    def prepared(self, context: SamplingContext) -> Prepared:
        """Return what `prepare` gave for this batch, and ask it where nobody did."""
        return self.prepare(context) if context.prepared is None else context.prepared
