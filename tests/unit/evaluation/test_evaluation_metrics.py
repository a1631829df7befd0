"""Metrics against hand computations, a brute-force twin, and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from dtlns.errors import InputError
from dtlns.evaluation.metrics import METRICS, ranking_metrics


def rows(*held_out: list[int]) -> tuple[np.ndarray, np.ndarray]:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in held_out])]).astype(np.int64)
    return indptr, np.array([item for row in held_out for item in sorted(row)], dtype=np.uint32)


def test_by_hand() -> None:
    # hits at ranks 2 and 3 of four; three items held out
    found = ranking_metrics(np.array([[9, 1, 2, 8]]), *rows([1, 2, 5]), ks=[1, 2, 4])
    at_4 = {name: found[f"{name}@4"][0] for name in METRICS}
    assert at_4["recall"] == pytest.approx(2 / 3)
    assert at_4["precision"] == pytest.approx(2 / 4)
    assert at_4["hit_rate"] == 1.0
    assert at_4["mrr"] == pytest.approx(1 / 2)
    assert at_4["map"] == pytest.approx((1 / 2 + 2 / 3) / 3)
    dcg = 1 / math.log2(3) + 1 / math.log2(4)
    assert at_4["ndcg"] == pytest.approx(dcg / (1 + 1 / math.log2(3) + 1 / math.log2(4)))
    assert all(found[f"{name}@1"][0] == 0.0 for name in METRICS)
    # the ideal list and the denominator of MAP are cut at K = 2, that of recall is not
    assert found["ndcg@2"][0] == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert found["map@2"][0] == pytest.approx((1 / 2) / 2)
    assert found["recall@2"][0] == pytest.approx(1 / 3)


def test_perfect_list_is_one_wherever_it_can_be() -> None:
    found = ranking_metrics(np.array([[3, 4, 5]]), *rows([3, 4, 5, 6]), ks=[3])
    assert [found[f"{name}@3"][0] for name in METRICS] == pytest.approx([3 / 4, 1, 1, 1, 1, 1])


def test_padding_is_never_a_hit() -> None:
    found = ranking_metrics(np.array([[7, -1, -1], [-1, -1, -1]]), *rows([7], [0]), ks=[3])
    assert found["recall@3"].tolist() == [1.0, 0.0]
    assert found["mrr@3"].tolist() == [1.0, 0.0]


def brute_force(top: list[int], held_out: set[int], k: int) -> dict[str, float]:
    hits = [1 if item in held_out else 0 for item in top[:k]]
    hits += [0] * (k - len(hits))
    reachable = min(k, len(held_out))
    precisions = [sum(hits[: j + 1]) / (j + 1) for j in range(k)]
    return {
        "recall": sum(hits) / len(held_out),
        "precision": sum(hits) / k,
        "hit_rate": float(any(hits)),
        "ndcg": sum(hit / math.log2(j + 2) for j, hit in enumerate(hits))
        / sum(1 / math.log2(j + 2) for j in range(reachable)),
        "mrr": next((1 / (j + 1) for j, hit in enumerate(hits) if hit), 0.0),
        "map": sum(p for p, hit in zip(precisions, hits, strict=True) if hit) / reachable,
    }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], int]:
    n_items = draw(st.integers(1, 12))
    n_users = draw(st.integers(1, 5))
    length = draw(st.integers(1, n_items))
    top = [draw(st.permutations(range(n_items)))[:length] for _ in range(n_users)]
    held_out = [
        draw(st.lists(st.integers(0, n_items + 3), min_size=1, max_size=n_items, unique=True))
        for _ in range(n_users)
    ]
    return np.array(top, dtype=np.int64), held_out, draw(st.integers(1, length))


@given(worlds())
def test_equals_brute_force(world: tuple[np.ndarray, list[list[int]], int]) -> None:
    top, held_out, k = world
    found = ranking_metrics(top, *rows(*held_out), ks=[k])
    for row, items in enumerate(held_out):
        expected = brute_force(top[row].tolist(), set(items), k)
        assert {name: found[f"{name}@{k}"][row] for name in METRICS} == pytest.approx(expected)


def test_ndcg_equals_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    scores = rng.permuted(np.tile(np.arange(40.0), (30, 1)), axis=1)
    truth = rng.random((30, 40)) < 0.15
    truth[:, 0] = True
    top = np.argsort(-scores, axis=1)[:, :10]
    held_out = [np.flatnonzero(row).tolist() for row in truth]
    found = ranking_metrics(top, *rows(*held_out), ks=[10])["ndcg@10"]
    expected = [ndcg_score(truth[row : row + 1], scores[row : row + 1], k=10) for row in range(30)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ks", "metrics", "message"),
    [([4], METRICS, "cut-offs"), ([0], METRICS, "cut-offs"), ([2], ["auc"], "unknown metric 'auc'")],
)
def test_impossible_requests(ks: list[int], metrics: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ranking_metrics(np.array([[1, 2, 3]]), *rows([1]), ks=ks, metrics=metrics)


def test_user_without_held_out_item() -> None:
    with pytest.raises(InputError, match="row 1 has no held-out item"):
        ranking_metrics(np.array([[1], [2]]), np.array([0, 1, 1]), np.array([1], dtype=np.uint32), ks=[1])
