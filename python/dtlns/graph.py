"""The item graph of the training split, and item vectors from its spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh

from dtlns import _core
from dtlns._border import integer, seed_value
from dtlns.data.views import TrainView
from dtlns.errors import InputError

DENSE_BELOW = 256  # items; below, a full decomposition is faster than iterating and always converges
MAX_COMPONENT_COLUMNS = 64


@dataclass(frozen=True, eq=False)
class SpectralVectors:
    """Item vectors from the leading eigenvectors of the normalised item graph.

    Attributes:
        vectors: float32 [I, D'], one row an item; D' is the number of eigenvectors found plus the columns
            that tell components apart.
        eigenvalues: float64 [D], of D^-1/2 J D^-1/2, decreasing, without the trivial ones.
        components: int64 [I], component of each item, the largest first; isolated items are -1.
    """

    vectors: NDArray[np.float32]
    eigenvalues: NDArray[np.float64]
    components: NDArray[np.int64]


def jaccard_graph(train: TrainView) -> sp.csr_array:
    """Compute the Jaccard weights between all items that share a user.

    J_ij = |U_i ∩ U_j| / |U_i ∪ U_j| for i ≠ j, U_i the users of item i (DTL-NS, arXiv 2602.18249).

    Args:
        train: The training view.

    Returns:
        Symmetric sparse matrix, float32 [I, I], without self loops, columns sorted.

    Raises:
        InputError: The view's rows are not sorted and unique, or ids are out of range.

    Example:
        >>> train = TrainView.from_csr(sp.csr_array([[1, 1, 0], [0, 1, 1]]))
        >>> jaccard_graph(train).toarray().tolist()
        [[0.0, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.0]]
    """
    indptr, indices, weights = _core.jaccard(train.indptr, train.indices, train.n_items)
    return sp.csr_array((weights, indices, indptr), shape=(train.n_items, train.n_items))


def laplacian_vectors(
    graph: sp.sparray | sp.spmatrix,
    dimensions: int = 32,
    power: float = 0.5,
    unit_rows: bool = True,
    regularization: float = 0.0,
    seed: int = 0,
    component_columns: bool | None = None,
) -> SpectralVectors:
    """Embed the items by the leading eigenvectors of S = D^-1/2 J D^-1/2.

    These are the smallest of the Laplacian L = I − S. One trivial vector, D^1/2 · 1 on the component, falls
    away for each component with edges, so that isolated items and many components are no special case.

    The form of the paper is `power=0, unit_rows=False`. The default scales each vector by a power of its
    eigenvalue (diffusion maps, Coifman and Lafon 2006), so that coarse divisions outweigh fine ones, and
    brings each row to unit length (Ng, Jordan and Weiss 2001).

    Args:
        graph: Symmetric non-negative sparse [I, I], such as `jaccard_graph` makes.
        dimensions: Eigenvectors wanted, D; fewer come back where the graph has no more.
        power: Exponent t of the eigenvalue (negative eigenvalues count as 0); 0 leaves vectors as they are.
        unit_rows: Whether rows are brought to unit length.
        regularization: τ in units of the mean degree: τ/I is added between all pairs of items before
            normalising (Amini, Chen, Bickel and Levina 2013), against eigenvectors that live on a handful
            of items.
        seed: Seed of the iteration's start vector.
        component_columns: Whether columns that tell components apart are appended: one for each but the
            largest, at most 64, the last shared by isolated items and all further components. By default
            where `unit_rows` is set and `regularization` is 0.

    Returns:
        Vectors, eigenvalues and components. Signs are fixed: each vector's entry of largest size is positive.

    Raises:
        InputError: The graph is not square, symmetric, finite and non-negative, or a parameter is out of
            range.

    Example:
        >>> graph = sp.csr_array([[0, 1.0, 0], [1.0, 0, 1.0], [0, 1.0, 0]])
        >>> laplacian_vectors(graph, dimensions=2, power=0, unit_rows=False).eigenvalues.round(6).tolist()
        [0.0, -1.0]
    """
    dimensions = integer("dimensions", dimensions, 1, 2**31 - 1)
    seed = seed_value(seed)
    for name, value in (("power", power), ("regularization", regularization)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name} is {value}", allowed="a finite number of at least 0")
    adjacency = _checked(graph)
    components, n_connected = _components(adjacency)
    basis, eigenvalues = _spectrum(adjacency, components, n_connected, dimensions, regularization, seed)

    scaled = basis * np.clip(eigenvalues, 0.0, None) ** power if power else basis
    if component_columns is None:
        component_columns = unit_rows and regularization == 0
    if component_columns:
        scaled = np.hstack([scaled, _indicator_columns(components, scaled)])
    if unit_rows:
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        # A row of zeros or of rounding errors has no direction.
        sound = lengths > 1e-7 * lengths.max(initial=0.0)
        scaled = np.divide(scaled, lengths, out=np.zeros_like(scaled), where=sound)
    return SpectralVectors(np.ascontiguousarray(scaled, dtype=np.float32), eigenvalues, components)


def _checked(graph: sp.sparray | sp.spmatrix) -> sp.csr_array:
    if not sp.issparse(graph):
        raise InputError(f"the graph is a {type(graph).__name__}", allowed="a SciPy sparse matrix")
    if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise InputError(f"the graph has shape {graph.shape}", allowed="a square matrix of items by items")
    adjacency = sp.csr_array(graph, dtype=np.float64)
    if adjacency.nnz and not (np.isfinite(adjacency.data).all() and (adjacency.data >= 0).all()):
        bad = adjacency.data[~(np.isfinite(adjacency.data) & (adjacency.data >= 0))][0]
        raise InputError(f"the graph holds the weight {bad}", allowed="finite weights of at least 0")
    if (abs(adjacency - adjacency.T) > 1e-6).nnz:
        raise InputError("the graph is not symmetric", allowed="equal weights in both directions")
    # What rounding left of a difference must not give an item edges in one direction only.
    adjacency = sp.csr_array((adjacency + adjacency.T) / 2)
    adjacency.eliminate_zeros()
    return adjacency


def _components(adjacency: sp.csr_array) -> tuple[NDArray[np.int64], int]:
    """Number components with edges by falling size; isolated items get -1."""
    n = adjacency.shape[0]
    if n == 0:
        return np.zeros(0, dtype=np.int64), 0
    count, labels = connected_components(adjacency, directed=False)
    sizes = np.bincount(labels, minlength=count)
    # The first item breaks ties, so that numbering depends on nothing else.
    _, first = np.unique(labels, return_index=True)
    has_edges = np.bincount(labels, weights=np.diff(adjacency.indptr), minlength=count) > 0
    order = [c for c in np.lexsort((first, -sizes)) if has_edges[c]]
    number = np.full(count, -1, dtype=np.int64)
    number[order] = np.arange(len(order))
    return number[labels], len(order)


def _spectrum(
    adjacency: sp.csr_array,
    components: NDArray[np.int64],
    n_connected: int,
    dimensions: int,
    regularization: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the leading non-trivial eigenvectors of S [I, D] and their eigenvalues, decreasing."""
    n = adjacency.shape[0]
    degree = np.asarray(adjacency.sum(axis=1), dtype=np.float64).ravel()
    shared = regularization * float(degree.mean()) / n if n and regularization else 0.0
    if shared:
        # Everything is one component now, isolated items included.
        degree, components, n_connected = degree + shared * n, np.zeros(n, dtype=np.int64), 1
    # Isolated items have no say in the spectrum: solve without them, so that their rows are exactly 0.
    inside = np.flatnonzero(components >= 0)
    n_inside = len(inside)
    wanted = min(dimensions, n_inside - n_connected)
    if wanted <= 0:
        return np.zeros((n, 0)), np.zeros(0)
    root = np.sqrt(degree[inside])
    trivial = _trivial_vectors(root, components[inside], n_connected)
    scale = sp.diags_array(1.0 / root)
    normalised = sp.csr_array(scale @ adjacency[inside][:, inside] @ scale)

    def apply(x: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = x.reshape(n_inside, -1)
        # S has eigenvalues from -1 to 1; this moves the trivial ones from 1 to -2, behind all others.
        out = normalised @ flat - 3.0 * (trivial @ (trivial.T @ flat))
        if shared:
            out += np.outer(shared / root, (1.0 / root) @ flat)
        result: NDArray[np.float64] = out.reshape(x.shape)
        return result

    if n_inside <= DENSE_BELOW or wanted >= n_inside // 2:
        values, vectors = eigh(apply(np.eye(n_inside)))
    else:
        random = np.random.Generator(np.random.PCG64(seed))
        start = random.standard_normal(n_inside)
        operator = LinearOperator((n_inside, n_inside), matvec=apply, matmat=apply, dtype=np.float64)
        ncv = min(n_inside, max(2 * wanted + 1, 96))
        # Where few eigenvalues differ, the iteration ends early and starts again from random vectors.
        values, vectors = eigsh(operator, k=wanted, which="LA", v0=start, ncv=ncv, tol=1e-9, rng=random)
    order = np.argsort(-values, kind="stable")[:wanted]
    basis = np.zeros((n, wanted))
    basis[inside] = _fix_signs(vectors[:, order])
    return basis, values[order]


def _trivial_vectors(root: NDArray[np.float64], components: NDArray[np.int64], count: int) -> sp.csr_array:
    """D^1/2 · 1 on each component, at unit length: sparse [items, components]."""
    lengths = np.sqrt(np.bincount(components, weights=root**2, minlength=count))
    entries = (root / lengths[components], (np.arange(len(root)), components))
    return sp.csr_array(entries, shape=(len(root), count))


def _fix_signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    # Rounding keeps the choice stable where two entries have the same size up to the last bits.
    largest = np.argmax(np.abs(vectors).round(9), axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return vectors * np.where(signs == 0, 1.0, signs)


def _indicator_columns(components: NDArray[np.int64], scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """One column for each component but the largest, the last one shared by all that remain."""
    others = components.copy()
    others[components < 0] = components.max(initial=-1) + 1
    columns = np.minimum(others, MAX_COMPONENT_COLUMNS) - 1
    width = int(columns.max(initial=-1)) + 1
    if not (components >= 0).any():
        return np.zeros((len(components), 0))
    rows = np.flatnonzero(columns >= 0)
    out = np.zeros((len(components), width))
    # As long as the longest row, so that a component lies away from the rest also before rows are
    # brought to unit length.
    size = float(np.linalg.norm(scaled, axis=1).max(initial=0.0)) or 1.0
    out[rows, columns[rows]] = size
    return out
