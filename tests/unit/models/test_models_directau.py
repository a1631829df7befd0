"""DirectAU: uniformity against PyTorch's distances, one step by hand, and a checkerboard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_world import (
    L2,
    POSITIVES,
    TRAIN,
    USERS,
    WEIGHTS,
    Tables,
    assert_step,
    completed,
    l2_of,
    spread,
    step_loss,
)

from dtlns.errors import ConfigError, InputError
from dtlns.losses.alignment import uniformity
from dtlns.losses.registry import build_loss
from dtlns.models.directau import DirectAU
from dtlns.models.lightgcn import LightGCN
from dtlns.testing.checks import check_loss, check_model
from dtlns.training.settings import LossConfig, ModelConfig

GAMMA = 0.8


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def uniformity_of(rows: np.ndarray, weights: list[float] = WEIGHTS) -> float:
    total = counted = 0.0
    for i, (a, v) in enumerate(zip(rows, weights, strict=True)):
        for b, w in zip(rows[:i], weights[:i], strict=True):
            total += v * w * np.exp(-2 * np.sum((a - b) ** 2))
            counted += v * w
    return float(np.log(total / counted))


def test_step_by_hand() -> None:
    model = spread(DirectAU(4, 4, 3), 0.5)

    def naive(tables: Tables) -> float:
        users, items = unit(tables["user_embeddings"][USERS]), unit(tables["item_embeddings"][POSITIVES])
        alignment = np.mean(np.array(WEIGHTS) * np.sum((users - items) ** 2, axis=1))
        spreading = GAMMA / 2 * (uniformity_of(users) + uniformity_of(items))
        return float(alignment + spreading + l2_of(tables["user_embeddings"], tables["item_embeddings"]))

    assert L2 > 0
    assert_step(model, naive, step_loss(model, LossConfig(options={"gamma": GAMMA})))


def test_uniformity_is_that_of_pairwise_distances() -> None:
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit_rows = torch.nn.functional.normalize(rows)
    expected = torch.pdist(unit_rows).pow(2).mul(-2).exp().mean().log()
    torch.testing.assert_close(uniformity(rows), expected, check_dtype=False, rtol=1e-6, atol=0)


def test_a_row_of_no_weight_is_as_if_absent() -> None:
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    some = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    torch.testing.assert_close(uniformity(rows, some), uniformity(rows[some > 0]))


@pytest.mark.parametrize("weights", [[1.0], [0.0], [0.0, 1.0]])
def test_uniformity_of_one_row_is_nothing(weights: list[float]) -> None:
    rows = torch.ones(len(weights), 3, requires_grad=True)
    found = uniformity(rows, torch.tensor(weights))
    found.backward()
    assert found.item() == 0
    assert rows.grad is not None
    assert not rows.grad.any()


def test_lightgcn_can_have_the_loss() -> None:
    model = spread(LightGCN(TRAIN, 3, hops=1))
    loss = step_loss(model, LossConfig(name="alignment-uniformity"), l2=0.0)
    users, items = (unit(rows.double().numpy()) for rows in model.pooled())
    users, items = users[USERS], items[POSITIVES]
    expected = np.mean(np.array(WEIGHTS) * np.sum((users - items) ** 2, axis=1))
    assert loss.item() == pytest.approx(
        expected + (uniformity_of(users) + uniformity_of(items)) / 2, rel=1e-5
    )


def test_suite() -> None:
    check_model("directau")
    check_loss("alignment-uniformity", options={"gamma": 0.5})


def test_checkerboard_is_completed() -> None:
    loss = LossConfig(options={"gamma": 0.5})
    assert completed(ModelConfig(name="directau", dimensions=2), loss=loss, l2=1e-3, epochs=30) > 0.98


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="gamma is -1"):
        build_loss(LossConfig(options={"gamma": -1}), "alignment-uniformity")
    with pytest.raises(ConfigError, match="temperature"):
        build_loss(LossConfig(options={"temperature": 1}), "alignment-uniformity")
