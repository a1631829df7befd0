"""Lists against a naive ranking, and against what evaluation measures."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dtlns import recommendation
from dtlns.data.views import HeldOutView, TrainView
from dtlns.errors import ConfigError, InputError
from dtlns.evaluation.protocol import evaluate
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.popularity import Popularity
from dtlns.recommendation import list_blocks, positions, recommend

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


def world(
    seed: int, n_users: int = 30, n_items: int = 40
) -> tuple[EmbeddingScorer, TrainView, NDArray[np.bool_]]:
    """Small integer vectors, so that scores are exact and ties are many; and held-out pairs."""
    random = np.random.default_rng(seed)
    drawn = random.random((n_users, n_items))
    train = TrainView.from_csr(sp.csr_array((drawn < 0.2).astype(np.float32)))
    vectors = (random.integers(-2, 3, (n, 3)).astype(np.float32) for n in (n_users, n_items))
    return EmbeddingScorer(*vectors), train, drawn > 0.85


def view(pairs: NDArray[np.bool_]) -> HeldOutView:
    starts = np.concatenate([[0], np.cumsum(pairs.sum(axis=1))]).astype(np.int64)
    return HeldOutView(starts, np.nonzero(pairs)[1].astype(np.uint32), pairs.shape[1])


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 50),
    cells=st.integers(1, 400),
    mode=st.sampled_from(["train", "none", "both"]),
    restrict=st.booleans(),
)
def test_lists_are_those_of_a_naive_ranking(
    device: str, seed: int, k: int, cells: int, mode: str, restrict: bool
) -> None:
    scorer, train, held_out = world(seed)
    seen = train.csr().toarray() > 0
    out: list[TrainView | HeldOutView] | None = None
    if mode != "train":
        out = [] if mode == "none" else [train, view(held_out)]
        seen = seen & False if mode == "none" else seen | held_out
    allowed = np.random.default_rng(seed).random(train.n_items) < 0.3 if restrict else None
    if allowed is not None:
        allowed[0] = True
        seen = seen | ~allowed
    expected = []
    scores = scorer.user_vectors @ scorer.item_vectors.T
    for user in np.flatnonzero(train.user_counts).tolist():
        left = [(-scores[user, item], item) for item in range(train.n_items) if not seen[user, item]]
        for rank, (score, item) in enumerate(sorted(left)[:k], start=1):
            expected.append((user, rank, item, -score))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommendation, "_CELLS", cells)
        found = recommend(scorer, train, k=k, leave_out=out, allowed=allowed, device=device)
    assert found.rows() == expected
    assert found.schema == {"user": pl.Int64, "rank": pl.UInt32, "item": pl.Int64, "score": pl.Float32}


@pytest.mark.parametrize("mask_valid", [False, True])
def test_recall_and_ndcg_counted_from_the_lists_are_those_of_evaluate(mask_valid: bool) -> None:
    scorer, train, held_out = world(7, 80, 60)
    taken = np.random.default_rng(1).random(held_out.shape) < 0.5
    valid, test = view(held_out & taken), view(held_out & ~taken)
    more = {"valid": valid} if mask_valid else {}
    measured = evaluate(scorer, train, test, ks=[10], also_mask=more)
    lists = recommend(scorer, train, k=10, leave_out=[train, *more.values()])
    recall, ndcg = [], []
    for user in measured.users.tolist():
        wanted = set(test.indices[test.indptr[user] : test.indptr[user + 1]].tolist())
        shown = lists.filter(pl.col("user") == user)["item"].to_list()
        gains = [1 / math.log2(place + 2) for place, item in enumerate(shown) if item in wanted]
        best = sum(1 / math.log2(place + 2) for place in range(min(10, len(wanted))))
        recall.append(len(gains) / len(wanted))
        ndcg.append(sum(gains) / best)
    assert np.mean(recall) == pytest.approx(measured.metrics["recall@10"], abs=1e-12)
    assert np.mean(ndcg) == pytest.approx(measured.metrics["ndcg@10"], abs=1e-12)


def test_own_ids_names_and_the_order_asked_for() -> None:
    matrix = sp.csr_array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]])
    plain = TrainView.from_csr(matrix)
    train = TrainView(
        plain.indptr,
        plain.indices,
        4,
        user_ids=np.array([70, 5, 6]),
        item_ids=np.array(["a", "b", "c", "d"], dtype=object),
    )
    scorer = Popularity(train.item_counts, 3)
    found = recommend(
        scorer, train, k=2, users=pl.Series(["5", "70"]), names=pl.Series("n", ["A", None, "C", "D", "cold"])
    )
    assert found.rows() == [
        (5, 1, "a", 1.0, "A"),
        (5, 2, "c", 0.0, "C"),
        (70, 1, "b", 1.0, None),
        (70, 2, "c", 0.0, "C"),
    ]
    assert recommend(scorer, train, users=[70], k=9)["item"].to_list() == ["b", "c"]
    assert recommend(scorer, train)["user"].unique(maintain_order=True).to_list() == [70, 5]
    nobody = recommend(scorer, train, users=[])
    assert nobody.height == 0
    assert nobody.columns == ["user", "rank", "item", "score"]


def test_a_list_does_not_depend_on_who_else_is_asked_for() -> None:
    random = np.random.default_rng(0)
    train = TrainView.from_csr(sp.random_array((300, 501), density=0.02, rng=random, format="csr") > 0)
    scorer = EmbeddingScorer(*(random.standard_normal((n, 64), dtype=np.float32) for n in (300, 501)))
    everyone = recommend(scorer, train)
    for user in np.flatnonzero(train.user_counts)[:20].tolist():
        alone, among = recommend(scorer, train, users=[user]), everyone.filter(pl.col("user") == user)
        assert alone.drop("score").equals(among.drop("score"))
        np.testing.assert_allclose(
            alone["score"], among["score"], rtol=1e-5
        )  # another product, other rounding


def test_scores_are_held_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, train, _ = world(3)
    monkeypatch.setattr(recommendation, "_CELLS", 4 * train.n_items)
    asked: list[int] = []

    class Counting(EmbeddingScorer):
        def score(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
            asked.append(len(users))
            return super().score(users)

    counting = Counting(scorer.user_vectors, scorer.item_vectors)
    blocks = list_blocks(counting, train, np.arange(30))
    assert not asked  # nothing is scored before it is asked for
    next(blocks)
    assert asked == [4]
    assert len(list(blocks)) == 7
    assert max(asked) == 4


def test_what_cannot_be_served_is_refused() -> None:
    scorer, train, _ = world(0)
    train = train.keep(train.user_of_interaction != 4)

    def refused(match: str, error: type[Exception] = InputError, **given: object) -> None:
        with pytest.raises(error, match=match):
            recommend(scorer, train, **given)  # type: ignore[arg-type]

    refused("users that are unknown: 99, 98", users=[1, 99, 98])
    refused("unknown: 30, 31, 32, 33, 34 and 2 more", users=list(range(30, 37)))
    refused("named twice: 1$", users=[1, 2, 1])
    refused("without training interactions: 4$", users=[4, 5])
    refused("k is 0", k=0)
    refused("there are 3 names", names=pl.Series(["x"] * 3))
    refused("no item may be listed", allowed=np.zeros(train.n_items, np.bool_))
    refused(r"allowed has shape \(3,\)", allowed=np.ones(3, np.bool_))
    refused("unknown device 'tpu0x'", ConfigError, device="tpu0x")
    with pytest.raises(InputError, match="the scorer knows 2 users"):
        recommend(Popularity(train.item_counts, 2), train)
    nan = EmbeddingScorer(scorer.user_vectors, scorer.item_vectors)
    nan.item_vectors[3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        recommend(nan, train)


def test_positions_of_text_and_numbers() -> None:
    assert positions(pl.Series(["007", "7", "x"]), pl.Series(["7", "x", "8", "007"])).tolist() == [
        1,
        2,
        -1,
        0,
    ]
    assert positions(pl.Series([2**62, 3]), pl.Series([3, 4, 2**62])).tolist() == [1, -1, 0]
    assert positions(pl.Series([1]), pl.Series([], dtype=pl.String)).tolist() == []
