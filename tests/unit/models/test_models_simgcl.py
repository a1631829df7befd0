"""SimGCL and XSimGCL: noise hop by hop, one step by hand, and a checkerboard."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from host_world import (
    POSITIVES,
    STEP,
    TRAIN,
    USERS,
    Tables,
    assert_step,
    bpr_and_l2,
    completed,
    dense_adjacency,
    spread,
    step_loss,
)

from dtlns.errors import InputError
from dtlns.models.contrast import info_nce, perturbation
from dtlns.models.registry import build_model
from dtlns.models.simgcl import SimGCL
from dtlns.models.xsimgcl import XSimGCL
from dtlns.testing.checks import check_model
from dtlns.training.settings import ModelConfig

HOPS = 2


def noise_of(purpose: str) -> list[np.ndarray]:
    """The noise of each hop, of unit length."""
    generator = STEP.generator(purpose, torch.device("cpu"))
    drawn = [torch.rand(8, 3, generator=generator).double().numpy() for _ in range(HOPS)]
    return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in drawn]


def layers_of(tables: Tables, noise: list[np.ndarray] | None, eps: float) -> list[np.ndarray]:
    """The noisy recursion as the paper writes it."""
    nodes = np.concatenate([tables["user_embeddings"], tables["item_embeddings"]])
    outputs = [nodes]
    for hop in range(HOPS):
        nodes = dense_adjacency() @ nodes
        if noise is not None:
            nodes = nodes + eps * np.sign(nodes) * noise[hop]
        outputs.append(nodes)
    return outputs


def contrast_of(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """InfoNCE over the different users and the different positives, with loops."""
    total = 0.0
    for ids in (sorted(set(USERS)), sorted({4 + item for item in POSITIVES})):
        for a in ids:
            logits = {
                b: first[a] @ second[b] / np.linalg.norm(first[a]) / np.linalg.norm(second[b]) / temperature
                for b in ids
            }
            total -= math.log(math.exp(logits[a]) / sum(map(math.exp, logits.values()))) / len(ids)
    return total


def test_simgcl_step_by_hand() -> None:
    model = spread(SimGCL(TRAIN, 3, HOPS, contrast=0.7, eps=0.3, temperature=0.4))
    noise = [noise_of(f"contrastive view {view}") for view in (1, 2)]

    def naive(tables: Tables) -> float:
        final = np.mean(layers_of(tables, None, 0)[1:], axis=0)
        first, second = (np.mean(layers_of(tables, rows, 0.3)[1:], axis=0) for rows in noise)
        pairs = bpr_and_l2(final[:4], final[4:], tables["user_embeddings"], tables["item_embeddings"])
        return pairs + 0.7 * contrast_of(first, second, 0.4)

    assert_step(model, naive, step_loss(model))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_xsimgcl_step_by_hand(layer: int) -> None:
    model = spread(XSimGCL(TRAIN, 3, HOPS, contrast=0.7, eps=0.3, temperature=0.4, contrast_layer=layer))
    noise = noise_of("xsimgcl noise")

    def naive(tables: Tables) -> float:
        layers = layers_of(tables, noise, 0.3)
        final = np.mean(layers[1:], axis=0)
        pairs = bpr_and_l2(final[:4], final[4:], tables["user_embeddings"], tables["item_embeddings"])
        return pairs + 0.7 * contrast_of(final, layers[layer], 0.4)

    assert_step(model, naive, step_loss(model))


@pytest.mark.parametrize("kind", [SimGCL, XSimGCL])
def test_evaluation_is_clean_and_without_the_input_layer(kind: type[SimGCL] | type[XSimGCL]) -> None:
    model = spread(kind(TRAIN, 3, HOPS))
    tables = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    expected = np.mean(layers_of(tables, None, 0)[1:], axis=0)
    np.testing.assert_allclose(torch.cat(model.pooled()), expected, rtol=1e-5, atol=1e-6)


def test_noise_has_its_length_and_keeps_signs() -> None:
    model = spread(SimGCL(TRAIN, 16, 1))
    clean = model.layers()
    generator = torch.Generator().manual_seed(1)
    added = torch.cat([*perturbation(clean, model.graph, eps=0.3, generator=generator)])
    first = torch.cat([*clean])[:, 1]
    assert not added[:, 0].any()
    reached = first.any(dim=1)  # a node without an edge has nothing whose sign noise could take
    lengths = added[:, 1].norm(dim=1)
    torch.testing.assert_close(lengths[reached], torch.full_like(lengths[reached], 0.3))
    assert not lengths[~reached].any()
    assert bool((added[:, 1] * first >= 0).all())


def test_info_nce_is_smallest_for_equal_views() -> None:
    rows = torch.eye(4)
    assert info_nce(rows, rows, 0.5).item() == pytest.approx(math.log(1 + 3 * math.exp(-2)))
    assert info_nce(rows, rows.roll(1, 0), 0.5) > info_nce(rows, rows, 0.5)


@pytest.mark.parametrize("name", ["simgcl", "xsimgcl"])
def test_suite(name: str) -> None:
    check_model(name, layers=2, options={"lambda": 0.1, "temperature": 0.5})


@pytest.mark.parametrize("name", ["simgcl", "xsimgcl"])
def test_checkerboard_is_completed(name: str) -> None:
    model = ModelConfig(name=name, dimensions=8, layers=2, options={"lambda": 0.02})
    assert completed(model, l2=1e-3, epochs=40) > 0.98


@pytest.mark.parametrize("name", ["simgcl", "xsimgcl"])
@pytest.mark.parametrize(
    ("options", "layers", "message"),
    [
        ({"lambda": -1}, 2, "lambda is -1"),
        ({"eps": 0}, 2, "eps is 0"),
        ({"temperature": "warm"}, 2, "temperature is 'warm'"),
        ({}, 0, "layers is 0"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, object], layers: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_model(ModelConfig(name=name, layers=layers, options=options), TRAIN)


def test_contrast_layer_must_exist() -> None:
    with pytest.raises(InputError, match="contrast_layer is 3"):
        build_model(ModelConfig(name="xsimgcl", layers=2, options={"contrast_layer": 3}), TRAIN)
