"""What holds for all draws."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dtlns import TrainView, sample_negatives
from dtlns.errors import InputError
from dtlns.sampling import NegativePool, keyed_uniform
from dtlns.testing import strategies as own


@given(train=own.train_views(min_users=1), data=st.data(), seed=st.integers(0, 2**64 - 1))
def test_never_a_positive_nor_excluded(train, data, seed):
    exclude = data.draw(npst.arrays(np.bool_, (train.n_users, train.n_items)))
    taken = (train.csr().toarray() > 0) | exclude
    pool = NegativePool(train, sp.csr_array(exclude))
    everyone = np.arange(train.n_users)
    assert pool.available(everyone).tolist() == (~taken).sum(axis=1).tolist()
    for user in everyone:
        assert pool.forbidden(user).tolist() == np.flatnonzero(taken[user]).tolist()
        if taken[user].all():
            with pytest.raises(InputError, match=f"user {user} has no item left"):
                pool.sample([user], 1, rows=[0], seed=seed, epoch=0)
        else:
            drawn = pool.sample([user] * 3, 20, rows=[0, 1, 2], seed=seed, epoch=0)
            assert not taken[user, drawn].any()
            assert ((drawn >= 0) & (drawn < train.n_items)).all()


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("by", ["row", "draw", "epoch", "seed"])
def test_uniform_whatever_varies(by):
    # 50 items left, 100,000 draws: chi-square with 49 degrees of freedom, 99.99 % quantile 93.2.
    history = [0, 1, 2, 10, 30, 31, 58, 59, 40, 41]
    train = TrainView.from_csr(sp.csr_array(([1] * 10, ([0] * 10, history)), shape=(1, 60)))
    pool = NegativePool(train)
    total = 100_000
    if by == "row":
        drawn = pool.sample(np.zeros(total, dtype=int), 1, rows=np.arange(total), seed=1, epoch=0)
    elif by == "draw":
        drawn = pool.sample([0], total, rows=[5], seed=1, epoch=0)
    else:
        keys = [{"seed": i, "epoch": 0} if by == "seed" else {"seed": 1, "epoch": i} for i in range(5000)]
        drawn = np.stack([pool.sample([0], 20, rows=[5], **key) for key in keys])
    counts = np.bincount(drawn.ravel(), minlength=60)
    assert (counts[history] == 0).all()
    left = np.delete(counts, history)
    assert len(left) == 50
    assert chi_square(left) < 93.2


def test_neighbouring_draws_are_independent():
    # Pairs of draws over 7 x 7 cells: 48 degrees of freedom, 99.99 % quantile 91.9.
    train = TrainView.from_csr(sp.csr_array((1, 7)))
    rows = np.arange(40_000)
    drawn = sample_negatives(train, np.zeros_like(rows), 2, rows=rows, seed=9, epoch=0)
    within = np.bincount(drawn[:, 0] * 7 + drawn[:, 1], minlength=49)
    across = np.bincount(drawn[:-1, 0] * 7 + drawn[1:, 0], minlength=49)
    assert chi_square(within) < 91.9
    assert chi_square(across) < 91.9


@given(train=own.train_views(min_users=1, min_items=2), data=st.data(), seed=st.integers(0, 2**64 - 1))
def test_batches_do_not_matter(train, data, seed):
    pool = NegativePool(train)
    alive = np.flatnonzero(pool.available(np.arange(train.n_users)))
    if not len(alive):
        return
    users = np.array(data.draw(st.lists(st.sampled_from(alive.tolist()), min_size=1, max_size=12)))
    rows = np.arange(len(users)) * 7
    whole = pool.sample(users, 4, rows=rows, seed=seed, epoch=2)
    order = np.array(data.draw(st.permutations(range(len(users)))))
    assert (pool.sample(users[order], 4, rows=rows[order], seed=seed, epoch=2) == whole[order]).all()
    one_by_one = [
        pool.sample([u], 4, rows=[r], seed=seed, epoch=2)[0] for u, r in zip(users, rows, strict=True)
    ]
    assert (np.stack(one_by_one) == whole).all()
    # The first draws do not depend on how many follow.
    assert (pool.sample(users, 2, rows=rows, seed=seed, epoch=2) == whole[:, :2]).all()


def test_keys_matter():
    train = TrainView.from_csr(sp.csr_array((1, 1000)))

    def draw(**changes):
        return sample_negatives(train, [0], 50, **{"rows": [3], "seed": 1, "epoch": 1} | changes).tolist()

    base = draw()
    assert draw() == base
    for changes in ({"rows": [4]}, {"seed": 2}, {"epoch": 2}, {"seed": 1 + 2**32}, {"rows": [3 + 2**32]}):
        assert draw(**changes) != base


def test_keyed_numbers_are_uniform_and_independent_of_other_purposes():
    # 64 equal bins, 128,000 numbers: 63 degrees of freedom, 99.99 % quantile 113.
    rows = np.arange(32_000)
    first = keyed_uniform(rows, 4, seed=0, epoch=0, purpose=0)
    second = keyed_uniform(rows, 4, seed=0, epoch=0, purpose=1)
    assert first.dtype == np.float32
    assert ((first >= 0) & (first < 1)).all()
    for numbers in (first, second):
        assert chi_square(np.bincount((numbers.ravel() * 64).astype(int), minlength=64)) < 113
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.015
