from __future__ import annotations

import numpy as np
import pytest
import torch
from sampler_world import batch, build
from scipy.stats import chisquare

from dtlns.errors import InputError
from dtlns.samplers.popularity import Popularity

# items have 3, 2, 1 and 0 interactions; user 2 has items 0 and 1
OBSERVED = [[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_weights_are_a_power_of_the_counts_over_what_is_left() -> None:
    found = build(Popularity, OBSERVED, negatives=2, options={"beta": 2.0}).sample(
        batch(OBSERVED, [0] * 200, [0] * 200)
    )
    # user 0 has items 1 and 3 left, with weights 2² and max(0, 1)²
    expected = torch.where(found.ids == 1, np.log(4 / 5), np.log(1 / 5)).float()
    assert set(found.ids.unique().tolist()) == {1, 3}
    torch.testing.assert_close(found.log_q, expected)


@pytest.mark.parametrize("beta", [0.0, 0.75, 1.0])
def test_draws_follow_q(beta: float) -> None:
    observed = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]
    sampler = build(Popularity, observed, negatives=3, options={"beta": beta})
    found = sampler.sample(batch(observed, [0] * 8000, [0] * 8000))
    weights = np.array([3, 2, 1, 1]) ** beta  # of items 1 to 4; the last has no interaction and counts as one
    for slot in range(3):
        counts = np.bincount(found.ids[:, slot].numpy(), minlength=5)
        assert counts[0] == 0
        assert chisquare(counts[1:], weights / weights.sum() * 8000).pvalue > 1e-4


def test_beta_must_be_a_number_from_0_on() -> None:
    for beta in (-1.0, "much", float("nan")):
        with pytest.raises(InputError, match="beta is"):
            build(Popularity, OBSERVED, options={"beta": beta})
    with pytest.raises(InputError, match="has the weight inf"):
        build(Popularity, OBSERVED, options={"beta": 1e4})
