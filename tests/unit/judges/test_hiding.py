"""Hidden positives: the stated share, never a user's last interaction, by chance or by time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from dtlns import TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.judges.hiding import hide_positives, is_member


def _view(counts: list[int], n_items: int = 40) -> TrainView:
    rng = np.random.default_rng(5)
    matrix = sp.lil_array((len(counts), n_items))
    for user, count in enumerate(counts):
        matrix[user, rng.choice(n_items, count, replace=False)] = 1
    return TrainView.from_csr(matrix.tocsr())


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_each_user_loses_the_share_rounded_either_way_and_keeps_one(
    counts: list[int], share: float, seed: int
) -> None:
    view = _view(counts)
    hidden = hide_positives(view, share, seed=seed)
    lost = np.bincount(view.user_of_interaction[hidden], minlength=view.n_users)
    for count, gone in zip(counts, lost, strict=True):
        most = max(count - 1, 0)
        assert min(int(share * count), most) <= gone <= min(int(share * count) + 1, most)


def test_expected_share_is_exact() -> None:
    view = _view([3] * 4000)
    hidden = hide_positives(view, 0.1)
    # 4,000 draws with chance 0.3 each: six standard deviations are 174
    assert abs(int(hidden.sum()) - 1200) < 174


def test_latest_hides_the_end_of_each_history() -> None:
    view = _view([10, 20])
    times = np.random.default_rng(0).permutation(30).astype(np.int64)
    view = replace(view, timestamps=times)
    hidden = hide_positives(view, 0.2, "latest")
    for user, count in ((0, 2), (1, 4)):
        mine = view.user_of_interaction == user
        assert hidden[mine].sum() == count
        assert times[mine & hidden].min() > times[mine & ~hidden].max()


def test_latest_needs_times() -> None:
    with pytest.raises(ConfigError, match="needs times"):
        hide_positives(_view([5]), 0.2, "latest")


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_share_is_checked(share: float) -> None:
    with pytest.raises(InputError, match="hidden share"):
        hide_positives(_view([5]), share)


def test_seed_decides() -> None:
    view = _view([20] * 20)
    assert np.array_equal(hide_positives(view, 0.3, seed=1), hide_positives(view, 0.3, seed=1))
    assert not np.array_equal(hide_positives(view, 0.3, seed=1), hide_positives(view, 0.3, seed=2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 8)), max_size=30))
def test_membership_agrees_with_a_set(pairs: list[tuple[int, int]]) -> None:
    stored = {(0, 2), (0, 5), (2, 0), (2, 7)}
    indptr, indices = np.array([0, 2, 2, 4, 4]), np.array([2, 5, 0, 7], dtype=np.uint32)
    users = np.array([user for user, _ in pairs], dtype=np.int64)
    items = np.array([item for _, item in pairs], dtype=np.int64)
    assert is_member(indptr, indices, users, items).tolist() == [pair in stored for pair in pairs]
