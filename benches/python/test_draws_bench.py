"""Exact draws for one batch of 2,048 pairs, by the core and by tensor code on the CPU or a GPU.

Best of many calls, in milliseconds; the answers of both are compared. Sizes are those of Amazon-sports.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor

from dtlns import TrainView
from dtlns.draws import CoreDraws, Draws, ItemOrder, ItemWeights
from dtlns.pools import NegativePool
from dtlns.tensor_draws import TensorDraws

USERS, ITEMS, INTERACTIONS, BATCH = 15_138, 8_439, 171_621, 2048


@pytest.fixture(scope="module")
def train() -> TrainView:
    """Interactions with a popularity skew."""
    random = np.random.default_rng(0)
    items = (random.random(INTERACTIONS) ** 2 * ITEMS).astype(np.int64)
    users = random.integers(0, USERS, INTERACTIONS)
    matrix = sp.csr_array((np.ones(INTERACTIONS), (users, items)), shape=(USERS, ITEMS))
    return TrainView.from_csr(matrix > 0)


def best(call: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Return the least milliseconds of 50 calls, and the answer."""
    least = np.inf
    for _ in range(50):
        start = time.perf_counter()
        answer = call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        least = min(least, time.perf_counter() - start)
    return 1e3 * least, answer


@pytest.mark.parametrize("what", ["uniform x 10", "weighted x 1", "within x 10", "allowed, 512 shared"])
def test_draws(what: str, train: TrainView, capsys: pytest.CaptureFixture[str]) -> None:
    pool, random = NegativePool(train), np.random.default_rng(1)
    weights = ItemWeights.from_float((train.item_counts + 0.5) ** 0.75)
    order = ItemOrder(random.permutation(ITEMS))
    picked = random.choice(train.n_interactions, BATCH, replace=False)
    host = (
        torch.from_numpy(train.user_of_interaction[picked].astype(np.int64)),
        torch.from_numpy(picked),
        torch.from_numpy(random.integers(0, ITEMS - 120, (BATCH, 1))) + torch.tensor([0, 60]),
        torch.from_numpy(random.choice(train.indices, 512).astype(np.int64)),
    )

    def measure(draws: Draws) -> tuple[float, Tensor]:
        users, rows, low, items = (tensor.to(draws.device) for tensor in host)
        key = {"rows": rows, "seed": 1, "epoch": 1}
        calls: dict[str, Callable[[], Tensor]] = {
            "uniform x 10": lambda: draws.draw(users, 10, **key),
            "weighted x 1": lambda: draws.draw_weighted(users, 1, weights, **key)[0],
            "within x 10": lambda: draws.draw_within(users, 10, order, low, low + 30, **key),
            "allowed, 512 shared": lambda: draws.allowed(users, items),
        }
        return best(calls[what], draws.device)

    names = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    kinds = [CoreDraws(pool), *(TensorDraws(pool, torch.device(name)) for name in names)]
    found = [measure(draws) for draws in kinds]
    with capsys.disabled():
        for draws, (milliseconds, _) in zip(kinds, found, strict=True):
            print(f"\n{what}: {type(draws).__name__} on {draws.device} {milliseconds:.2f} ms", end="")
    for _, answer in found[1:]:
        assert torch.equal(answer.cpu(), found[0][1])
