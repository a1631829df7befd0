"""How candidates stand to histories, against the twins; and the border of those kernels."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dtlns import PathCodes, TrainView, _core
from dtlns.errors import InputError
from dtlns.testing import strategies as own


def histories(train: TrainView) -> tuple[np.ndarray, np.ndarray, int]:
    return train.indptr, train.indices, train.n_items


def csr(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    matrix = sp.csr_array(dense)
    matrix.sort_indices()
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32), matrix.data


@st.composite
def tables(draw, train):
    """Candidates of each user, empty places among them; laid out in rows or in columns."""
    shape = train.n_users, draw(st.integers(0, 5))
    table = draw(npst.arrays(np.int64, shape, elements=st.integers(-1, train.n_items - 1)))
    return np.asfortranarray(table) if draw(st.booleans()) else table


def row(train: TrainView, user: int) -> np.ndarray:
    return train.indices[train.indptr[user] : train.indptr[user + 1]]


def expected(train: TrainView, table: np.ndarray, one, width: int) -> np.ndarray:
    out = np.zeros((*table.shape, width), dtype=np.float32)
    for user, place in np.ndindex(table.shape):
        if table[user, place] >= 0:
            out[user, place] = one(row(train, user), int(table[user, place]))
    return out


# Sums of these are exact, so that ties are ties.
weights = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 2.0])


@settings(deadline=None)
@given(data=st.data(), train=own.train_views())
def test_links_and_best_linked(data, train):
    graph = data.draw(npst.arrays(np.float32, (train.n_items, train.n_items), elements=weights))
    table, k = data.draw(tables(train)), data.draw(st.integers(0, train.n_items + 2))
    # Each place counts by itself, but an item is there once.
    for user in range(train.n_users):
        _, first = np.unique(table[user], return_index=True)
        table[user, np.setdiff1d(np.arange(table.shape[1]), first)] = -1
    found = _core.history_links(csr(graph), *histories(train), table)
    np.testing.assert_array_equal(found, expected(train, table, lambda h, i: twins.links(graph, h, i), 3))

    ids, best = _core.best_linked(csr(graph), *histories(train), k)
    for user in range(train.n_users):
        own_items = row(train, user)
        total = graph[own_items].sum(axis=0)
        unlinked = set(np.flatnonzero(total == 0).tolist()) | set(own_items.tolist())
        assert (ids[user].tolist(), best[user].tolist()) == twins.top_k(total, k, unlinked)


@pytest.mark.parametrize("density", [0.004, 0.3], ids=["few", "many"])
def test_best_linked_among_many_items(density):
    random = np.random.default_rng(0)
    train = TrainView.from_csr(sp.csr_array(random.random((20, 500)) < 0.01))
    graph = (random.random((500, 500)) < density) * random.integers(1, 4, (500, 500)).astype(np.float32)
    for k in (1, 7, 100, 600):
        ids, best = _core.best_linked(csr(graph), *histories(train), k)
        for user in range(20):
            own_items = row(train, user)
            total = graph[own_items].sum(axis=0)
            unlinked = set(np.flatnonzero(total == 0).tolist()) | set(own_items.tolist())
            assert (ids[user].tolist(), best[user].tolist()) == twins.top_k(total, k, unlinked)


@settings(deadline=None)
@given(data=st.data(), train=own.train_views())
def test_dots(data, train):
    shape = train.n_items, data.draw(st.integers(0, 20))
    vectors = data.draw(npst.arrays(np.float32, shape, elements=st.floats(-2, 2, width=16)))
    table = data.draw(tables(train))
    found = _core.history_dots(vectors, *histories(train), table)
    naive = expected(train, table, lambda h, i: twins.dots(vectors.astype(np.float64), h, i), 2)
    np.testing.assert_allclose(found, naive, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(data=st.data(), codes=own.path_codes(min_items=12, max_items=12))
def test_prefix_sharing(data, codes):
    train = data.draw(own.train_views(min_items=12, max_items=12))
    table, paths = data.draw(tables(train)), codes.to_paths()
    found = _core.prefix_sharing(codes.packed, codes.depth, codes.branching, *histories(train), table)
    naive = expected(train, table, lambda h, i: twins.sharing(paths, h, i), 2)
    np.testing.assert_array_equal(found, naive)


def test_border():
    train = TrainView.from_csr(sp.csr_array(np.eye(3, 4)))
    table = np.zeros((3, 2), dtype=np.int64)
    graph = csr(np.ones((4, 4), dtype=np.float32))
    with pytest.raises(InputError, match="item 4"):
        _core.history_links(graph, *histories(train), table + 4)
    with pytest.raises(InputError, match="item -2"):
        _core.history_links(graph, *histories(train), table - 2)
    with pytest.raises(InputError, match="items"):
        _core.history_links(graph, *histories(train), table[:2])
    with pytest.raises(InputError, match="weight"):
        _core.best_linked((*graph[:2], -graph[2]), *histories(train), 2)
    with pytest.raises(InputError, match="weights"):
        _core.best_linked((*graph[:2], graph[2][1:]), *histories(train), 2)
    with pytest.raises(InputError, match="graph"):
        _core.best_linked(csr(np.ones((3, 4), dtype=np.float32)), *histories(train), 2)
    with pytest.raises(InputError, match="vectors"):
        _core.history_dots(np.zeros((3, 2), dtype=np.float32), *histories(train), table)
    codes = PathCodes.from_paths([(0,), (1,)])
    with pytest.raises(InputError, match="codes"):
        _core.prefix_sharing(codes.packed, codes.depth, codes.branching, *histories(train), table)
