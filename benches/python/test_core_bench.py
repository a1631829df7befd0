"""The core beside its peers: median seconds of both on the same input, with the answers compared.

`make bench` runs it. Sizes are those of a small real catalogue, so that all of it takes about a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans

from dtlns import TrainView, build_tree, jaccard_graph
from dtlns.ranking import top_k
from dtlns.sampling import NegativePool

USERS, ITEMS, INTERACTIONS = 10_000, 5_000, 120_000


@pytest.fixture(scope="module")
def train() -> TrainView:
    """Interactions with a popularity skew."""
    random = np.random.default_rng(0)
    items = np.minimum(random.pareto(1.0, INTERACTIONS) * 50, ITEMS - 1).astype(np.int64)
    users = random.integers(0, USERS, INTERACTIONS)
    matrix = sp.csr_array((np.ones(INTERACTIONS), (users, items)), shape=(USERS, ITEMS))
    return TrainView.from_csr(matrix > 0)


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, Any]]:
    """Time two functions in turn, print the medians, return both answers."""

    def run(what: str, ours: Callable[[], Any], name: str, peer: Callable[[], Any]) -> tuple[Any, Any]:
        seconds: tuple[list[float], list[float]] = ([], [])
        answers: list[Any] = [None, None]
        for _ in range(3):
            for side, function in enumerate((ours, peer)):
                start = time.perf_counter()
                answers[side] = function()
                seconds[side].append(time.perf_counter() - start)
        mine, other = median(seconds[0]), median(seconds[1])
        with capsys.disabled():
            print(f"\n{what}: dtlns {mine:.3f} s, {name} {other:.3f} s")
        return answers[0], answers[1]

    return run


def test_jaccard(train: TrainView, compare: Callable[..., tuple[Any, Any]]) -> None:
    def with_scipy() -> sp.csr_array:
        matrix = train.csr()
        both = sp.coo_array(matrix.T @ matrix)
        degree = train.item_counts
        weights = both.data / (degree[both.row] + degree[both.col] - both.data)
        apart = both.row != both.col
        return sp.csr_array((weights[apart], (both.row[apart], both.col[apart])), shape=both.shape)

    ours, peer = compare("Jaccard graph", lambda: jaccard_graph(train), "SciPy product", with_scipy)
    assert abs(ours - peer).max() < 1e-6


def test_tree(compare: Callable[..., tuple[Any, Any]]) -> None:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 64)).astype(np.float32)

    def with_sklearn() -> int:
        """The same tree without bounds on the sizes of children."""
        leaves, open_nodes = 0, [np.arange(ITEMS)]
        while open_nodes:
            members = open_nodes.pop()
            if len(members) <= 30:
                leaves += 1
                continue
            labels = KMeans(4, n_init=3, random_state=0).fit_predict(vectors[members])
            open_nodes += [members[labels == label] for label in range(4)]
        return leaves

    tree, leaves = compare("tree", lambda: build_tree(vectors), "scikit-learn KMeans", with_sklearn)
    assert len(tree.leaves) >= ITEMS / 30
    assert leaves >= ITEMS / 30


def test_negatives(train: TrainView, compare: Callable[..., tuple[Any, Any]]) -> None:
    users = train.user_of_interaction.astype(np.int64)
    rows, pool = np.arange(len(users)), NegativePool(train)
    pairs = users * ITEMS + train.indices

    def is_positive(drawn: np.ndarray) -> np.ndarray:
        wanted = users[:, None] * ITEMS + drawn
        found = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
        return pairs[found] == wanted

    def with_rejection() -> np.ndarray:
        random = np.random.default_rng(0)
        drawn = random.integers(0, ITEMS, (len(users), 10))
        while (bad := is_positive(drawn)).any():
            drawn[bad] = random.integers(0, ITEMS, int(bad.sum()))
        return drawn

    def ours() -> np.ndarray:
        return pool.sample(users, 10, rows=rows, seed=0, epoch=0)

    for drawn in compare("10 negatives for each interaction", ours, "NumPy with rejection", with_rejection):
        assert not is_positive(drawn).any()


def test_ranking(compare: Callable[..., tuple[Any, Any]]) -> None:
    scores = np.random.default_rng(2).normal(size=(1024, ITEMS)).astype(np.float32)

    def with_numpy() -> np.ndarray:
        some = np.argpartition(-scores, 20, axis=1)[:, :20]
        order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1)
        return np.take_along_axis(some, order, axis=1)

    ours, peer = compare(
        "top 20 of 1,024 rows", lambda: top_k(scores, 20)[1], "NumPy argpartition", with_numpy
    )
    assert (ours == np.take_along_axis(scores, peer, axis=1)).all()
