from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from sampler_world import batch, build

from dtlns.errors import ConfigError
from dtlns.samplers.in_batch import InBatch

# items have 2, 3 and 1 interactions, and item 3 has none
OBSERVED = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]])


def test_the_batch_is_the_negatives_with_the_log_of_their_shares() -> None:
    found = build(InBatch, OBSERVED).sample(batch(OBSERVED, [0, 2, 2, 1], [0, 2, 1, 0]))
    assert found.ids.tolist() == [[0, 2, 1, 0]]
    torch.testing.assert_close(found.log_q, torch.tensor([[2 / 6, 1 / 6, 3 / 6, 2 / 6]]).log())
    assert found.allowed.int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 0]]


def test_a_share_of_the_batch_meets_the_whole_batch() -> None:
    sampler, whole = build(InBatch, OBSERVED), ([0, 2, 2, 1], [0, 2, 1, 0])
    one, part = sampler.sample(batch(OBSERVED, *whole)), batch(OBSERVED, [2, 1], [1, 0], whole=whole)
    found = sampler.sample(part)
    assert torch.equal(found.ids, one.ids)
    assert torch.equal(found.allowed, one.allowed[2:])


def test_the_corrected_sum_over_all_batches_is_that_over_the_catalogue() -> None:
    users, items = np.nonzero(OBSERVED)
    sampler, scores, size = build(InBatch, OBSERVED), np.array([0.3, -1.0, 2.0, 5.0]), 3
    sums = []
    for pairs in combinations(range(len(users)), size):  # all batches that a shuffled epoch may begin with
        found = sampler.sample(batch(OBSERVED, users[list(pairs)], items[list(pairs)]))
        ids, q = found.ids[0].numpy(), found.log_q[0].exp().double().numpy()
        sums.append((np.exp(scores[ids]) / (size * q)).sum())
    np.testing.assert_allclose(np.mean(sums), np.exp(scores[:3]).sum(), rtol=1e-6)


def test_excluded_items_do_not_count() -> None:
    exclude = np.zeros(OBSERVED.shape)
    exclude[0, 2] = 1
    found = build(InBatch, OBSERVED).sample(batch(OBSERVED, [0, 2], [0, 2], exclude=exclude))
    assert found.allowed.int().tolist() == [[0, 0], [1, 0]]


def test_a_number_of_negatives_is_refused() -> None:
    with pytest.raises(ConfigError, match="as many as a batch has pairs, not 2"):
        build(InBatch, OBSERVED, negatives=2)
