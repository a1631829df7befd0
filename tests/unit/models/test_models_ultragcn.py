"""UltraGCN: item neighbours against a dense computation, one step by hand, and a checkerboard."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from host_world import (
    NEGATIVES,
    POSITIVES,
    ROWS,
    TRAIN,
    USERS,
    WEIGHTS,
    Tables,
    assert_step,
    completed,
    l2_of,
    softplus,
    spread,
    step_loss,
)

from dtlns.data.views import TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.models import ultragcn
from dtlns.models.registry import build_model
from dtlns.models.ultragcn import UltraGCN, degree_scales, item_neighbours
from dtlns.testing.checks import check_model
from dtlns.training.settings import LossConfig, ModelConfig, TrainConfig
from dtlns.training.trainer import train as fit


def omega_of(rows: np.ndarray) -> np.ndarray:
    """ω of all pairs of different items, 0 where they share no user: equation by equation."""
    shared = rows.T @ rows
    n_items = len(shared)
    sums = [sum(shared[i, k] for k in range(n_items)) for i in range(n_items)]
    omega = np.zeros((n_items, n_items))
    for i in range(n_items):
        for j in range(n_items):
            if i != j and shared[i, j]:
                omega[i, j] = shared[i, j] / (sums[i] - shared[i, i]) * math.sqrt(sums[i] / sums[j])
    return omega


def test_neighbours_are_those_of_the_dense_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    rows = (rng.random((40, 30)) < 0.08).astype(int)
    rows[:, 7] = 0  # an item without users
    train = TrainView.from_csr(sp.csr_array(rows))
    monkeypatch.setattr(ultragcn, "_BLOCK_NUMBERS", 4 * 30)  # blocks of four items, the last one of two
    ids, omega = item_neighbours(train, 6)
    dense = omega_of(rows).astype(np.float32)
    fewer = 0
    for i in range(30):
        best = [j for j in np.argsort(-dense[i], kind="stable") if dense[i, j] > 0][:6]
        fewer += len(best) < 6
        assert ids[i].tolist() == best + [i] * (6 - len(best))
        np.testing.assert_allclose(omega[i], [*dense[i, best], *[0] * (6 - len(best))], rtol=1e-6)
    assert fewer


def test_degree_scales_multiply_to_beta() -> None:
    users, items = degree_scales(TRAIN)
    # d = 2 for users 0, 1 and 3 and items 0, 1 and 2; user 2 counts as one with one interaction
    np.testing.assert_allclose(users[0] * items[1], 1 / 2 * math.sqrt(3 / 3), rtol=1e-6)
    np.testing.assert_allclose(users[0] * items[3], 1 / 2 * math.sqrt(3 / 1), rtol=1e-6)
    np.testing.assert_allclose(users[2] * items[1], 1 / 1 * math.sqrt(2 / 3), rtol=1e-6)


def test_step_by_hand() -> None:
    model = spread(
        UltraGCN(TRAIN, 3, w1=0.3, w2=1.5, w3=0.2, w4=0.7, negative_weight=4.0, item_weight=0.6, neighbours=2)
    )
    users_d, items_d, omega = ROWS.sum(axis=1), ROWS.sum(axis=0), omega_of(ROWS)

    def beta(u: int, i: int) -> float:
        return math.sqrt((users_d[u] + 1) / (items_d[i] + 1)) / users_d[u]

    def naive(tables: Tables) -> float:
        users, items = tables["user_embeddings"], tables["item_embeddings"]
        total = 0.0
        for u, p, negatives, weight in zip(USERS, POSITIVES, NEGATIVES, WEIGHTS, strict=True):
            pair = (0.3 + 1.5 * beta(u, p)) * softplus(-users[u] @ items[p])
            for n in negatives:
                pair += 4.0 / 2 * (0.2 + 0.7 * beta(u, n)) * softplus(users[u] @ items[n])
            for j in np.argsort(-omega[p], kind="stable")[:2]:
                pair += 0.6 * omega[p, j] * softplus(-users[u] @ items[j])
            total += weight * pair / len(USERS)
        return float(total + l2_of(users, items))

    assert_step(model, naive, step_loss(model))


def test_initial_embeddings_have_their_deviation_and_are_keyed() -> None:
    train = TrainView.from_csr(sp.csr_array(np.eye(300)))
    model = UltraGCN(train, 50, initial_std=0.01, seed=1)
    assert float(model.item_embeddings.detach().std()) == pytest.approx(0.01, rel=0.05)
    assert torch.equal(model.item_embeddings, UltraGCN(train, 50, initial_std=0.01, seed=1).item_embeddings)
    assert not torch.equal(model.item_embeddings, UltraGCN(train, 50, initial_std=0.01).item_embeddings)


def test_suite() -> None:
    check_model("ultragcn", options={"negative_weight": 5.0, "neighbours": 3})


def test_checkerboard_is_completed() -> None:
    model = ModelConfig(name="ultragcn", dimensions=4, options={"negative_weight": 20.0})
    assert completed(model, negatives=20) > 0.98


def test_another_loss_is_refused() -> None:
    settings = TrainConfig(model=ModelConfig(name="ultragcn"), loss=LossConfig(name="bpr"))
    with pytest.raises(ConfigError, match="brings its own loss"):
        fit(TRAIN, settings, device="cpu")
    settings = TrainConfig(model=ModelConfig(name="ultragcn"), loss=LossConfig(options={"temperature": 1.0}))
    with pytest.raises(ConfigError, match="has no option 'temperature'"):
        fit(TRAIN, settings, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"w1": -1}, "w1 is -1"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"negative_weight": "many"}, "negative_weight is 'many'"),
        ({"initial_std": 0.0}, "initial_std is 0.0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(ModelConfig(name="ultragcn", options=options), TRAIN)
