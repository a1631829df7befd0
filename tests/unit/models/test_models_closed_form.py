"""EASE and GF-CF against what their papers define, computed densely and in another way."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.models import ease
from dtlns.models.ease import EASE
from dtlns.models.gfcf import GFCF


@pytest.fixture
def dense() -> np.ndarray:
    """70 users, 25 items of very different popularity, one of them without users, one user without items."""
    rng = np.random.default_rng(3)
    dense = (rng.random((70, 25)) < np.linspace(0.5, 0.05, 25)).astype(np.float64)
    dense[:, 11] = 0
    dense[7] = 0
    return dense


def view(dense: np.ndarray) -> TrainView:
    return TrainView.from_csr(sp.csr_array(dense))


@pytest.mark.parametrize("l2", [0.5, 20])
@pytest.mark.parametrize("more", ["users", "items"])
def test_ease_solves_each_item_from_the_others(
    dense: np.ndarray, l2: float, more: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "ITEMS_PER_BLOCK", 16)
    log = dense if more == "users" else dense.T
    n = log.shape[1]
    expected = np.zeros((n, n))
    for j in range(n):
        others = np.arange(n) != j
        x = log[:, others]
        expected[others, j] = np.linalg.solve(x.T @ x + l2 * np.eye(n - 1), x.T @ log[:, j])
    scorer = EASE.fit(view(log), l2=l2)
    np.testing.assert_allclose(scorer.weights, expected, atol=2e-6)
    np.testing.assert_allclose(scorer.score(np.arange(len(log))), log @ expected, atol=1e-5)


@pytest.mark.parametrize("more", ["users", "items"])
def test_ease_is_the_formula_of_the_paper(dense: np.ndarray, more: str) -> None:
    log = dense if more == "users" else dense.T
    inverse = np.linalg.inv(log.T @ log + 3 * np.eye(log.shape[1]))
    expected = inverse / -np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(EASE.fit(view(log), l2=3.0).weights, expected, atol=2e-6)


@pytest.mark.parametrize(("l2", "off"), [(1.0, 2e-6), (10.0, 1e-4)])
def test_an_item_that_all_users_have_is_predicted_from_well(l2: float, off: float) -> None:
    """Users by users, 1 − M_jj of such an item has few digits: 300 / 310 of 1 is gone with l2 = 10.

    The relative error of the rest is some 300 roundings of 6e-8 over 1 / 31, 6e-4, of weights of up to 0.1.
    """
    rng = np.random.default_rng(5)
    log = (rng.random((300, 330)) < 0.02).astype(np.float64)
    log[:, 0] = 1
    inverse = np.linalg.inv(log.T @ log + l2 * np.eye(330))
    expected = inverse / -np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(EASE.fit(view(log), l2=l2).weights, expected, atol=off)


def test_ease_says_what_it_would_take(dense: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = TrainView.from_csr(sp.csr_array(([1.0], ([0], [0])), shape=(1, 50_000)))
    with pytest.raises(
        InputError, match=r"EASE on 50000 items needs a matrix of 10\.0 GB .* at most 45000 items"
    ):
        EASE.fit(wide)
    monkeypatch.setattr(ease, "MAX_ITEMS", 25)
    assert EASE.fit(view(dense)).n_items == 25


@pytest.mark.parametrize(
    ("log", "l2"),
    [
        (np.ones((9, 4)), 1e-30),  # the decomposition stops
        (np.kron(np.eye(300), np.ones((2, 2))), 1e-8),  # it does not, and no digit of the result is right
    ],
)
def test_ease_refuses_a_penalty_that_single_precision_loses(log: np.ndarray, l2: float) -> None:
    with pytest.raises(InputError, match=f"with l2 {l2} the matrix has no inverse .* take a larger l2"):
        EASE.fit(view(log), l2=l2)


def filters(dense: np.ndarray, components: int, alpha: float) -> np.ndarray:
    """What a history is multiplied by, item by item, from a full singular value decomposition."""
    users, items = dense.sum(axis=1), dense.sum(axis=0)
    users[users == 0] = items[items == 0] = 1
    normalised = dense / np.sqrt(users)[:, None] / np.sqrt(items)
    _, values, rows = np.linalg.svd(normalised)
    kept = rows[:components][values[:components] > 1e-9]
    low_pass = kept.T @ kept / np.sqrt(items)[:, None] * np.sqrt(dense.sum(axis=0))
    return normalised.T @ normalised + alpha * low_pass


@pytest.mark.parametrize("components", [1, 6, 24, 25, 400])
@pytest.mark.parametrize("alpha", [0, 0.3])
def test_gfcf_is_the_formula_of_the_paper(dense: np.ndarray, components: int, alpha: float) -> None:
    scores = GFCF.fit(view(dense), components=components, alpha=alpha).score(np.arange(70))
    np.testing.assert_allclose(scores, dense @ filters(dense, components, alpha), atol=1e-5)


def test_gfcf_keeps_no_vector_that_is_not_of_the_graph() -> None:
    """Of rank 2, with four singular vectors asked for: the other two would be arbitrary."""
    scorer = GFCF.fit(view(np.kron(np.eye(2), np.ones((5, 4)))), components=4)
    assert scorer.inward.shape == (8, 2)
    assert GFCF.fit(view(np.zeros((5, 4))), components=1).inward.shape == (4, 0)
