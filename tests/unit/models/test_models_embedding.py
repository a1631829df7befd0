"""MF and LightGCN: propagation, gradients, one step by hand, and a checkerboard."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns.data.views import TrainView
from dtlns.draws import draws_on
from dtlns.losses.bpr import BPR
from dtlns.models.base import EmbeddingModel
from dtlns.models.itemknn import ItemKNN
from dtlns.models.lightgcn import LightGCN
from dtlns.models.mf import MF
from dtlns.models.propagation import BipartiteGraph
from dtlns.models.registry import build_model
from dtlns.samplers.base import DrawContext, Negatives, Sampler, SamplingContext
from dtlns.sampling import NegativePool
from dtlns.training.settings import ModelConfig, SamplerConfig, TrainConfig
from dtlns.training.step import TrainStep
from dtlns.training.trainer import train as fit

ROWS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]])  # user 2 and item 3 have no edge


@pytest.fixture
def train() -> TrainView:
    return TrainView.from_csr(sp.csr_array(ROWS))


def dense_adjacency() -> torch.Tensor:
    n_users, n_items = ROWS.shape
    whole = np.zeros((n_users + n_items, n_users + n_items))
    whole[:n_users, n_users:] = ROWS
    whole[n_users:, :n_users] = ROWS.T
    degree = whole.sum(axis=1)
    scale = np.array([1 / math.sqrt(d) if d else 0.0 for d in degree])
    return torch.tensor(scale[:, None] * whole * scale[None, :], dtype=torch.float32)


class Fixed(Sampler):
    """Gives the negatives that it is told."""

    def __init__(self, ids: torch.Tensor) -> None:
        super().__init__()
        self.ids = ids

    def sample(self, context: SamplingContext) -> Negatives:
        return Negatives(self.ids)


def loss_of(
    model: EmbeddingModel, negatives: torch.Tensor, weights: torch.Tensor | None, l2: float
) -> torch.Tensor:
    users, positives = torch.tensor([0, 3]), torch.tensor([1, 2])
    step = TrainStep(model, Fixed(negatives), BPR(), similarity="inner", l2=l2)
    context = DrawContext(
        users=users,
        positives=positives,
        rows=torch.arange(2),
        whole_users=users,
        whole_positives=positives,
        draws=draws_on(NegativePool(TrainView.from_csr(sp.csr_array(ROWS))), "cpu"),
        seed=0,
        epoch=1,
        epochs=1,
        number=0,
    )
    return step(context, {}, weights)


def test_adjacency_is_symmetric_and_normalised(train: TrainView) -> None:
    graph = BipartiteGraph(train)
    whole = torch.zeros(8, 8)
    whole[:4, 4:], whole[4:, :4] = graph.to_users.to_dense(), graph.to_items.to_dense()
    torch.testing.assert_close(whole, dense_adjacency())


def test_lightgcn_layers_are_powers_of_the_adjacency(train: TrainView) -> None:
    model = LightGCN(train, 5, hops=3, seed=1)
    nodes = torch.cat([model.user_embeddings, model.item_embeddings])
    expected = [torch.linalg.matrix_power(dense_adjacency(), hop) @ nodes for hop in range(4)]
    users, items = model.layers()
    torch.testing.assert_close(torch.cat([users, items]), torch.stack(expected, dim=1))
    pooled = torch.cat(model.pooled())
    torch.testing.assert_close(pooled, torch.stack(expected).mean(dim=0).detach())


def test_lightgcn_gradient_equals_that_of_the_dense_graph(train: TrainView) -> None:
    model = LightGCN(train, 5, hops=3, seed=1)
    goal_u, goal_i = torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(0)).chunk(2)
    users, items = model.layers()
    ((users[:2] * goal_u).sum() + (items[1:3] * goal_i).sum()).backward()
    nodes = torch.cat([model.user_embeddings, model.item_embeddings]).detach().requires_grad_()
    powers = [torch.linalg.matrix_power(dense_adjacency(), hop) @ nodes for hop in range(4)]
    stacked = torch.stack(powers, dim=1)
    ((stacked[:2] * goal_u).sum() + (stacked[5:7] * goal_i).sum()).backward()
    assert nodes.grad is not None
    torch.testing.assert_close(model.user_embeddings.grad, nodes.grad[:4])
    torch.testing.assert_close(model.item_embeddings.grad, nodes.grad[4:])


def test_mf_loss_and_gradient_by_hand() -> None:
    model = MF(4, 4, 3, seed=2)
    negatives, weights, l2 = torch.tensor([[3], [0]]), torch.tensor([1.0, 0.5]), 0.1
    loss = loss_of(model, negatives, weights, l2)
    loss.backward()
    users, items = (
        table.detach().double().numpy() for table in (model.user_embeddings, model.item_embeddings)
    )
    expected, gradient_u, gradient_i = 0.0, np.zeros_like(users), np.zeros_like(items)
    for u, p, n, w in ((0, 1, 3, 1.0), (3, 2, 0, 0.5)):
        difference = users[u] @ (items[n] - items[p])
        expected += w * math.log(1 + math.exp(difference)) / 2
        expected += l2 * (users[u] @ users[u] + items[p] @ items[p] + items[n] @ items[n]) / 2 / 2
        slope = w / (1 + math.exp(-difference)) / 2
        gradient_u[u] += slope * (items[n] - items[p]) + l2 * users[u] / 2
        gradient_i[n] += slope * users[u] + l2 * items[n] / 2
        gradient_i[p] += -slope * users[u] + l2 * items[p] / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(model.user_embeddings.grad, gradient_u, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(model.item_embeddings.grad, gradient_i, rtol=1e-4, atol=1e-7)


def test_lightgcn_loss_by_hand(train: TrainView) -> None:
    model = LightGCN(train, 3, hops=2, seed=2)
    negatives, l2 = torch.tensor([[3], [0]]), 0.1
    loss = loss_of(model, negatives, None, l2).item()
    final_u, final_i = (table.double().numpy() for table in model.pooled())
    first_u, first_i = (t.detach().double().numpy() for t in (model.user_embeddings, model.item_embeddings))
    expected = 0.0
    for u, p, n in ((0, 1, 3), (3, 2, 0)):
        expected += math.log(1 + math.exp(final_u[u] @ (final_i[n] - final_i[p]))) / 2
        # the penalty is on the input embeddings, not on the propagated ones
        expected += l2 * sum(v @ v for v in (first_u[u], first_i[p], first_i[n])) / 2 / 2
    assert loss == pytest.approx(expected, rel=1e-5)


def test_initial_embeddings_are_xavier_and_keyed() -> None:
    model = MF(300, 200, 50, seed=5)
    for table, rows in ((model.user_embeddings, 300), (model.item_embeddings, 200)):
        bound = math.sqrt(6 / (rows + 50))
        assert float(table.detach().abs().max()) <= bound
        assert float(table.detach().var()) == pytest.approx(bound**2 / 3, rel=0.05)
    again, other = MF(300, 200, 50, seed=5), MF(300, 200, 50, seed=6)
    assert torch.equal(model.user_embeddings, again.user_embeddings)
    assert not torch.equal(model.user_embeddings, other.user_embeddings)


def test_global_random_state_is_left_alone(train: TrainView) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 (looked at only)
    fit(train, TrainConfig(model=ModelConfig(dimensions=4), epochs=1), device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def checkerboard() -> tuple[TrainView, np.ndarray]:
    """Even users like even items and odd users odd ones; a third of that is kept from training."""
    rng = np.random.default_rng(0)
    likes = (np.arange(60)[:, None] + np.arange(40)[None, :]) % 2 == 0
    hidden = likes & (rng.random(likes.shape) < 1 / 3)
    return TrainView.from_csr(sp.csr_array((likes & ~hidden).astype(np.float32))), hidden


def completed(scores: np.ndarray, train: TrainView, hidden: np.ndarray) -> float:
    """Share of the hidden pairs that lie above every pair of the other colour."""
    odd = (np.arange(60)[:, None] + np.arange(40)[None, :]) % 2 == 1
    worst = np.where(odd, scores, -np.inf).max(axis=1, keepdims=True)
    return float((scores > worst)[hidden].mean())


@pytest.mark.parametrize("name", ["mf", "lightgcn"])
@pytest.mark.parametrize("sampler", ["uniform", "dns", "mixgcf"])
def test_checkerboard_is_completed(name: str, sampler: str) -> None:
    train, hidden = checkerboard()
    settings = TrainConfig(
        model=ModelConfig(name=name, dimensions=2, layers=2),
        sampler=SamplerConfig(name=sampler, candidates=2),
        epochs=60,
        batch_size=128,
        learning_rate=0.02,
        l2=0.02,
    )
    scores = fit(train, settings, device="cpu").scorer.score(np.arange(60))
    assert completed(scores, train, hidden) > 0.98


def test_checkerboard_is_completed_by_itemknn() -> None:
    train, hidden = checkerboard()
    assert completed(ItemKNN.fit(train).score(np.arange(60)), train, hidden) == 1.0


def test_config_reaches_the_model(train: TrainView) -> None:
    model = build_model(ModelConfig(name="lightgcn", dimensions=7, layers=1), train, seed=3)
    assert isinstance(model, LightGCN)
    assert model.layers().items.shape == (4, 2, 7)
