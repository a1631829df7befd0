"""What holds for all trees."""

from __future__ import annotations

from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dtlns import IndexTree, build_tree
from dtlns.errors import InputError
from dtlns.testing import strategies as own

BALANCES = st.sampled_from([(0.4, 1.6), (0.0, 1.0), (1.0, 1.0), (0.0, 100.0), (0.9, 1.1)])


@settings(max_examples=150)
@given(
    vectors=own.vectors(max_rows=150),
    branching=st.integers(2, 9),
    leaf=st.integers(1, 12),
    balance=BALANCES,
    seed=st.integers(0, 2**64 - 1),
)
def test_shape(vectors, branching, leaf, balance, seed):
    tree = build_tree(vectors, branching, leaf, balance, seed)
    paths = tree.codes.to_paths()

    # Leaves partition the items, and each node holds the items whose path begins with its own.
    assert len(paths) == len(vectors) == tree.size[0]
    assert tree.size[tree.leaves].sum() == len(vectors)
    assert tree.size[tree.leaves].max() <= leaf
    node_path: list[tuple[int, ...]] = [()]
    for node in range(1, tree.n_nodes):
        mother = tree.parent[node]
        node_path.append((*node_path[mother], node - tree.first_child[mother]))
        assert len(node_path[node]) == tree.node_depth[node]
    for node, prefix in enumerate(node_path):
        below = [i for i, path in enumerate(paths) if path[: len(prefix)] == prefix]
        assert len(below) == tree.size[node]
        if below:
            mean = vectors[below].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(tree.centroids[node], mean, rtol=1e-6, atol=1e-5)
        if tree.n_children[node]:
            first, k, n = tree.first_child[node], tree.n_children[node], tree.size[node]
            assert n > leaf
            assert k == min(branching, n)
            sizes = tree.size[first : first + k]
            assert sizes.sum() == n
            assert sizes.min() >= max(1, floor(balance[0] * n / k))
            assert sizes.max() <= ceil(balance[1] * n / k)
        else:
            assert {path for path in paths if path[: len(prefix)] == prefix} <= {prefix}
    assert tree.codes.n_leaves == (len(tree.leaves) if len(vectors) else 0)


@given(vectors=own.vectors(min_rows=1, min_columns=1), seed=st.integers(0, 2**64 - 1))
def test_same_seed_same_bytes(vectors, seed):
    first, second = (build_tree(vectors, 3, 4, seed=seed).to_arrays() for _ in range(2))
    assert {name: array.tobytes() for name, array in first.items()} == {
        name: array.tobytes() for name, array in second.items()
    }


@given(vectors=own.vectors(min_columns=1))
def test_encoding_answers_with_leaves_and_survives_saving(vectors):
    tree = build_tree(vectors, 3, 4)
    again = IndexTree.from_arrays(tree.to_arrays())
    assert again.codes.equals(tree.codes)
    codes = tree.encode(vectors)
    assert again.encode(vectors).equals(codes)
    leaves = set(tree.codes.to_paths())
    assert set(codes.to_paths()) <= leaves


def test_encoding_finds_the_leaf_where_nothing_had_to_move():
    # Clusters so far apart and so even that nearest and balanced are the same.
    corners = np.array([[x, y] for x in (0, 100) for y in (0, 100)], dtype=np.float32)
    vectors = np.repeat(corners, 10, axis=0) + np.random.default_rng(0).normal(size=(40, 2))
    tree = build_tree(vectors, max_leaf_size=10)
    assert sorted(tree.size[tree.leaves]) == [10] * 4
    assert tree.encode(vectors).equals(tree.codes)


@pytest.mark.parametrize("n", [1, 30, 31, 32, 1000, 5000])
def test_duplicates_are_split_evenly(n):
    tree = build_tree(np.ones((n, 3)))
    sizes = tree.size[tree.leaves]
    assert sizes.max() <= 30
    assert sizes.max() - sizes.min() <= sizes.max() // 2 + 1
    assert tree.codes.max_depth <= 5


def test_balance_moves_the_cheapest_points():
    # Nine points at 0, one at 1 and two at 10: at most ⌈1.0 · 12 / 2⌉ = 6 may stay, and those that go to
    # the right are the ones nearest to it: the point at 1 and three others.
    vectors = np.array([0.0] * 9 + [1.0] + [10.0] * 2)[:, None]
    tree = build_tree(vectors, branching=2, max_leaf_size=6, balance=(1.0, 1.0))
    right = tree.codes.packed == tree.codes.packed[-1]
    assert right.sum() == 6
    assert right[9:].all()


@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    data=st.data(),
)
def test_what_is_not_finite_is_named(bad, shape, data):
    vectors = data.draw(npst.arrays(np.float32, shape, elements=st.floats(-1, 1, width=32)))
    row, column = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    vectors[row, column] = bad
    with pytest.raises(InputError, match=f"row {row}, column {column}"):
        build_tree(vectors)


def test_a_code_that_does_not_fit_is_named():
    # Points that lie ever farther apart: each split takes off the last one, and the tree is a chain.
    vectors = np.array([[3.0**i] for i in range(79)], dtype=np.float32)
    with pytest.raises(InputError, match=r"65 levels of 1 bits.* hint: raise max_leaf_size"):
        build_tree(vectors, branching=2, max_leaf_size=1, balance=(0.0, 2.0))
