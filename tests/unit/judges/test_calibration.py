"""Calibration: monotone, near the truth on a known world, and measured on users it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from dtlns.errors import DataError, InputError
from dtlns.judges.calibration import Calibration, fit_calibration
from dtlns.judges.quality import measure


def _world(n: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 2)).astype(np.float32)
    chance = expit(-4 + 1.0 * scores[:, 0] + 0.5 * scores[:, 1])
    return scores, chance, rng.random(n) < chance, rng.integers(0, 500, n)


def _fit(
    columns: list[str], scores: np.ndarray, hidden: np.ndarray, users: np.ndarray
) -> tuple[Calibration, dict[str, Any]]:
    """Fit, and measure what the fit is worth on users that it has not seen."""
    fit = fit_calibration(columns, scores, hidden, users, n_users=int(users.max()) + 1)
    return fit.calibration, measure(fit.out_of_fold, hidden, users)


def test_recovers_the_chances_of_a_known_world() -> None:
    scores, chance, hidden, users = _world()
    calibration, measured = _fit(["a", "b"], scores, hidden, users)
    # 1,000 positives: the standard error of a weight is about 0.03
    np.testing.assert_allclose(calibration.weights, [1.0, 0.5], atol=0.15)
    p = calibration.p_hidden(scores)
    assert np.corrcoef(p, chance)[0, 1] > 0.97
    assert abs(p.mean() / hidden.mean() - 1) < 0.05
    assert measured["calibration_error"] < 0.25 * measured["base_rate"]


def test_noise_is_worth_nothing_out_of_fold() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(20_000, 2)).astype(np.float32)
    hidden = rng.random(20_000) < 0.03
    _, measured = _fit(["a", "b"], scores, hidden, rng.integers(0, 300, 20_000))
    # 600 positives: three standard errors of the AUC are about 0.036
    assert abs(measured["auc"] - 0.5) < 0.036


def test_a_column_that_points_the_wrong_way_gets_no_weight() -> None:
    scores, _, hidden, users = _world()
    scores[:, 1] *= -1
    calibration, _ = _fit(["a", "b"], scores, hidden, users)
    assert calibration.weights[1] == 0
    assert calibration.weights[0] > 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(30, 400))
def test_more_score_never_lowers_the_chance(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 1)).astype(np.float32)
    hidden = rng.random(n) < 0.2 + 0.6 * (scores[:, 0] > 0)
    if hidden.sum() < 10 or hidden.all():
        return
    calibration, _ = _fit(["a"], scores, hidden, rng.integers(0, 40, n))
    grid = np.linspace(-6, 6, 200, dtype=np.float32)[:, None]
    p = calibration.p_hidden(grid)
    assert (np.diff(p) >= 0).all()
    assert ((p > 0) & (p < 1)).all()


def test_survives_json() -> None:
    scores, _, hidden, users = _world(5000)
    calibration, _ = _fit(["a", "b"], scores, hidden, users)
    again = Calibration.from_json(calibration.to_json())
    assert np.array_equal(again.p_hidden(scores), calibration.p_hidden(scores))


def test_measures_by_hand() -> None:
    p = np.array([0.1, 0.2, 0.3, 0.4])
    measured = measure(p, np.array([False, True, False, True]), np.array([7, 7, 2, 2]))
    # pairs (positive, negative): 0.2>0.1, 0.2<0.3, 0.4>0.1, 0.4>0.3
    assert measured["auc"] == pytest.approx(3 / 4)
    # each user's positive is above the user's negative
    assert measured["auc_within_users"] == 1
    # positives at ranks 1 and 3: (1/1 + 2/3) / 2
    assert measured["average_precision"] == pytest.approx(5 / 6)
    assert measured["base_rate"] == 0.5
    assert measured["calibration_error"] == pytest.approx((0.1 + 0.8 + 0.3 + 0.6) / 4)


def test_too_few_positives_is_an_error() -> None:
    with pytest.raises(DataError, match="3 of 100 candidates"):
        _fit(["a"], np.zeros((100, 1), np.float32), np.arange(100) < 3, np.arange(100, dtype=np.int64))


def test_a_column_of_the_user_alone_ranks_nothing_within_users() -> None:
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(400), 20)
    history = rng.normal(size=400)[users].astype(np.float32)
    hidden = rng.random(len(users)) < expit(-3 + 1.5 * history)
    _, measured = _fit(["history"], history[:, None], hidden, users)
    assert measured["auc"] > 0.7
    assert measured["auc_within_users"] == 0.5


def test_chances_out_of_fold_come_from_a_fit_without_the_user() -> None:
    scores, _, hidden, users = _world(10_000)
    fit = fit_calibration(["a", "b"], scores, hidden, users, n_users=500)
    assert len(fit.folds) == 5
    for user in (0, 17, 499):
        mine = users == user
        part = fit.folds[fit.fold_of_user[user]]
        assert np.array_equal(fit.out_of_fold[mine], part.p_hidden(scores[mine]))
    # turning one user's labels around changes the fits of the other folds, and not that of the user's own
    changed = hidden.copy()
    changed[users == 17] ^= True
    again = fit_calibration(["a", "b"], scores, changed, users, n_users=500)
    for fold, (before, after) in enumerate(zip(fit.folds, again.folds, strict=True)):
        assert np.array_equal(before.weights, after.weights) == (fold == fit.fold_of_user[17])


@pytest.mark.parametrize("n_users", [1, 50])
def test_positives_of_one_user_are_an_error(n_users: int) -> None:
    rng = np.random.default_rng(0)
    users = rng.integers(0, n_users, 2000)
    hidden = (users == 0) & (rng.random(2000) < 0.5)
    scores = rng.normal(size=(2000, 1)).astype(np.float32)
    with pytest.raises(DataError, match=f"1 of {n_users} users, too few users to fit on some"):
        _fit(["a"], scores, hidden, users)


def test_scores_are_checked() -> None:
    scores, _, hidden, users = _world(1000)
    scores[7, 1] = np.nan
    hidden[:20] = True
    with pytest.raises(InputError, match="column 'b'"):
        _fit(["a", "b"], scores, hidden, users)
    calibration = Calibration(["a"], np.ones(1), 0.0, np.array([[0.0, 0.5]]))
    with pytest.raises(InputError, match=r"shape \(3, 2\)"):
        calibration.p_hidden(np.zeros((3, 2), np.float32))


def test_pairs_that_the_judge_did_not_look_at_have_the_map_of_the_other_columns() -> None:
    scores, chance, hidden, users = _world()
    looked = scores[:, 0] > 0.3
    whole = fit_calibration(["a"], scores[:, :1], hidden, users, n_users=500)
    partly = scores.copy()
    partly[~looked, 1] = np.nan
    fit = fit_calibration(["a", "b"], partly, hidden, users, n_users=500, partial=["b"])
    alone = fit_calibration(["a", "b"], scores[looked], hidden[looked], users[looked], n_users=500)
    assert np.array_equal(fit.out_of_fold[~looked], whole.out_of_fold[~looked])
    assert np.array_equal(fit.out_of_fold[looked], alone.out_of_fold)
    # each part is calibrated by itself, and the second column is worth something where it is there
    for rows in (looked, ~looked):
        part = measure(fit.out_of_fold[rows], hidden[rows], users[rows])
        assert part["calibration_error"] < 0.35 * part["base_rate"]
    assert (
        measure(fit.out_of_fold[looked], hidden[looked], users[looked])["auc"]
        > measure(whole.out_of_fold[looked], hidden[looked], users[looked])["auc"] + 0.02
    )
    again = Calibration.from_json(fit.calibration.to_json())
    p = again.p_hidden(partly)
    assert np.array_equal(p, fit.calibration.p_hidden(partly))
    assert np.corrcoef(p, chance)[0, 1] > 0.85


def test_open_pairs_are_refused_where_nobody_said_so_and_where_too_little_is_left() -> None:
    scores, _, hidden, users = _world(4000)
    scores[:-5, 1] = np.nan
    with pytest.raises(InputError, match="judge score nan in row 0, column 'b'"):
        fit_calibration(["a", "b"], scores, hidden, users, n_users=500)
    with pytest.raises(DataError, match="of 5 candidates that the judge looked at are hidden positives"):
        fit_calibration(["a", "b"], scores, hidden, users, n_users=500, partial=["b"])
