"""What holds for draws by weight, within ranges and of several purposes, on the core and on tensors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from dtlns import TrainView
from dtlns.draws import CoreDraws, Draws, ItemOrder, ItemWeights
from dtlns.pools import NegativePool
from dtlns.prefix_ranges import PrefixRanges
from dtlns.tensor_draws import TensorDraws
from dtlns.testing import strategies as own

TOTAL = 40_000
SMALLEST_P = 1e-6
KINDS = [CoreDraws, lambda pool: TensorDraws(pool, torch.device("cpu"))]
N_ITEMS, HISTORY = 30, [0, 1, 2, 10, 28]
ORDER = ItemOrder(np.random.default_rng(3).permutation(N_ITEMS))
WEIGHTS = ItemWeights.from_float(np.arange(N_ITEMS) ** 0.75)


@pytest.fixture(params=KINDS, ids=["core", "tensors"])
def draws(request: pytest.FixtureRequest) -> Draws:
    train = sp.csr_array(([1] * len(HISTORY), ([0] * len(HISTORY), HISTORY)), shape=(2, N_ITEMS))
    return request.param(NegativePool(TrainView.from_csr(train)))


def p_value(drawn: torch.Tensor, shares: np.ndarray) -> float:
    """Of χ² against shares; what has none must not be there."""
    counts = np.bincount(drawn.flatten().numpy(), minlength=len(shares))
    assert (counts[shares == 0] == 0).all()
    possible = shares > 0
    return chisquare(counts[possible], shares[possible] / shares.sum() * counts.sum()).pvalue


def keys(n_rows: int) -> dict[str, object]:
    return {"rows": torch.arange(n_rows), "seed": 1, "epoch": 2}


@pytest.mark.parametrize("n", [1, 8])
def test_draws_follow_their_distribution(draws, n):
    rows = TOTAL // n
    users = torch.zeros(rows, dtype=torch.int64)
    allowed = np.isin(np.arange(N_ITEMS), HISTORY, invert=True)
    assert p_value(draws.draw(users, n, **keys(rows), purpose=4), allowed * 1.0) > SMALLEST_P

    drawn, log_q = draws.draw_weighted(users, n, WEIGHTS, **keys(rows))
    shares = np.where(allowed, WEIGHTS.values, 0.0)
    assert p_value(drawn, shares) > SMALLEST_P
    log_shares = np.log(shares[drawn.numpy()] / shares.sum())
    np.testing.assert_allclose(log_q.numpy(), log_shares, rtol=1e-6)
    each = dict(zip(drawn.flatten().tolist(), log_q.flatten().tolist(), strict=True))
    assert len(each) == N_ITEMS - len(HISTORY)
    assert abs(np.exp(list(each.values())).sum() - 1) < 1e-6

    low, high = torch.tensor([[3, 20]]).expand(rows, 2), torch.tensor([[9, 27]]).expand(rows, 2)
    inside = np.zeros(N_ITEMS)
    inside[ORDER.items[3:9]] = inside[ORDER.items[20:27]] = 1
    drawn = draws.draw_within(users, n, ORDER, low, high, **keys(rows))
    assert p_value(drawn, inside * allowed) > SMALLEST_P


def test_purposes_are_independent(draws):
    # Pairs of draws of two purposes over 6 x 6 cells, for the same rows, kinds among them.
    rows, six = TOTAL, ItemOrder(np.arange(N_ITEMS))
    users = torch.ones(rows, dtype=torch.int64)
    low, high = torch.full((rows, 1), 12), torch.full((rows, 1), 18)
    pools = [
        *(
            draws.draw_within(users, 1, six, low, high, **keys(rows), purpose=purpose) - 12
            for purpose in (0, 7)
        ),
        *(draws.draw(users, 1, **keys(rows), purpose=purpose) // 5 for purpose in (0, 7)),
        (6 * draws.uniform(keys(rows)["rows"], 1, seed=1, epoch=2, purpose=7)).long(),
    ]
    for place, first in enumerate(pools):
        for second in pools[:place]:
            assert p_value(first * 6 + second, np.ones(36)) > SMALLEST_P


@given(train=own.train_views(min_users=1), data=st.data(), seed=st.integers(0, 2**64 - 1))
@pytest.mark.parametrize("kind", KINDS, ids=["core", "tensors"])
def test_batches_do_not_matter(kind, train, data, seed):
    draws = kind(NegativePool(train))
    alive = np.flatnonzero(draws.pool.available(np.arange(train.n_users))).tolist()
    if not alive:
        return
    users = torch.tensor(data.draw(st.lists(st.sampled_from(alive), min_size=1, max_size=10)))
    rows = torch.arange(len(users)) * 7
    weights = ItemWeights.from_float(np.arange(train.n_items) + 0.5)
    order = ItemOrder(np.arange(train.n_items)[::-1])
    low, high = torch.zeros(len(users), 1, dtype=torch.int64), torch.full((len(users), 1), train.n_items)
    split = torch.tensor(data.draw(st.permutations(range(len(users)))))[: data.draw(st.integers(1, 10))]
    key = {"seed": seed, "epoch": 3}
    whole, part = (
        (
            draws.draw(users[at], n, rows=rows[at], **key, purpose=1),
            *draws.draw_weighted(users[at], n, weights, rows=rows[at], **key),
            draws.draw_within(users[at], n, order, low[at], high[at], rows=rows[at], **key),
            draws.uniform(rows[at], n, **key, purpose=5),
        )
        for at, n in ((torch.arange(len(users)), 4), (split, 2))
    )
    for ours, theirs in zip(whole, part, strict=True):
        assert torch.equal(ours[split][:, :2], theirs)


@given(codes=own.path_codes(), data=st.data())
def test_prefix_ranges_hold_what_shares_the_prefix(codes, data):
    ranges, paths = PrefixRanges(codes), codes.to_paths()
    assert [paths[item] for item in ranges.order.items] == sorted(paths)
    assert ranges.depth.tolist() == [len(path) for path in paths]
    items = data.draw(st.lists(st.integers(0, len(paths) - 1), max_size=6))
    levels = [data.draw(st.integers(0, codes.max_depth + 1)) for _ in items]
    low, high = ranges.bounds(torch.tensor(items, dtype=torch.int64), torch.tensor(levels, dtype=torch.int64))
    assert low.dtype == high.dtype == torch.int64
    for item, level, first, behind in zip(items, levels, low.tolist(), high.tolist(), strict=True):
        prefix = paths[item][:level]
        shares = {other for other, path in enumerate(paths) if path[: len(prefix)] == prefix}
        assert set(ranges.order.items[first:behind].tolist()) == shares
        assert behind - first == len(shares)


@given(st.lists(st.floats(0, 1e300) | st.floats(0, 10), min_size=1, max_size=20).filter(any))
def test_integer_weights_keep_their_bound(real):
    shares = np.array([float(weight) for weight in real])
    shares = shares / shares.max()
    shares /= shares.sum()
    values = ItemWeights.from_float(real).values.astype(np.int64)
    assert values.min() >= 1
    assert values.sum() < 2**32
    n = len(real)
    assert (np.abs(values / values.sum() - shares) <= (1 + n * shares) / (2**32 - 1 - 2 * n) + 1e-15).all()
