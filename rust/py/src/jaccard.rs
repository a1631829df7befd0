use dtlns_core::csr::Csr;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::{arrays::flat, door};

type GraphArrays<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<f32>>,
);

#[pyfunction]
fn jaccard<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
) -> PyResult<GraphArrays<'py>> {
    let (indptr, indices) = (flat(&indptr)?, flat(&indices)?);
    let graph = door::run(py, |cancel| {
        dtlns_core::jaccard::jaccard(Csr::new("train", &indptr, &indices, n_items)?, cancel)
    })?;
    Ok((
        graph.indptr.into_pyarray(py),
        graph.indices.into_pyarray(py),
        graph.weights.into_pyarray(py),
    ))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(jaccard, module)?)
}
