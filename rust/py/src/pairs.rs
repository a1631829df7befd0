//! Numbers for candidates beside histories: links of an item graph, dot products, shared prefixes.

use dtlns_core::codes::Codes;
use dtlns_core::csr::Csr;
use dtlns_core::dots;
use dtlns_core::item_graph::ItemGraph;
use dtlns_core::pairs::Pairs;
use dtlns_core::{Cancel, Result, Vectors};
use numpy::ndarray::{Array2, Array3};
use numpy::{
    IntoPyArray, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::arrays::flat;
use crate::door;

/// Offsets, links and weights of an item graph.
type Weighted<'py> = (
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray1<'py, f32>,
);
type Ranked<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f32>>);

/// Runs a measure of `n` numbers for each place of `items`, [U, M], beside histories.
fn measure<'py>(
    py: Python<'py>,
    n: usize,
    indptr: &PyReadonlyArray1<'py, i64>,
    indices: &PyReadonlyArray1<'py, u32>,
    n_items: usize,
    items: &PyReadonlyArray2<'py, i64>,
    one: impl FnOnce(Pairs<'_>, &Cancel) -> Result<Vec<f32>> + Send,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let [rows, width] = [items.shape()[0], items.shape()[1]];
    let (indptr, indices, items) = (flat(indptr)?, flat(indices)?, flat(items)?);
    let numbers = door::run(py, |cancel| {
        let train = Csr::new("train", &indptr, &indices, n_items)?;
        one(Pairs::new(train, &items, width)?, cancel)
    })?;
    let numbers = Array3::from_shape_vec((rows, width, n), numbers).expect("n numbers a place");
    Ok(numbers.into_pyarray(py))
}

#[pyfunction]
fn best_linked<'py>(
    py: Python<'py>,
    graph: Weighted<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
    k: usize,
) -> PyResult<Ranked<'py>> {
    let (offsets, links, weights) = (flat(&graph.0)?, flat(&graph.1)?, flat(&graph.2)?);
    let (indptr, indices) = (flat(&indptr)?, flat(&indices)?);
    let (ids, best) = door::run(py, |cancel| {
        let graph = ItemGraph::new(&offsets, &links, &weights, n_items)?;
        graph.best(Csr::new("train", &indptr, &indices, n_items)?, k, cancel)
    })?;
    let shape = (indptr.len() - 1, k);
    let ids = Array2::from_shape_vec(shape, ids).expect("k ids a row");
    let best = Array2::from_shape_vec(shape, best).expect("k scores a row");
    Ok((ids.into_pyarray(py), best.into_pyarray(py)))
}

#[pyfunction]
fn history_links<'py>(
    py: Python<'py>,
    graph: Weighted<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
    items: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let (offsets, links, weights) = (flat(&graph.0)?, flat(&graph.1)?, flat(&graph.2)?);
    measure(
        py,
        3,
        &indptr,
        &indices,
        n_items,
        &items,
        |pairs, cancel| ItemGraph::new(&offsets, &links, &weights, n_items)?.links(pairs, cancel),
    )
}

#[pyfunction]
fn history_dots<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
    items: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let [rows, dimensions] = [vectors.shape()[0], vectors.shape()[1]];
    let data = flat(&vectors)?;
    measure(
        py,
        2,
        &indptr,
        &indices,
        n_items,
        &items,
        |pairs, cancel| {
            let vectors = Vectors::new("vectors", &data, rows, dimensions)?;
            dots::history_dots(vectors, pairs, cancel)
        },
    )
}

#[pyfunction]
#[allow(clippy::too_many_arguments)] // The flat form of (codes, train, items).
fn prefix_sharing<'py>(
    py: Python<'py>,
    packed: PyReadonlyArray1<'py, u64>,
    depth: PyReadonlyArray1<'py, u8>,
    branching: u32,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
    items: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray3<f32>>> {
    let (packed, depth) = (flat(&packed)?, flat(&depth)?);
    measure(
        py,
        2,
        &indptr,
        &indices,
        n_items,
        &items,
        |pairs, cancel| Codes::new(&packed, &depth, branching)?.prefix_sharing(pairs, cancel),
    )
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(best_linked, module)?)?;
    module.add_function(wrap_pyfunction!(history_links, module)?)?;
    module.add_function(wrap_pyfunction!(history_dots, module)?)?;
    module.add_function(wrap_pyfunction!(prefix_sharing, module)?)
}
