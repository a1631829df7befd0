"""NGCF: the layers of its paper, dropout by step, one step by hand, and a checkerboard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from host_world import (
    STEP,
    TRAIN,
    Tables,
    assert_step,
    bpr_and_l2,
    completed,
    dense_adjacency,
    spread,
    step_loss,
)

from dtlns.errors import ConfigError, InputError
from dtlns.models.ngcf import NGCF
from dtlns.models.registry import build_model
from dtlns.testing.checks import check_model
from dtlns.training.settings import ModelConfig
from dtlns.training.streams import Step


def layers_of(tables: Tables, masks: list[np.ndarray] | None = None) -> list[np.ndarray]:
    """Equation 7, node by node; masks are 0 or 1 / (1 - dropout)."""
    adjacency = dense_adjacency()
    nodes = np.concatenate([tables["user_embeddings"], tables["item_embeddings"]])
    outputs = [nodes]
    for hop in range(2):
        w1, w2 = tables[f"sums.{hop}"], tables[f"products.{hop}"]
        following = np.zeros_like(nodes)
        for v, own in enumerate(nodes):
            message = own @ w1
            for other in range(8):
                e = nodes[other]
                message = message + adjacency[v, other] * (e @ w1 + (e * own) @ w2)
            following[v] = np.where(message > 0, message, 0.2 * message)
        nodes = following if masks is None else following * masks[hop]
        norms = np.linalg.norm(nodes, axis=1, keepdims=True)
        outputs.append(nodes / np.where(norms > 0, norms, 1))
    return outputs


def test_layers_are_those_of_the_paper() -> None:
    model = spread(NGCF(TRAIN, 3, hops=2))
    users, items = model.layers()
    expected = layers_of({name: value.detach().double().numpy() for name, value in model.named_parameters()})
    np.testing.assert_allclose(
        torch.cat([users, items]).detach(), np.stack(expected, axis=1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        torch.cat(model.pooled()), np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_step_by_hand(dropout: float) -> None:
    model = spread(NGCF(TRAIN, 3, hops=2, message_dropout=dropout))
    generator = STEP.generator("ngcf message dropout", torch.device("cpu"))
    masks = [
        np.where(torch.rand(8, 3, generator=generator).numpy() < 1 - dropout, 1 / (1 - dropout), 0.0)
        for _ in range(2)
    ]
    assert dropout == 0 or any((mask == 0).any() for mask in masks)

    def naive(tables: Tables) -> float:
        final = np.concatenate(layers_of(tables, masks), axis=1)
        first = tables["user_embeddings"], tables["item_embeddings"]
        return bpr_and_l2(final[:4], final[4:], *first)

    assert_step(model, naive, step_loss(model))


def test_dropout_is_keyed_by_the_step() -> None:
    model = NGCF(TRAIN, 3, message_dropout=0.5)
    first, again, other = (model.layers(Step(0, 1, number)).users for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, model.layers().users)


def test_suite() -> None:
    check_model("ngcf", layers=2, options={"message_dropout": 0.3})


def test_checkerboard_is_completed() -> None:
    assert completed(ModelConfig(name="ngcf", dimensions=4, layers=2), l2=1e-3) > 0.98


@pytest.mark.parametrize("value", [-0.1, 1.0, "much", float("nan")])
def test_bad_dropout_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="message_dropout is"):
        build_model(ModelConfig(name="ngcf", options={"message_dropout": value}), TRAIN)


def test_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="node_dropout"):
        build_model(ModelConfig(name="ngcf", options={"node_dropout": 0.1}), TRAIN)
