from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sampler_world import batch, build
from scipy.stats import chisquare

from dtlns.errors import InputError
from dtlns.samplers.depth import TreeDepth
from dtlns.trees import PathCodes

PATHS = [(0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 1), (0, 1), (0, 1), (1, 0), (1, 1), (2,)]
CODES = {"structural": PathCodes.from_paths(PATHS)}
OBSERVED = np.zeros((3, 10))
OBSERVED[:, 0] = 1


def of(far: int, near: int | None = None, observed: np.ndarray = OBSERVED, **config: object) -> TreeDepth:
    options = {"from": far, "to": far if near is None else near}
    return build(TreeDepth, observed, CODES, options=options, **config)


def naive_relation(positive: int, up: int) -> set[int]:
    """Items whose longest common prefix with the positive ends so many levels above its leaf."""
    path, found = PATHS[positive], set()
    for item, other in enumerate(PATHS):
        shared = next((d for d, (a, b) in enumerate(zip(path, other, strict=False)) if a != b), None)
        shared = min(len(path), len(other)) if shared is None else shared
        if len(path) - shared == up:
            found.add(item)
    return found


def test_relations_are_disjoint_and_as_the_words_say() -> None:
    assert [naive_relation(0, up) for up in range(4)] == [{0, 1, 2}, {3, 4}, {5, 6}, {7, 8, 9}]
    sampler = of(3)
    order = sampler._ranges_on(torch.device("cpu")).order.items
    low, high = sampler.relations(torch.arange(10))
    for positive in range(10):
        for up in range(5):
            ranges = zip(low[positive, up].tolist(), high[positive, up].tolist(), strict=True)
            found = [int(order[at]) for start, end in ranges for at in range(start, end)]
            assert sorted(found) == (list(range(10)) if up == 4 else sorted(naive_relation(positive, up)))


@pytest.mark.parametrize(("up", "expected"), [(0, [1, 2]), (1, [3, 4]), (2, [5, 6]), (3, [7, 8, 9])])
def test_draws_are_uniform_over_a_relation(up: int, expected: list[int]) -> None:
    found = of(up, negatives=2).sample(batch(OBSERVED, [0] * 6000, [0] * 6000))
    torch.testing.assert_close(found.log_q, torch.full((6000, 2), -math.log(len(expected))))
    for slot in range(2):
        counts = np.bincount(found.ids[:, slot].numpy(), minlength=10)
        assert np.flatnonzero(counts).tolist() == expected
        assert chisquare(counts[expected]).pvalue > 1e-4


def test_a_shallow_leaf_has_the_root_for_its_last_ancestor() -> None:
    found = of(3).sample(batch(OBSERVED, [0] * 300, [9] * 300))
    assert set(found.ids.flatten().tolist()) == set(range(1, 9))  # outside of its branch, without item 0


def test_who_has_nothing_left_goes_further_up_and_then_anywhere() -> None:
    observed = np.zeros((3, 10))
    observed[0, [0, 1, 2, 3, 4]] = 1  # own leaf and siblings
    observed[1, [0, 1, 2, 3, 4, 5, 6]] = 1  # cousins too
    observed[2, [0, 3, 4, 5, 6, 7, 8, 9]] = 1  # all but the own leaf
    found = of(1, observed=observed).sample(batch(observed, [0, 1, 2] * 100, [0] * 300))
    drawn = [set(found.ids[user::3].flatten().tolist()) for user in range(3)]
    assert drawn == [{5, 6}, {7, 8, 9}, {1, 2}]
    torch.testing.assert_close(found.log_q[:3, 0], -torch.tensor([2.0, 3.0, 2.0]).log())


def test_excluded_items_are_left_out() -> None:
    exclude = np.zeros((3, 10))
    exclude[:, [3, 8]] = 1
    for up, expected in ((1, {4}), (3, {7, 9})):
        found = of(up).sample(batch(OBSERVED, [0] * 100, [0] * 100, exclude=exclude))
        assert set(found.ids.flatten().tolist()) == expected


def test_the_schedule_goes_from_far_to_near() -> None:
    sampler = of(3, 0)
    assert [sampler.level(epoch, 8) for epoch in range(1, 9)] == [3, 3, 2, 2, 1, 1, 0, 0]
    assert [sampler.level(epoch, 3) for epoch in range(1, 4)] == [3, 2, 1]  # too short for four steps
    drawn = [
        set(sampler.sample(batch(OBSERVED, [0] * 100, [0] * 100, epoch=e, epochs=4)).ids.flatten().tolist())
        for e in range(1, 5)
    ]
    assert drawn == [{7, 8, 9}, {5, 6}, {3, 4}, {1, 2}]
    fixed = build(TreeDepth, OBSERVED, CODES, options={"from": 1, "to": 0, "over": 2})
    assert [fixed.level(epoch, 100) for epoch in (1, 2, 3, 100)] == [1, 0, 0, 0]


def test_options_are_checked() -> None:
    short = {"structural": PathCodes.from_paths([(0,), (1,)])}
    for codes, options, message in (
        (CODES, {"view": "semantic"}, "view is 'semantic' · allowed: structural"),
        (CODES, {"from": 1, "to": 2}, "to is 2 · allowed: an integer from 0 to 1"),
        (CODES, {"from": -1}, "from is -1"),
        (CODES, {"over": 0}, "over is 0"),
        (short, {}, "the view has 2 codes · allowed: 10"),
    ):
        with pytest.raises(InputError, match=message):
            build(TreeDepth, OBSERVED, codes, options=options)
