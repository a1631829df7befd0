"""The check suite passes every model of ours, and fails each that breaks a rule."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dtlns.data.views import TrainView
from dtlns.embeddings import Layers
from dtlns.losses.base import Batch, Loss
from dtlns.models.base import EmbeddingModel
from dtlns.models.mf import MF
from dtlns.models.popularity import Popularity
from dtlns.plugins import plugin_names
from dtlns.samplers.uniform import Uniform
from dtlns.testing.checks import check_model
from dtlns.testing.checks.world import check_resume
from dtlns.training.settings import ModelConfig, TrainConfig
from dtlns.training.streams import Step


@pytest.mark.parametrize("name", plugin_names("dtlns.models"))
def test_registered_models(name: str) -> None:
    check_model(name)


class Plain(nn.Module):
    @classmethod
    def build(cls, *_: object, **__: object) -> Self:
        return cls()


class Dropping(MF):
    def layers(self, step: Step | None = None) -> Layers:
        users, items = super().layers()
        self.coins = getattr(self, "coins", torch.Generator())
        return Layers(users * torch.rand(users.shape, generator=self.coins), items)


class Unseeded(MF):
    def __init__(self, n_users: int, n_items: int, dimensions: int, *, seed: int = 0) -> None:
        super().__init__(n_users, n_items, dimensions)


class Neighbourly(MF):
    """Looks at the batch's other pairs."""

    def pair_losses(self, batch: Batch, loss: Loss | None) -> Tensor:
        losses = super().pair_losses(batch, loss)
        return losses / losses.detach().mean()


class Local(MF):
    """Takes a term of the whole batch from its own share of it."""

    def batch_loss(self, batch: Batch) -> Tensor:
        return batch.user_vectors.square().mean()


class Spare(MF):
    def __init__(self, n_users: int, n_items: int, dimensions: int, *, seed: int = 0) -> None:
        super().__init__(n_users, n_items, dimensions, seed=seed)
        self.spare = nn.Parameter(torch.ones(3))


class Rising(MF):
    """Follows its gradient upwards."""

    def pair_losses(self, batch: Batch, loss: Loss | None) -> Tensor:
        losses = super().pair_losses(batch, loss)
        return 2 * losses.detach() - losses


class Hidden(MF):
    """Keeps what it learns out of its state."""

    def __init__(self, n_users: int, n_items: int, dimensions: int, *, seed: int = 0) -> None:
        super().__init__(n_users, n_items, dimensions, seed=seed)
        self.late_batches = 0

    def pair_losses(self, batch: Batch, loss: Loss | None) -> Tensor:
        self.late_batches += batch.step.epoch > 1
        return super().pair_losses(batch, loss) * (1 + self.late_batches)


class NotANumber(Popularity):
    def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        return super().score(users) * np.float32(np.nan)


class Misspelt(Popularity):
    search_space: ClassVar[dict[str, tuple[Any, ...]]] = {"pover": (0.5, 1.0)}


class Restless(Popularity):
    """Counts more with every one that is built."""

    built = 0

    @classmethod
    def build(cls, config: ModelConfig, train: TrainView, *, seed: int = 0) -> Self:
        cls.built += 1
        return cls(train.item_counts + cls.built, train.n_users)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Plain, "must return an EmbeddingModel or a Scorer"),
        (Dropping, "two answers"),
        (Unseeded, "another seed gives the same parameters"),
        (Neighbourly, "a pair's loss depends on the batch's other pairs"),
        (Local, "batch_loss is another in a process"),
        (Spare, "no finite gradient reaches parameter spare"),
        (Rising, "the loss went from"),
        (Hidden, "a resumed run has other user_vectors"),
        (NotANumber, "a score is NaN"),
        (Restless, "the same seed gives other scores"),
        (Misspelt, r"search_space has \['pover'\]"),
    ],
)
def test_broken_models_fail(kind: type, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(kind)


class Tied(MF):
    """Two names for one tensor, which safetensors alone would refuse."""

    def __init__(self) -> None:
        super().__init__(24, 20, 4)
        self.register_buffer("alias", self.item_embeddings.detach())


def test_tied_tensors_can_be_checkpointed() -> None:
    check_resume(lambda: (Tied(), Uniform()), TrainConfig(epochs=4, batch_size=50, validate_every=2))


class Normalised(EmbeddingModel):
    """Has batch statistics, so that it must be measured in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.table = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))

    @classmethod
    def build(cls, *_: object, **__: object) -> Self:
        return cls()

    def layers(self, step: Step | None = None) -> Layers:
        rows = self.norm(self.table).unsqueeze(1)
        return Layers(rows[:1], rows[1:])


def test_final_embeddings_are_made_in_evaluation_mode() -> None:
    model = Normalised()
    users, items = model.pooled()
    # in evaluation mode the running mean and variance are still 0 and 1
    torch.testing.assert_close(torch.cat([users, items]), model.table.detach() / (1 + 1e-5) ** 0.5)
    assert model.training
