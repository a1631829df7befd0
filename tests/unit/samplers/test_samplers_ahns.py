from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from sampler_world import batch, build, random_layers, table
from scipy.stats import chisquare

from dtlns.embeddings import Layers
from dtlns.errors import InputError
from dtlns.samplers.ahns import AHNS
from dtlns.trees import PathCodes

OBSERVED = [[1, 1, 0, 0, 0, 0]]


def test_the_target_falls_as_the_positive_rises() -> None:
    # β (s_p + α)^(p + 1): 6 / (1 + 1) = 3, and 6 / (5 + 1) = 1
    layers = Layers(table([1.0]), table([1.0, 5.0, 0.9, 2.8, 3.3, -4.0]))
    context = batch(OBSERVED, [0, 0], [0, 1], layers)
    sampler = build(AHNS, OBSERVED, options={"alpha": 1.0, "beta": 6.0, "p": -2})
    scores = sampler.scores(context, torch.tensor([[2, 3, 4, 5]] * 2)).squeeze(2)
    expected = [[-2.1, -0.2, -0.3, -7.0], [-0.1, -1.8, -2.3, -5.0]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    ids = build(AHNS, OBSERVED, candidates=40, options={"beta": 6.0}).sample(context).ids
    assert ids.tolist() == [[3], [2]]  # of 40 candidates, all four items


def test_distribution_is_that_of_the_nearest() -> None:
    layers = Layers(table([1.0]), table([1.0, 9.0, 0.0, 1.2, 2.0, 3.0]))
    target, scores = 0.25, {2: 0.0, 3: 1.2, 4: 2.0, 5: 3.0}  # 1 / (1 + 1)²
    chance = np.zeros(6)
    for drawn in product(scores, repeat=3):
        chance[min(drawn, key=lambda item: abs(scores[item] - target))] += 1 / 4**3
    sampler = build(AHNS, OBSERVED, candidates=3, negatives=2, options={"beta": 1.0, "p": -3})
    ids = sampler.sample(batch(OBSERVED, [0] * 10_000, [0] * 10_000, layers)).ids
    for slot in range(2):
        counts = np.bincount(ids[:, slot].numpy(), minlength=6)
        assert chisquare(counts[2:], chance[2:] * 10_000).pvalue > 1e-4


def test_views_are_added_to_the_normalised_distance() -> None:
    codes = {"tree": PathCodes.from_paths([(0, 0), (1, 0), (0, 0), (0, 1), (1, 1), (1, 1)])}
    layers, near = random_layers(1, 6), [1.0, 0.0, 1.0, 0.5, 0.0, 0.0]
    context = batch(OBSERVED, [0] * 40, [0] * 40, layers)
    sampler = build(AHNS, OBSERVED, codes, candidates=3, multi_view=True, view_weights={"tree": 0.7})
    user, items = (each.detach().mean(dim=1).double().numpy() for each in layers)
    target = 0.1 / (user[0] @ items[0] + 1)
    candidates, ids = context.draw(3).tolist(), sampler.sample(context).ids[:, 0].tolist()
    for drawn, found in zip(candidates, ids, strict=True):
        far = np.array([-abs(user[0] @ items[item] - target) for item in drawn])
        spread = np.ptp(far) or 1.0
        final = (far - far.min()) / spread + 0.7 * np.array([near[item] for item in drawn])
        assert found == drawn[int(final.argmax())]


def test_options_are_checked() -> None:
    for options, message in (
        ({"p": -1}, "p is -1"),
        ({"p": -2.5}, "p is -2.5"),
        ({"beta": 0}, "beta is 0"),
        ({"alpha": -1}, "alpha is -1"),
    ):
        with pytest.raises(InputError, match=message):
            build(AHNS, OBSERVED, options=options)
