"""Errors of draws and rankings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns import TrainView, sample_negatives
from dtlns.errors import InputError
from dtlns.ranking import top_k
from dtlns.sampling import NegativePool, keyed_uniform


@pytest.fixture
def train() -> TrainView:
    return TrainView.from_csr(sp.csr_array([[1, 0, 1], [1, 1, 1], [0, 0, 0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"users": [0, 1]}, "user 1 has no item left to draw: 3 of 3 are taken or excluded · hint: leave"),
        ({"users": [0, 3]}, "user 3 at position 1 is out of range · allowed: 0 to 2"),
        ({"users": [-1, 0]}, "user -1 at position 0 is out of range"),
        ({"users": [[0, 0]]}, r"users has shape \(1, 2\)"),
        ({"users": [0.0, 0.0]}, "users has dtype float64"),
        ({"users": np.array([0, 2**63], dtype=np.uint64)}, "users holds 9223372036854775808"),
        ({"rows": [0]}, "rows has length 1, not 2"),
        ({"rows": [0, -1]}, "row -1 at position 1"),
        ({"n": -1}, "n is -1"),
        ({"n": True}, "n is True"),
        ({"seed": -1}, "seed is -1"),
        ({"epoch": 2**64}, "epoch is"),
        ({"exclude": np.ones((3, 3))}, "exclude is a ndarray"),
        ({"exclude": sp.csr_array((3, 4))}, r"exclude has shape \(3, 4\) · allowed: shape \(3, 3\)"),
    ],
)
def test_wrong_calls_are_named(train, arguments, message):
    correct = {"users": [0, 2], "n": 2, "rows": [0, 1], "seed": 0, "epoch": 0}
    with pytest.raises(InputError, match=message):
        sample_negatives(train, **correct | arguments)


def test_a_pool_knows_what_is_left(train):
    pool = NegativePool(train, sp.csr_array(([1], ([2], [0])), shape=(3, 3)))
    assert (pool.n_users, pool.n_items) == (3, 3)
    assert pool.available([2, 0, 1, 2]).tolist() == [2, 1, 0, 2]
    assert pool.forbidden(2).tolist() == [0]
    with pytest.raises(InputError, match="user 3"):
        pool.available([3])
    with pytest.raises(InputError, match="user is 3"):
        pool.forbidden(3)


def test_a_user_with_nothing_left_may_stand_beside_no_draws(train):
    assert sample_negatives(train, [1], 0, rows=[0], seed=0, epoch=0).shape == (1, 0)


def test_purposes_have_a_range():
    with pytest.raises(InputError, match="purpose is -1"):
        keyed_uniform([0], 1, seed=0, epoch=0, purpose=-1)


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (np.zeros((1, 3)), {}, "dtype float64"),
        (np.zeros(3, dtype=np.float32), {}, r"shape \(3,\)"),
        (np.float32([[0, 1, 2], [0, np.nan, np.nan]]), {}, "scores has the value NaN in row 1, column 1"),
        (np.zeros((1, 3), dtype=np.float32), {"mask": True}, "a mask without users"),
        (np.zeros((1, 3), dtype=np.float32), {"mask": True, "users": [0, 1]}, "users has length 2, not 1"),
        (np.zeros((1, 3), dtype=np.float32), {"mask": True, "users": [9]}, "user 9 at position 0"),
        (
            np.zeros((1, 2), dtype=np.float32),
            {"mask": True, "users": [0]},
            "a row of scores has length 2, not 3",
        ),
        (np.zeros((1, 3), dtype=np.float32), {"k": -1}, "k is -1"),
    ],
)
def test_wrong_rankings_are_named(train, scores, arguments, message):
    mask = {"mask": train} if arguments.get("mask") else {}
    with pytest.raises(InputError, match=message):
        top_k(scores, **{"k": 1} | arguments | mask)
