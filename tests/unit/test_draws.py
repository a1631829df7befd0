"""Errors of draws on tensors, what a device answers where the core refuses, and the tables of items."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from dtlns import PathCodes, TrainView
from dtlns.draws import CoreDraws, ItemOrder, ItemWeights, draws_on
from dtlns.errors import InputError
from dtlns.pools import NegativePool
from dtlns.prefix_ranges import PrefixRanges
from dtlns.tensor_draws import TensorDraws

ONE = {"rows": torch.tensor([0]), "seed": 0, "epoch": 0}


@pytest.fixture
def pool() -> NegativePool:
    return NegativePool(TrainView.from_csr(sp.csr_array([[1, 0, 1], [1, 1, 1], [0, 0, 0]])))


def test_the_device_decides_who_draws(pool):
    assert isinstance(draws_on(pool, "cpu"), CoreDraws)
    elsewhere = draws_on(pool, "meta")
    assert isinstance(elsewhere, TensorDraws)
    assert (elsewhere.n_users, elsewhere.n_items) == (3, 3)


def test_nothing_waits_for_the_device(pool):
    # On the device `meta` there are no values at all, so that any look at one would fail.
    draws, users = draws_on(pool, "meta"), torch.empty(5, dtype=torch.int64, device="meta")
    key = {"rows": users, "seed": 1, "epoch": 0}
    ends = torch.empty(5, 2, dtype=torch.int64, device="meta")
    order = ItemOrder([2, 0, 1])
    assert draws.draw(users, 4, **key).shape == (5, 4)
    assert [x.shape for x in draws.draw_weighted(users, 4, ItemWeights([1, 2, 3]), **key)] == [(5, 4)] * 2
    assert draws.draw_within(users, 4, order, ends, ends, **key).shape == (5, 4)
    assert draws.available_within(users, order, ends, ends).shape == (5,)
    assert draws.uniform(users, 4, seed=0, epoch=0, purpose=1).shape == (5, 4)
    assert draws.allowed(users, users[:2]).shape == (5, 2)
    assert draws.allowed(users, ends).shape == (5, 2)


def test_who_has_nothing_left(pool):
    user, weights, order = torch.tensor([1]), ItemWeights([1, 1, 2]), ItemOrder([2, 0, 1])
    low, high = torch.tensor([[0]]), torch.tensor([[3]])
    core, tensors = CoreDraws(pool), TensorDraws(pool, torch.device("cpu"))
    for refused in (
        lambda: core.draw(user, 1, **ONE),
        lambda: core.draw_weighted(user, 1, weights, **ONE),
        lambda: core.draw_within(user, 1, order, low, high, **ONE),
    ):
        with pytest.raises(InputError, match=r"user 1 .*has no item left"):
            refused()
    assert tensors.draw(user, 1, **ONE).tolist() == [[3]]
    assert tensors.draw_weighted(user, 1, weights, **ONE)[0].tolist() == [[3]]
    assert tensors.draw_within(user, 1, order, low, high, **ONE).tolist() == [[3]]
    for draws in (core, tensors):
        assert draws.available(user).tolist() == [0]
        assert draws.available_within(user, order, low, high).tolist() == [0]


def test_a_draw_within_by_hand(pool):
    # Items by position: 2, 0, 1; user 0 has 2 and 0, so that positions 1 and 2 leave item 1.
    order, low, high = ItemOrder([2, 0, 1]), torch.tensor([[1]]), torch.tensor([[3]])
    for draws in (CoreDraws(pool), TensorDraws(pool, torch.device("cpu"))):
        drawn = draws.draw_within(torch.tensor([0]), 3, order, low, high, **ONE)
        assert drawn.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([[0]], [[4]], "high 4 at position 0 is out of range"),
        ([[-1]], [[3]], "low -1 at position 0"),
        ([[2]], [[1]], r"a set of ranges is 2\.\.1 at position 0"),
        ([[0, 1]], [[2, 3]], r"0\.\.2 and 1\.\.3 at position 0 · allowed: ranges that do not overlap"),
        ([[0], [0]], [[1], [1]], "low has length 2, not 1"),
        ([[1]], [[2]], r"user 0 at position 0 has no item left within 1\.\.2 · hint: ask how many"),
    ],
)
def test_wrong_ranges_are_named(pool, low, high, message):
    with pytest.raises(InputError, match=message):
        pool.sample_within([0], 1, ItemOrder([0, 2, 1]), low, high, rows=[0], seed=0, epoch=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pool: pool.allowed([0], 3), r"items has shape \(\)"),
        (lambda pool: pool.allowed([0], [3]), "item 3 at position 0"),
        (lambda pool: pool.allowed([0], [[1], [1]]), "items has length 2, not 1"),
        (lambda pool: pool.sample([0], 1, rows=[0], seed=0, epoch=0, purpose=2**28), "purpose is 268435456"),
        (lambda pool: pool.weighted(ItemWeights([1, 1])), "weights has length 2, not 3"),
        (lambda pool: pool.ordered(ItemOrder([1, 0])), "order has length 2, not 3"),
    ],
)
def test_wrong_calls_are_named(pool, call, message):
    with pytest.raises(InputError, match=message):
        call(pool)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ItemWeights([1, 0]), "item 1 has the weight 0"),
        (lambda: ItemWeights([1, 2**32 - 1]), "the weights sum to 4294967296"),
        (lambda: ItemWeights([1.5]), "weights has dtype float64"),
        (lambda: ItemWeights.from_float([1.0, -1.0]), "item 1 has the weight -1.0"),
        (lambda: ItemWeights.from_float([np.inf, 1.0]), "item 0 has the weight inf"),
        (lambda: ItemWeights.from_float([0.0, 0.0]), "all 2 weights are 0"),
        (lambda: ItemWeights.from_float([[1.0]]), r"weights have shape \(1, 1\)"),
        (lambda: ItemOrder([0, 0]), "the order lacks an item · allowed: each of 0 to 1 once"),
        (lambda: ItemOrder([1, 2]), "the order lacks an item"),
    ],
)
def test_wrong_tables_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_catalogues_have_a_bound_on_devices():
    empty = TrainView(np.zeros(2, np.int64), np.zeros(0, np.uint32), 2**24 + 1)
    with pytest.raises(InputError, match="the catalogue has 16777217 items"):
        TensorDraws(NegativePool(empty), torch.device("cpu"))


def test_tables_live_as_long_as_their_owners(pool):
    weights, order = ItemWeights([1, 2, 3]), ItemOrder([2, 1, 0])
    assert pool.weighted(weights) is pool.weighted(weights)
    assert pool.ordered(order) is pool.ordered(order)
    assert (len(pool._weighted), len(pool._ordered)) == (1, 1)
    del weights, order
    assert (len(pool._weighted), len(pool._ordered)) == (0, 0)


def test_siblings_without_the_own_leaf():
    codes = PathCodes.from_paths([(0, 0), (0, 1), (0, 1), (0, 2), (1, 0)])
    ranges, item = PrefixRanges(codes), torch.tensor([1])
    leaf, parent = ranges.bounds(item, ranges.depth[item]), ranges.bounds(item, ranges.depth[item] - 1)
    low, high = torch.stack([parent[0], leaf[1]], dim=1), torch.stack([leaf[0], parent[1]], dim=1)
    pool = NegativePool(TrainView.from_csr(sp.csr_array([[0, 1, 0, 0, 0]])))
    drawn = pool.sample_within([0], 50, ranges.order, low.numpy(), high.numpy(), rows=[0], seed=0, epoch=0)
    assert set(drawn[0].tolist()) == {0, 3}
