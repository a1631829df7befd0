"""Spectral item vectors, against NumPy's full decomposition and worked examples."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from dtlns import TrainView, jaccard_graph, laplacian_vectors
from dtlns.errors import InputError
from dtlns.testing import strategies as own

PUBLISHED = {"power": 0.0, "unit_rows": False}


def blocks(*sizes: int, seed: int = 0) -> sp.csr_array:
    """A graph of dense components; a size of 1 is an isolated item."""
    random = np.random.default_rng(seed)
    parts = []
    for size in sizes:
        upper = np.triu(random.uniform(0.1, 1.0, (size, size)), 1)
        parts.append(upper + upper.T)
    return sp.csr_array(sp.block_diag(parts))


def normalised(graph: sp.csr_array) -> np.ndarray:
    dense = graph.toarray()
    degree = dense.sum(axis=1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    return scale[:, None] * dense * scale


@settings(max_examples=50)
@given(train=own.train_views(max_users=15, max_items=15), dimensions=st.integers(1, 20))
def test_eigenvectors_of_any_graph(train, dimensions):
    graph = jaccard_graph(train)
    found = laplacian_vectors(graph, dimensions, **PUBLISHED)
    vectors, values = found.vectors.astype(np.float64), found.eigenvalues
    matrix = normalised(graph)
    n_components = found.components.max() + 1
    connected = found.components >= 0
    assert connected.tolist() == (graph.sum(axis=1) > 0).tolist()
    assert len(values) == vectors.shape[1] == max(0, min(dimensions, connected.sum() - n_components))
    # All eigenvalues, without one 1 for each component and one 0 for each isolated item.
    expected = np.linalg.eigvalsh(matrix[np.ix_(connected, connected)])[::-1]
    assert expected[:n_components] == pytest.approx(1)
    np.testing.assert_allclose(values, expected[n_components:][: len(values)], atol=1e-7)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-5)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-5)
    assert (vectors[~connected] == 0).all()
    root = np.sqrt(graph.sum(axis=1))
    for component in range(n_components):
        np.testing.assert_allclose((root * (found.components == component)) @ vectors, 0, atol=1e-5)


def test_iteration_and_full_decomposition_agree():
    graph = blocks(300, 150, 40, 1, 1)
    found = laplacian_vectors(graph, 8, **PUBLISHED)
    expected = np.linalg.eigvalsh(normalised(graph))[::-1]
    assert expected[:3] == pytest.approx(1)
    np.testing.assert_allclose(found.eigenvalues, expected[3:11], atol=1e-8)
    vectors = found.vectors.astype(np.float64)
    np.testing.assert_allclose(normalised(graph) @ vectors, vectors * found.eigenvalues, atol=1e-5)


def test_a_rebuild_gives_the_same_bytes():
    graph = blocks(400, 100, 1)
    first, second = laplacian_vectors(graph), laplacian_vectors(graph)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    other = laplacian_vectors(graph, seed=1)
    np.testing.assert_allclose(other.eigenvalues, first.eigenvalues, atol=1e-8)


def test_a_rebuild_gives_the_same_bytes_where_one_eigenvalue_fills_the_spectrum():
    # A star has the eigenvalues 1, -1 and 598 times 0: the iteration has to start again from other vectors.
    star = sp.lil_array((600, 600))
    star[0, 1:] = star[1:, 0] = 1
    code = "import sys, numpy as np, scipy.sparse as sp, dtlns; star = sp.lil_array((600, 600)); "
    code += "star[0, 1:] = star[1:, 0] = 1; "
    code += "sys.stdout.buffer.write(dtlns.laplacian_vectors(star).vectors.tobytes())"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    found = laplacian_vectors(star)
    assert np.abs(found.eigenvalues).max() < 1e-8
    assert found.vectors.tobytes() == laplacian_vectors(star).vectors.tobytes() == elsewhere


def test_an_edge_that_rounding_made_one_sided():
    found = laplacian_vectors(sp.csr_array([[0, 1e-7], [0, 0]]), **PUBLISHED)
    np.testing.assert_allclose(np.abs(found.vectors[:, 0]), np.sqrt(0.5), rtol=1e-6)
    assert found.eigenvalues.tolist() == pytest.approx([-1])


def test_signs_are_fixed():
    vectors = laplacian_vectors(blocks(30), 5, **PUBLISHED).vectors
    assert (vectors[np.abs(vectors).argmax(axis=0), np.arange(5)] > 0).all()


def test_power_and_unit_rows():
    graph = blocks(40, 20)
    plain = laplacian_vectors(graph, 6, **PUBLISHED)
    scaled = laplacian_vectors(graph, 6, power=0.5, unit_rows=False)
    expected = plain.vectors * np.sqrt(np.clip(plain.eigenvalues, 0, None))
    np.testing.assert_allclose(scaled.vectors, expected, atol=1e-6)
    default = laplacian_vectors(graph, 6)
    np.testing.assert_allclose(np.linalg.norm(default.vectors, axis=1), 1, atol=1e-6)


def test_components_get_places_of_their_own():
    graph = blocks(50, 20, 30, 1, 1)
    found = laplacian_vectors(graph, 6)
    # Numbered by falling size, isolated items apart.
    assert found.components.tolist() == [0] * 50 + [2] * 20 + [1] * 30 + [-1] * 2
    # Columns: six vectors, components 1 and 2, isolated items.
    assert found.vectors.shape == (102, 9)
    assert (found.vectors[:50, 6:] == 0).all()
    assert (found.vectors[70:100, 6] >= 0.7).all()
    assert (found.vectors[50:70, 7] >= 0.7).all()
    assert (found.vectors[100:, 8] == 1).all()
    assert laplacian_vectors(graph, 6, **PUBLISHED).vectors.shape == (102, 6)
    assert laplacian_vectors(graph, 6, component_columns=False).vectors.shape == (102, 6)


def test_many_components_share_the_last_column():
    found = laplacian_vectors(blocks(*[3] * 100), 4)
    assert found.vectors.shape == (300, 4 + 64)
    assert found.components.tolist() == np.repeat(np.arange(100), 3).tolist()
    assert np.isfinite(found.vectors).all()


def test_isolated_items_only():
    found = laplacian_vectors(sp.csr_array((5, 5)))
    assert found.components.tolist() == [-1] * 5
    assert found.eigenvalues.shape == (0,)
    assert found.vectors.shape == (5, 0)
    assert laplacian_vectors(sp.csr_array((0, 0))).vectors.shape == (0, 0)


def test_regularisation():
    graph = blocks(60, 30, 1)
    found = laplacian_vectors(graph, 5, regularization=0.1, **PUBLISHED)
    dense = graph.toarray()
    dense = dense + 0.1 * dense.sum(axis=1).mean() / len(dense)
    scale = 1 / np.sqrt(dense.sum(axis=1))
    expected = np.linalg.eigvalsh(scale[:, None] * dense * scale)[::-1]
    assert expected[0] == pytest.approx(1)
    np.testing.assert_allclose(found.eigenvalues, expected[1:6], atol=1e-8)
    # The same by iteration.
    large = blocks(300, 100, 1)
    found = laplacian_vectors(large, 5, regularization=0.1, **PUBLISHED)
    dense = large.toarray()
    dense = dense + 0.1 * dense.sum(axis=1).mean() / len(dense)
    scale = 1 / np.sqrt(dense.sum(axis=1))
    np.testing.assert_allclose(
        found.eigenvalues, np.linalg.eigvalsh(scale[:, None] * dense * scale)[::-1][1:6], atol=1e-8
    )


@pytest.mark.parametrize(
    ("graph", "arguments", "message"),
    [
        (np.zeros((2, 2)), {}, "the graph is a ndarray"),
        (sp.csr_array((2, 3)), {}, r"shape \(2, 3\)"),
        (sp.csr_array([[0, 1.0], [0.5, 0]]), {}, "not symmetric"),
        (sp.csr_array([[0, -1.0], [-1.0, 0]]), {}, "the weight -1.0"),
        (sp.csr_array([[0, np.nan], [np.nan, 0]]), {}, "the weight nan"),
        (sp.csr_array((2, 2)), {"dimensions": 0}, "dimensions is 0"),
        (sp.csr_array((2, 2)), {"power": -1}, "power is -1"),
        (sp.csr_array((2, 2)), {"regularization": float("inf")}, "regularization is inf"),
    ],
)
def test_wrong_calls_are_named(graph, arguments, message):
    with pytest.raises(InputError, match=message):
        laplacian_vectors(graph, **arguments)


def test_jaccard_refuses_broken_rows():
    broken = TrainView(np.array([0, 2]), np.array([1, 0], dtype=np.uint32), 3)
    with pytest.raises(InputError, match="row 0 of train is not sorted and unique: 1 stands before 0"):
        jaccard_graph(broken)
