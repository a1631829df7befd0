"""Draws by the core and by tensor code, against their twins."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import twins
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns import TrainView
from dtlns.draws import CoreDraws, Draws, ItemOrder, ItemWeights
from dtlns.philox import Numbers
from dtlns.pools import NegativePool
from dtlns.tensor_draws import TensorDraws

SEEDS = st.integers(0, 2**64 - 1)
ROWS = st.lists(
    st.integers(0, 50) | st.integers(2**32 - 2, 2**32 + 2) | st.integers(0, 2**63 - 2), max_size=6
)


def both(pool: NegativePool) -> tuple[Draws, Draws]:
    return CoreDraws(pool), TensorDraws(pool, torch.device("cpu"))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[NegativePool, list[list[int]]]:
    """A pool about a power of two of items, and the allowed items of each user: all, few, one, ..."""
    n_items = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33]))
    sizes = draw(
        st.lists(st.sampled_from([1, 2, n_items // 2, n_items - 1, n_items]), min_size=1, max_size=4)
    )
    users = [sorted(draw(st.permutations(range(n_items)))[: min(max(size, 1), n_items)]) for size in sizes]
    taken = np.ones((len(users), n_items), np.int8)
    for user, allowed in enumerate(users):
        taken[user, allowed] = 0
    return NegativePool(TrainView.from_csr(sp.csr_array(taken))), users


@given(
    world=worlds(), rows=ROWS, n=st.integers(0, 4), seed=SEEDS, epoch=SEEDS, purpose=st.integers(0, 2**28 - 1)
)
def test_uniform(world, rows, n, seed, epoch, purpose):
    pool, users = world
    owners = [row % len(users) for row in rows]
    stream = 0xC0000000 + purpose if purpose else 1
    expected = [
        twins.draws(users[owner], [row], n, seed, epoch, stream)[0]
        for owner, row in zip(owners, rows, strict=True)
    ]
    ids, keys = torch.tensor(owners, dtype=torch.int64), torch.tensor(rows, dtype=torch.int64)
    for draws in both(pool):
        drawn = draws.draw(ids, n, rows=keys, seed=seed, epoch=epoch, purpose=purpose)
        assert drawn.shape == (len(rows), n)
        assert drawn.tolist() == expected
        assert draws.available(ids).tolist() == [len(users[owner]) for owner in owners]


@given(world=worlds(), rows=ROWS, data=st.data(), seed=SEEDS, purpose=st.integers(0, 2**28 - 1))
def test_weighted(world, rows, data, seed, purpose):
    pool, users = world
    weight = st.integers(1, 4) | st.integers(1, (2**32 - 1) // pool.n_items)
    values = data.draw(st.lists(weight, min_size=pool.n_items, max_size=pool.n_items))
    owners = [row % len(users) for row in rows]
    expected = [
        twins.weighted_draws(users[owner], values, [row], 3, seed, 9, 0xD0000000 + purpose)[0]
        for owner, row in zip(owners, rows, strict=True)
    ]
    weights = ItemWeights(np.array(values))
    ids, keys = torch.tensor(owners, dtype=torch.int64), torch.tensor(rows, dtype=torch.int64)
    for draws in both(pool):
        drawn, log_q = draws.draw_weighted(ids, 3, weights, rows=keys, seed=seed, epoch=9, purpose=purpose)
        assert drawn.tolist() == expected
        for owner, items, logs in zip(owners, drawn.tolist(), log_q, strict=True):
            mass = sum(values[item] for item in users[owner])
            chance = [values[item] / mass for item in items]
            np.testing.assert_allclose(logs, np.log(chance), rtol=1e-6, atol=1e-7)
        assert log_q.dtype == torch.float32


@given(world=worlds(), rows=ROWS, data=st.data(), seed=SEEDS, purpose=st.integers(0, 2**28 - 1))
def test_within(world, rows, data, seed, purpose):
    pool, users = world
    order = data.draw(st.permutations(range(pool.n_items)))
    n_ranges = data.draw(st.integers(1, 3))
    end = st.integers(0, pool.n_items)
    low, high, owners, keys, expected, counts = [], [], [], [], [], []
    for row in rows:
        ends = sorted(data.draw(st.lists(end, min_size=2 * n_ranges, max_size=2 * n_ranges)))
        ranges = data.draw(st.permutations([*zip(ends[::2], ends[1::2], strict=True)]))
        allowed = users[row % len(users)]
        inside = [i for first, behind in ranges for i in order[first:behind] if i in allowed]
        counts.append(len(inside))
        low.append([first for first, _ in ranges])
        high.append([behind for _, behind in ranges])
        owners.append(row % len(users))
        keys.append(row)
        if inside:
            expected.append(twins.draws(inside, [row], 3, seed, 2, 0xE0000000 + purpose)[0])
        else:
            expected.append([pool.n_items] * 3)
    table = ItemOrder(order)
    ids, numbers = torch.tensor(owners, dtype=torch.int64), torch.tensor(keys, dtype=torch.int64)
    ends = [torch.tensor(x, dtype=torch.int64).reshape(-1, n_ranges) for x in (low, high)]
    some = torch.tensor(counts) > 0
    for draws in both(pool):
        assert draws.available_within(ids, table, *ends).tolist() == counts
        asked = some if isinstance(draws, CoreDraws) else torch.ones_like(some)  # the core refuses the others
        asked = asked.nonzero().squeeze(1)
        drawn = draws.draw_within(
            ids[asked],
            3,
            table,
            ends[0][asked],
            ends[1][asked],
            rows=numbers[asked],
            seed=seed,
            epoch=2,
            purpose=purpose,
        )
        assert drawn.tolist() == [expected[i] for i in asked.tolist()]


@given(world=worlds(), owners=st.lists(st.integers(0, 3), max_size=5), data=st.data())
def test_allowed(world, owners, data):
    pool, users = world
    owners = [owner % len(users) for owner in owners]
    item = st.integers(0, pool.n_items - 1)
    shared = data.draw(st.lists(item, max_size=9))
    own = [data.draw(st.lists(item, min_size=4, max_size=4)) for _ in owners]
    ids = torch.tensor(owners, dtype=torch.int64)
    for draws in both(pool):
        found = draws.allowed(ids, torch.tensor(shared, dtype=torch.int64))
        assert found.shape == (len(owners), len(shared))
        assert found.dtype == torch.bool
        assert found.tolist() == [[i in users[owner] for i in shared] for owner in owners]
        found = draws.allowed(ids, torch.tensor(own, dtype=torch.int64).reshape(-1, 4))
        assert found.tolist() == [
            [i in users[owner] for i in items] for owner, items in zip(owners, own, strict=True)
        ]


@given(rows=ROWS, n=st.integers(0, 3), seed=SEEDS, epoch=SEEDS, purpose=st.integers(0, 2**31 - 1))
def test_numbers(rows, n, seed, epoch, purpose):
    stream = twins.Stream(seed, 2**16 + purpose, epoch)
    expected = [[(stream.block(row, draw, 0)[0] >> 8) / 2**24 for draw in range(n)] for row in rows]
    keys = torch.tensor(rows, dtype=torch.int64)
    pool = NegativePool(TrainView.from_csr(sp.csr_array((1, 1))))
    for draws in both(pool):
        got = draws.uniform(keys, n, seed=seed, epoch=epoch, purpose=purpose)
        assert got.dtype == torch.float32
        assert got.shape == (len(rows), n)
        assert got.tolist() == expected


@pytest.mark.parametrize("n_items", [2**16 - 1, 2**16, 2**16 + 1, 200_000])
def test_large_catalogues(n_items):
    # Above 2^16 items the tensors look at eight words, below at four; one user has a single item left.
    random = np.random.default_rng(n_items)
    few = np.sort(random.choice(n_items, 1000, replace=False))
    most = np.delete(np.arange(n_items), 4711)
    indptr = np.array([0, len(few), len(few) + len(most), len(few) + len(most)])
    train = TrainView(indptr, np.concatenate([few, most]).astype(np.uint32), n_items)
    core, tensors = both(NegativePool(train))
    rows = torch.arange(400) * 2**40
    users = torch.arange(400) % 3
    key = {"rows": rows, "seed": 2**64 - 1, "epoch": 2**64 - 1}
    drawn = core.draw(users, 5, **key)
    assert torch.equal(drawn, tensors.draw(users, 5, **key))
    assert (drawn[users == 1] == 4711).all()
    weights = ItemWeights.from_float(random.pareto(1.0, n_items))
    for ours, theirs in zip(
        core.draw_weighted(users, 5, weights, **key),
        tensors.draw_weighted(users, 5, weights, **key),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
    items = torch.from_numpy(random.integers(0, n_items, 100))
    assert torch.equal(core.allowed(users, items), tensors.allowed(users, items))


@settings(max_examples=60)
@given(st.lists(st.integers(1, 2**32 - 1) | st.integers(2**31, 2**31 + 3), min_size=1, max_size=5), SEEDS)
def test_wide_bounds(bounds, seed):
    # 2^64 mod bound and the products wrap around in int64; Python's integers do not.
    rows = torch.arange(len(bounds))
    key = twins.Stream(seed, 3, 0).key
    drawn = Numbers(key, rows, 4).below_wide(torch.tensor(bounds))
    stream = twins.Stream(seed, 3, 0)
    assert drawn.tolist() == [
        [stream.below_wide(row, draw, bound) for draw in range(4)] for row, bound in enumerate(bounds)
    ]


def test_refused_words():
    # One word in 257 is refused at this bound, as 2^32 is nearly 257 times it.
    bound, n = 16_711_936, 4000
    drawn = Numbers(twins.Stream(1, 3, 0).key, torch.tensor([7]), n).below(torch.tensor([bound]), bound)
    stream = twins.Stream(1, 3, 0)
    first = [stream.block(7, draw, 0)[0] * bound for draw in range(n)]
    refused = [draw for draw, product in enumerate(first) if product % 2**32 < 2**32 % bound]
    assert len(refused) > 5
    for draw in refused:
        assert drawn[0, draw] == stream.below(7, draw, bound)
