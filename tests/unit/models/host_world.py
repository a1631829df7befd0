"""A tiny world, one training step in it, gradients by differences, and a checkerboard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.losses.registry import build_loss
from dtlns.models.base import EmbeddingModel
from dtlns.samplers.base import DrawContext, Negatives, Sampler, SamplingContext
from dtlns.sampling import NegativePool
from dtlns.training.settings import LossConfig, ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.step import TrainStep
from dtlns.training.streams import Step
from dtlns.training.trainer import train as fit

ROWS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]])  # user 2 and item 3 have no edge
TRAIN = TrainView.from_csr(sp.csr_array(ROWS))
USERS, POSITIVES, NEGATIVES = [0, 3, 0, 1], [1, 2, 0, 1], [[3, 2], [1, 3], [2, 2], [0, 3]]
WEIGHTS = [1.0, 0.5, 0.25, 1.0]
STEP = Step(seed=3, epoch=2, number=1)
L2 = 0.1

Tables = dict[str, np.ndarray]


class Given(Sampler):
    """Answers with the negatives of the tiny world."""

    def sample(self, context: SamplingContext) -> Negatives:
        return Negatives(torch.tensor(NEGATIVES))


def step_loss(model: EmbeddingModel, loss: LossConfig | None = None, l2: float = L2) -> torch.Tensor:
    """Return the loss of one weighted batch of the tiny world, as training computes it."""
    chosen = None if model.default_loss is None else build_loss(loss or LossConfig(), model.default_loss)
    users, positives = torch.tensor(USERS), torch.tensor(POSITIVES)
    context = DrawContext(
        users=users,
        positives=positives,
        rows=torch.arange(len(users)),
        whole_users=users,
        whole_positives=positives,
        whole_weights=torch.tensor(WEIGHTS),
        draws=draws_on(NegativePool(TRAIN), "cpu"),
        seed=STEP.seed,
        epoch=STEP.epoch,
        epochs=10,
        number=STEP.number,
    )
    step = TrainStep(model, Given(), chosen, similarity="inner", l2=l2)
    return step(context, {}, torch.tensor(WEIGHTS))


def tables_of(model: EmbeddingModel) -> Tables:
    """Return all parameters in float64."""
    return {name: value.detach().double().numpy() for name, value in model.named_parameters()}


def spread(model: EmbeddingModel, scale: float = 1.0) -> EmbeddingModel:
    """Give the parameters values of a size at which no term of a loss is negligible."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(scale * torch.randn(value.shape, generator=generator))
    return model


def assert_step(model: EmbeddingModel, naive: Callable[[Tables], float], loss: torch.Tensor) -> None:
    """Compare loss and gradients with a naive loss and its central differences in float64."""
    loss.backward()
    tables = tables_of(model)
    np.testing.assert_allclose(loss.item(), naive(tables), rtol=1e-5)
    for name, value in model.named_parameters():
        expected = np.zeros_like(tables[name])
        for place in np.ndindex(expected.shape):
            ends = []
            for shift in (1e-5, -1e-5):
                moved = {key: table.copy() for key, table in tables.items()}
                moved[name][place] += shift
                ends.append(naive(moved))
            expected[place] = (ends[0] - ends[1]) / 2e-5
        assert value.grad is not None
        np.testing.assert_allclose(value.grad, expected, rtol=1e-3, atol=1e-6, err_msg=name)


def dense_adjacency() -> np.ndarray:
    """D^-1/2 A D^-1/2 of the tiny world, float64 [8, 8]."""
    whole = np.zeros((8, 8))
    whole[:4, 4:], whole[4:, :4] = ROWS, ROWS.T
    scale = np.array([1 / np.sqrt(d) if d else 0.0 for d in whole.sum(axis=1)])
    return scale[:, None] * whole * scale[None, :]


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def bpr_and_l2(final_u: np.ndarray, final_i: np.ndarray, first_u: np.ndarray, first_i: np.ndarray) -> float:
    """The weighted mean of BPR over the batch, and L2 of the input embeddings."""
    total = 0.0
    for u, p, negatives, weight in zip(USERS, POSITIVES, NEGATIVES, WEIGHTS, strict=True):
        for n in negatives:
            total += weight * softplus(final_u[u] @ (final_i[n] - final_i[p])) / len(negatives)
    return total / len(USERS) + l2_of(first_u, first_i)


def l2_of(users: np.ndarray, items: np.ndarray) -> float:
    total = 0.0
    for u, p, negatives in zip(USERS, POSITIVES, NEGATIVES, strict=True):
        total += users[u] @ users[u] + items[p] @ items[p]
        total += sum(items[n] @ items[n] for n in negatives) / len(negatives)
    return L2 / 2 * total / len(USERS)


def checkerboard() -> tuple[TrainView, np.ndarray]:
    """Even users like even items and odd users odd ones; a third of that is kept from training."""
    rng = np.random.default_rng(0)
    likes = (np.arange(60)[:, None] + np.arange(40)[None, :]) % 2 == 0
    hidden = likes & (rng.random(likes.shape) < 1 / 3)
    return TrainView.from_csr(sp.csr_array((likes & ~hidden).astype(np.float32))), hidden


def completed(model: ModelConfig, *, negatives: int = 1, **settings: object) -> float:
    """Train on the checkerboard; return the share of hidden pairs above every pair of the other colour."""
    train, hidden = checkerboard()
    told = TrainConfig.model_validate(
        {
            "model": model,
            "sampler": SamplerConfig(name="uniform", negatives=negatives),
            "epochs": 60,
            "batch_size": 128,
            "learning_rate": 0.02,
            "l2": 0.02,
            **settings,
        }
    )
    scores = fit(train, told, device="cpu").scorer.score(np.arange(60))
    odd = (np.arange(60)[:, None] + np.arange(40)[None, :]) % 2 == 1
    worst = np.where(odd, scores, -np.inf).max(axis=1, keepdims=True)
    return float((scores > worst)[hidden].mean())
