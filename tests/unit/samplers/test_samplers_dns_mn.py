from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from sampler_world import batch, build, random_layers, table
from scipy.stats import chisquare

from dtlns.embeddings import Layers
from dtlns.errors import InputError
from dtlns.samplers.dns import DNS
from dtlns.samplers.dns_mn import DNSMN
from dtlns.trees import PathCodes

OBSERVED = [[1, 0, 0, 0, 0, 0]]
SCORES = Layers(table([1.0]), table(range(6)))  # items score 0 to 5


@pytest.mark.parametrize(("n", "top"), [(3, 2), (2, 2), (4, 1), (4, 3)])
def test_distribution_is_uniform_over_the_top(n: int, top: int) -> None:
    chance = np.zeros(6)
    for drawn in product(range(1, 6), repeat=n):  # items score by their ids
        for item in sorted(drawn, reverse=True)[:top]:
            chance[item] += 1 / top / 5**n
    sampler = build(DNSMN, OBSERVED, candidates=n, negatives=2, options={"top": top})
    ids = sampler.sample(batch(OBSERVED, [0] * 10_000, [0] * 10_000, SCORES)).ids
    for slot in range(2):
        counts = np.bincount(ids[:, slot].numpy(), minlength=6)
        assert chisquare(counts[1:], chance[1:] * 10_000).pvalue > 1e-4


def test_the_best_one_is_dns() -> None:
    context = batch(OBSERVED, [0] * 50, [0] * 50, random_layers(1, 6))
    one = build(DNSMN, OBSERVED, candidates=4, negatives=3, options={"top": 1}).sample(context)
    assert torch.equal(one.ids, build(DNS, OBSERVED, candidates=4, negatives=3).sample(context).ids)


def test_views_decide_who_is_on_top() -> None:
    codes = {"tree": PathCodes.from_paths([(0, 0), (1,), (0, 0), (0, 1), (1,), (1,)])}
    sampler = build(
        DNSMN,
        OBSERVED,
        codes,
        candidates=6,
        multi_view=True,
        view_weights={"tree": 10.0},
        options={"top": 1},
    )
    context = batch(OBSERVED, [0] * 200, [0] * 200, SCORES)
    candidates, ids = context.draw(6), sampler.sample(context).ids[:, 0]
    near = torch.tensor([1.0, 0.0, 1.0, 0.5, 0.0, 0.0])  # similarity to item 0
    final = near[candidates] * 100 + candidates  # nearness first, then the score
    assert torch.equal(ids, candidates.gather(1, final.argmax(dim=1, keepdim=True))[:, 0])


def test_top_is_from_1_to_n() -> None:
    for top in (0, 5):
        with pytest.raises(InputError, match=f"top is {top} · allowed: an integer from 1 to 4"):
            build(DNSMN, OBSERVED, candidates=4, options={"top": top})
