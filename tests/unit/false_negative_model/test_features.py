"""Sources and features against naive loops on a small random world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns import PathCodes
from dtlns.data.views import TrainView
from dtlns.errors import InputError
from dtlns.false_negative_model import features as module
from dtlns.false_negative_model.features import GROUPS, Judged, World, make_features
from dtlns.false_negative_model.sources import find_candidates
from dtlns.judges.base import JudgeRequest
from dtlns.judges.prefix import PrefixJudge
from dtlns.models.embedding import EmbeddingScorer
from dtlns.models.itemknn import ItemKNN

USERS, ITEMS, M = 12, 20, 4
WITHOUT_JUDGE = [name for name in GROUPS if name != "judge"]


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(3)
    matrix = (rng.random((USERS, ITEMS)) < 0.2).astype(np.float32)
    matrix[0] = 0  # a user without any history
    train = TrainView.from_csr(sp.csr_array(matrix))
    scorer = EmbeddingScorer(
        rng.normal(size=(USERS, 3)).astype(np.float32), rng.normal(size=(ITEMS, 3)).astype(np.float32)
    )
    paths = [tuple(rng.integers(0, 2, size=rng.integers(1, 4)).tolist()) for _ in range(ITEMS)]
    graph = ItemKNN.fit(train)
    codes = {"view": PathCodes.from_paths(paths, branching=2)}
    return World(train, scorer, graph, codes, find_candidates(scorer, graph, train, M))


def histories(world: World) -> list[list[int]]:
    return [row.nonzero()[0].tolist() for row in world.train.csr().toarray()]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def co_occurrence(world: World) -> np.ndarray:
    """Cosine of the items' columns of users, zero for an item with itself."""
    matrix = world.train.csr().toarray()
    shared = np.zeros((ITEMS, ITEMS))
    for i in range(ITEMS):
        for j in range(ITEMS):
            size = np.sqrt(matrix[:, i].sum() * matrix[:, j].sum())
            if i != j and size:
                shared[i, j] = matrix[:, i] @ matrix[:, j] / size
    return shared


def test_candidates_are_the_union_of_two_lists_in_order_of_their_best_place(world: World) -> None:
    similarity, past = co_occurrence(world), histories(world)
    at = 0
    for user in range(USERS):
        lists = []
        scores = world.scorer.score(np.array([user]))[0], similarity[past[user]].sum(axis=0)
        for by, least in zip(scores, (-np.inf, 0.0), strict=True):
            unseen = [i for i in range(ITEMS) if i not in past[user] and by[i] > least]
            lists.append(sorted(unseen, key=lambda i: (-np.float32(by[i]), i))[:M])
        places = {i: [own.index(i) if i in own else M for own in lists] for i in {*lists[0], *lists[1]}}
        expected = sorted(places, key=lambda i: (min(places[i]), places[i][0]))
        row = world.sourced.candidates.items[user]
        assert row[row >= 0].tolist() == expected
        assert (row[len(expected) :] == -1).all()
        for i in expected:
            assert [world.sourced.model_rank[at], world.sourced.graph_rank[at]] == places[i]
            at += 1
    assert at == len(world.sourced.model_rank)


def test_features_are_those_of_naive_loops(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USERS_PER_BLOCK", 5)
    names, table = make_features(world, WITHOUT_JUDGE)
    got = dict(zip(names, table.T, strict=True))
    assert table.dtype == np.float32
    similarity, past = co_occurrence(world), histories(world)
    vectors, paths = world.scorer.item_vectors, world.codes["view"].to_paths()
    users, items = world.sourced.candidates.pairs()
    best = np.zeros(USERS)
    for user, item in zip(users, items, strict=True):
        best[user] = max(best[user], similarity[past[user], item].sum())

    def prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        length = 0
        while length < min(len(a), len(b)) and a[length] == b[length]:
            length += 1
        return length

    for row, (user, item) in enumerate(zip(users, items, strict=True)):
        own = past[user]
        scores = world.scorer.score(np.array([user]))[0]
        cosines = [cosine(vectors[item], vectors[j]) for j in own] or [0.0]
        total = similarity[own, item].sum()
        depths = [prefix(paths[item], paths[j]) for j in own]
        deepest = max(depths, default=0)
        expected = {
            "log2_history": np.log2(1 + len(own)),
            "log2_popularity": np.log2(1 + sum(item in other for other in past)),
            "model_score": (scores[item] - scores.mean()) / scores.std(),
            "model_mean_cosine": np.mean(cosines),
            "model_max_cosine": max(cosines),
            "graph_mean": total / max(len(own), 1),
            "graph_relative": total / best[user] if best[user] else 0.0,
            "graph_largest": max(similarity[own, item], default=0.0),
            "graph_neighbours": np.count_nonzero(similarity[own, item]) / max(len(own), 1),
            "view_prefix": deepest,
            "view_relative_prefix": deepest / len(paths[item]),
            "view_sharing": sum(depth >= deepest for depth in depths) / max(len(own), 1),
            "view_log2_leaf": np.log2(sum(path == paths[item] for path in paths)),
        }
        for name, value in expected.items():
            assert got[name][row] == pytest.approx(value, abs=1e-5), (name, user, item)
    assert set(got) - set(expected) == {"model_rank", "graph_rank", "view_surprise"}


def test_surprise_is_that_of_the_prefix_judge(world: World) -> None:
    names, table = make_features(world, ["trees"])
    request = JudgeRequest(world.train, world.codes, world.sourced.candidates)
    np.testing.assert_allclose(
        table[:, names.index("view_surprise")], PrefixJudge().score(request)[:, 0], rtol=1e-6
    )


def test_a_judge_s_chances_stand_at_the_pairs_that_it_judged(world: World) -> None:
    users, items = world.sourced.candidates.pairs()
    rows = np.random.default_rng(0).permutation(len(users))[:20]
    chance = np.linspace(0, 1, 20, dtype=np.float32)
    judged = Judged(users[rows], items[rows], chance)
    names, table = make_features(replace(world, judged=judged), ["judge"])
    assert names == ["judge_logit"]
    expected = np.full(len(users), np.nan)
    bounded = np.clip(chance.astype(np.float64), 1e-6, 1 - 1e-6)
    expected[rows] = np.log(bounded / (1 - bounded))
    np.testing.assert_allclose(table[:, 0], expected, rtol=1e-6)
    with pytest.raises(InputError, match="need its chances"):
        make_features(world, ["judge"])


def test_groups_are_switched_and_keep_their_order(world: World) -> None:
    names, table = make_features(world, ["graph", "user-item"])
    assert [name.split("_")[0] for name in names] == ["log2"] * 2 + ["graph"] * 5
    everything, whole = make_features(world, WITHOUT_JUDGE)
    np.testing.assert_array_equal(table, whole[:, [everything.index(name) for name in names]])
