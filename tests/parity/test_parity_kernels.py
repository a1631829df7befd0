"""Graph, ranking, draws and trees against their twins."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dtlns import PathCodes, TrainView, build_tree, jaccard_graph, sample_negatives
from dtlns.ranking import top_k
from dtlns.sampling import keyed_uniform
from dtlns.testing import strategies as own


def test_philox_known_answers():
    # The twin itself, by kat_vectors of the Random123 distribution.
    assert twins.philox((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    digits = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)
    assert twins.philox(*digits) == (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


@given(train=own.train_views())
def test_jaccard(train):
    graph = jaccard_graph(train)
    assert graph.has_sorted_indices
    np.testing.assert_array_equal(graph.toarray(), twins.jaccard(train.csr().toarray() > 0))


@given(data=st.data(), train=own.train_views(min_users=1))
def test_top_k(data, train):
    value = st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf")]) | st.floats(-5, 5, width=32)
    users = np.array(data.draw(st.lists(st.integers(0, train.n_users - 1), max_size=6)), dtype=np.int64)
    scores = data.draw(npst.arrays(np.float32, (len(users), train.n_items), elements=value))
    k = data.draw(st.integers(0, train.n_items + 2))
    ids, best = top_k(scores, k, mask=train, users=users)
    assert ids.shape == best.shape == (len(users), k)
    for row, user in enumerate(users):
        masked = set(train.indices[train.indptr[user] : train.indptr[user + 1]].tolist())
        assert (ids[row].tolist(), best[row].tolist()) == twins.top_k(scores[row], k, masked)
    strided = top_k(np.asfortranarray(scores), k, mask=train, users=users)
    np.testing.assert_array_equal(strided[0], ids)


def test_top_k_of_long_rows():
    # Long enough that contenders are thinned out many times, with many equal scores.
    scores = np.random.default_rng(0).integers(0, 300, (5, 4000)).astype(np.float32)
    for k in (1, 20, 100):
        ids, _ = top_k(scores, k)
        for row in range(5):
            assert ids[row].tolist() == twins.top_k(scores[row], k, set())[0]


@given(
    train=own.train_views(min_users=1),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**64 - 1),
    n=st.integers(0, 5),
    data=st.data(),
)
def test_negatives(train, seed, epoch, n, data):
    shape = (train.n_users, train.n_items)
    exclude = data.draw(npst.arrays(np.bool_, shape))
    rows = data.draw(st.lists(st.integers(0, 2**63 - 2), min_size=1, max_size=4))
    taken = (train.csr().toarray() > 0) | exclude
    for user in range(train.n_users):
        allowed = np.flatnonzero(~taken[user]).tolist()
        if allowed:
            users = [user] * len(rows)
            options = {"rows": rows, "seed": seed, "epoch": epoch, "exclude": sp.csr_array(exclude)}
            got = sample_negatives(train, users, n, **options)
            assert got.tolist() == twins.draws(allowed, rows, n, seed, epoch)


@given(st.lists(st.integers(0, 2**63 - 2), max_size=4), st.integers(0, 4), st.integers(0, 2**64 - 1))
def test_keyed_uniform(rows, n, seed):
    got = keyed_uniform(rows, n, seed=seed, epoch=3, purpose=2)
    stream = twins.Stream(seed, 2**16 + 2, 3)
    expected = [[(stream.block(row, draw, 0)[0] >> 8) / 2**24 for draw in range(n)] for row in rows]
    assert got.shape == (len(rows), n)
    assert got.tolist() == expected


@settings(max_examples=40)
@given(
    n=st.integers(0, 120),
    width=st.integers(1, 18),
    branching=st.integers(2, 6),
    leaf=st.integers(1, 20),
    balance=st.sampled_from([(0.4, 1.6), (0.0, 1.0), (1.0, 1.0), (0.0, 4.0), (0.8, 1.2)]),
    seed=st.integers(0, 2**64 - 1),
    clumps=st.integers(1, 8),
)
def test_tree(n, width, branching, leaf, balance, seed, clumps):
    random = np.random.default_rng(seed % 2**32)
    centres = random.normal(size=(clumps, width)) * 3
    vectors = (centres[random.integers(0, clumps, n)] + random.normal(size=(n, width))).astype(np.float32)
    tree = build_tree(vectors, branching, leaf, balance, seed)
    paths = twins.tree_paths(vectors, branching, leaf, balance, seed)
    assert tree.codes.to_paths() == paths
    queries = random.normal(size=(3, width)).astype(np.float32)
    assert tree.encode(queries).to_paths() == [twins.encode(paths, vectors, query) for query in queries]


@pytest.mark.parametrize("order", ["C", "F", "strided", "float64"])
def test_memory_layout_does_not_matter(order):
    vectors = np.random.default_rng(1).normal(size=(90, 6)).astype(np.float32)
    layout = {
        "C": vectors,
        "F": np.asfortranarray(vectors),
        "strided": np.repeat(vectors, 2, axis=1)[:, ::2],
        "float64": vectors.astype(np.float64),
    }[order]
    expected = build_tree(vectors, max_leaf_size=5)
    got = build_tree(layout, max_leaf_size=5)
    assert got.codes.equals(expected.codes)
    assert got.encode(layout).equals(expected.encode(vectors))


def test_nothing_in_nothing_out():
    nothing = TrainView.from_csr(sp.csr_array((0, 0)))
    assert jaccard_graph(nothing).shape == (0, 0)
    assert sample_negatives(nothing, [], 3, rows=[], seed=0, epoch=0).shape == (0, 3)
    assert len(build_tree(np.zeros((0, 4))).codes) == 0
    assert len(PathCodes.from_paths([])) == 0
