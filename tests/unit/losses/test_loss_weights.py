"""What the step makes of a loss: weights once, the same for any number of processes, and L2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from loss_world import scored

from dtlns.losses.registry import build_loss
from dtlns.models.mf import MF
from dtlns.samplers.uniform import Uniform
from dtlns.sampling import NegativePool
from dtlns.testing.checks.world import DIMENSIONS, N_ITEMS, N_USERS, world
from dtlns.training.batches import Batches
from dtlns.training.pairs import Pairs
from dtlns.training.parallel import Processes
from dtlns.training.settings import LossConfig, TrainConfig
from dtlns.training.step import TrainStep, half_squared_norms

SETTINGS = TrainConfig(batch_size=40, seed=3)


def step_of(name: str, processes: Processes, weight: float | None) -> tuple[float, list[torch.Tensor]]:
    """Return the loss of an epoch's second batch and its gradients, in one process of several."""
    train = world()
    users, items = train.user_of_interaction.astype(np.int64), train.indices.astype(np.int64)
    weights = None if weight is None else np.where(users % 3 == 0, weight, 1.0).astype(np.float32)
    pairs = Pairs(users, items, weights, NegativePool(train))
    sampler, model = Uniform(), MF(N_USERS, N_ITEMS, DIMENSIONS, seed=1)
    loss = build_loss(LossConfig(name=name), "bpr")
    step = TrainStep(model, sampler, loss, similarity=loss.similarity, l2=0.0, processes=processes.size)
    batches = Batches(pairs, SETTINGS, torch.device("cpu"), processes)
    drawn = list(batches.epoch(1, sampler))[1]
    total = step(drawn.context, drawn.prepared, drawn.weights)
    total.backward()
    return total.item(), [value.grad for value in model.parameters() if value.grad is not None]


@pytest.mark.parametrize("weight", [None, 0.25])
@pytest.mark.parametrize("name", ["bpr", "softmax", "bsl"])
def test_the_mean_over_processes_is_the_whole_batch(name: str, weight: float | None) -> None:
    whole, gradients = step_of(name, Processes(), weight)
    parts = [step_of(name, Processes(rank, 3), weight) for rank in range(3)]
    assert whole == pytest.approx(np.mean([total for total, _ in parts]), rel=1e-5)
    for ours, *theirs in zip(gradients, *(found for _, found in parts), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs).mean(dim=0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", ["bpr", "softmax", "bsl"])
def test_pairs_of_weight_zero_are_as_if_they_were_not_there(name: str) -> None:
    """No gradient reaches a user whose pairs all have the weight 0."""
    _, (users, _) = step_of(name, Processes(), 0.0)
    assert not users[::3].any()
    assert users[1::3].any()


def test_l2_is_half_the_squared_norms_with_the_mean_over_negatives() -> None:
    """By hand: each vector is (score, 0.5), users (1, 0)."""
    batch = scored([2.0, 0.0], [[1.0, 3.0], [0.0, 1.0]])
    expected = [(1.0 + 4.25 + (1.25 + 9.25) / 2) / 2, (1.0 + 0.25 + (0.25 + 1.25) / 2) / 2]
    assert half_squared_norms(batch).tolist() == pytest.approx(expected)
