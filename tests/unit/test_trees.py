"""Trees and codes: errors at the border, statistics, text form, saving."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from dtlns import IndexTree, PathCodes, TrainView, build_tree, deepest_prefix
from dtlns.errors import InputError


@pytest.fixture
def tree() -> IndexTree:
    # Three clumps of different size on a line.
    return build_tree(np.repeat([0.0, 10.0, 30.0], [3, 4, 5])[:, None], 3, 5, balance=(0.4, 1.6))


def test_clumps_become_leaves(tree):
    assert tree.codes.to_paths() == [(0,)] * 3 + [(1,)] * 4 + [(2,)] * 5
    assert tree.encode([[-5.0], [9.0], [21.0]]).to_paths() == [(0,), (1,), (2,)]
    # 5 lies as far from 0 as from 10, and the lower child takes it.
    assert tree.encode([[5.0]]).to_paths() == [(0,)]


def test_statistics(tree):
    stats = tree.stats()
    assert stats["items"] == 12
    assert (stats["nodes"], stats["leaves"]) == (4, 3)
    assert stats["depth"] == {"min": 1.0, "mean": 1.0, "max": 1.0}
    assert stats["leaf_size"] == {"min": 3.0, "mean": 4.0, "max": 5.0}
    assert stats["child_size_relative_to_mean"] == {"min": 0.75, "mean": 1.0, "max": 1.25}
    assert stats["leaves_by_depth"] == {1: 3}


def test_render(tree):
    assert tree.render(items_per_leaf=2) == (
        "root · 12 items\n├─ 0 · 3 items: 0, 1, …\n├─ 1 · 4 items: 3, 4, …\n└─ 2 · 5 items: 7, 8, …\n"
    )
    assert tree.render(max_depth=0, items_per_leaf=1) == "root · 12 items: 0, …\n"
    named = tree.render(names=[f"film {i}" for i in range(12)], items_per_leaf=1)
    assert "└─ 2 · 5 items: film 7, …" in named
    with pytest.raises(InputError, match="2 names"):
        tree.render(names=["a", "b"])


def test_render_draws_the_lines_of_deeper_levels():
    far_apart = np.array([0.0, 1.0, 10.0, 11.0, 1000.0, 1001.0])[:, None]
    assert build_tree(far_apart, 2, 2, balance=(0.6, 1.4)).render() == (
        "root · 6 items\n"
        "├─ 0 · 4 items\n"
        "│  ├─ 0 · 2 items: 0, 1\n"
        "│  └─ 1 · 2 items: 2, 3\n"
        "└─ 1 · 2 items: 4, 5\n"
    )


def test_one_leaf_means_empty_codes():
    tree = build_tree(np.zeros((5, 2)))
    assert tree.codes.to_paths() == [()] * 5
    assert tree.codes.similarity(0, 1) == 1
    assert tree.encode(np.ones((2, 2))).to_paths() == [(), ()]
    assert tree.render(items_per_leaf=0) == "root · 5 items\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"branching": 1}, "branching is 1 · allowed: an integer from 2 to 65536"),
        ({"branching": 2.5}, "branching is 2.5"),
        ({"max_leaf_size": 0}, "max_leaf_size is 0"),
        ({"balance": (0.4, 0.9)}, r"balance is \(0.4, 0.9\) · allowed: a lower bound from 0 to 1"),
        ({"balance": (float("nan"), 2.0)}, "balance is"),
        ({"balance": 3}, "balance is 3"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"vectors": np.zeros(4)}, r"vectors have shape \(4,\)"),
        ({"vectors": np.zeros((4, 1), dtype=complex)}, "vectors have dtype complex128"),
        ({"vectors": [[1e300]]}, "vectors have the value 1e\\+300 in row 0, column 0"),
    ],
)
def test_wrong_calls_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        build_tree(**{"vectors": np.zeros((4, 1))} | arguments)


def test_encoding_needs_vectors_of_the_same_length(tree):
    with pytest.raises(InputError, match="a vector has length 2, not 1"):
        tree.encode(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("packed", None, "the tree lacks packed"),
        ("size", lambda a: a.astype(np.int64), "size has dtype int64"),
        ("first_child", lambda a: np.full_like(a, 3), "node 0 does not fit into the tree"),
        ("n_children", lambda a: np.where(a > 0, 9, a).astype(a.dtype), "number of children"),
        ("parent", lambda a: np.where(a == 0, 2, a).astype(a.dtype), "node 1 has the parent 2"),
        ("centroids", lambda a: a[:-1], "the node arrays have lengths"),
        ("depth", lambda a: a[:-1], "depth has length 11, not 12"),
    ],
)
def test_broken_arrays_are_named(tree, name, change, message):
    arrays = tree.to_arrays()
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    with pytest.raises(InputError, match=message):
        IndexTree.from_arrays(arrays)


def test_paths_of_any_integers():
    paths = [np.array([1, 2], dtype=np.uint8), [3], ()]
    assert PathCodes.from_paths(paths).to_paths() == [(1, 2), (3,), ()]
    assert PathCodes.from_paths([(0,) * 32]).max_depth == 32
    assert PathCodes.from_paths([(65_535,) * 4], branching=65_536).to_paths() == [(65_535,) * 4]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([(0,), (0, 4)], "the path of item 1 has the child index 4 at level 1 · allowed: 0 to 3"),
        ([(-1,)], "the path of item 0 has the child index -1 at level 0"),
        ([(0,) * 33], "33 levels of 2 bits, 66 in all · allowed: 64 bits"),
        ([(0.5,)], "paths has dtype float64"),
    ],
)
def test_wrong_paths_are_named(paths, message):
    with pytest.raises(InputError, match=message):
        PathCodes.from_paths(paths)


def test_wrong_ids_are_named():
    codes = PathCodes.from_paths([(0,), (1,)])
    train = TrainView.from_csr(sp.csr_array([[1, 0]]))
    with pytest.raises(InputError, match="item 2 at position 1 is out of range · allowed: 0 to 1"):
        codes.similarity(0, [1, 2])
    with pytest.raises(InputError, match="item -1 at position 0"):
        codes.prefix_length(-1, 0)
    with pytest.raises(InputError, match="shapes that broadcast"):
        codes.similarity([0, 1], [0, 1, 0])
    with pytest.raises(InputError, match="a has dtype float64"):
        codes.similarity(0.5, 1)
    with pytest.raises(InputError, match="user 1 at position 0"):
        deepest_prefix(codes, train, [1], [[0]])
    with pytest.raises(InputError, match="items has length 1, not 2"):
        deepest_prefix(codes, train, [0, 0], [[0]])
    with pytest.raises(InputError, match="codes has length 1, not 2"):
        deepest_prefix(PathCodes.from_paths([(0,)]), train, [0], [[0]])


def test_equality_looks_at_everything():
    codes = PathCodes.from_paths([(0,), (1,)])
    assert codes.equals(PathCodes.from_paths([[0], [1]]))
    assert not codes.equals(PathCodes.from_paths([(0,), (1, 0)]))
    assert not codes.equals(PathCodes.from_paths([(0,), (1,)], branching=3))
    assert not codes.equals(PathCodes.from_paths([(0,)]))
