use std::borrow::Cow;

use dtlns_core::csr::Csr;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::{arrays::flat, door};

type Ranked<'py> = (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<f32>>);

#[pyfunction]
#[pyo3(signature = (scores, k, indptr=None, indices=None, n_items=None, users=None))]
fn top_k<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray2<'py, f32>,
    k: usize,
    indptr: Option<PyReadonlyArray1<'py, i64>>,
    indices: Option<PyReadonlyArray1<'py, u32>>,
    n_items: Option<usize>,
    users: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<Ranked<'py>> {
    let [batch, width] = [scores.shape()[0], scores.shape()[1]];
    let scores = flat(&scores)?;
    let mask = match (&indptr, &indices) {
        (Some(offsets), Some(items)) => Some((flat(offsets)?, flat(items)?)),
        _ => None,
    };
    // Without users, row b of the mask belongs to row b of the scores.
    let users: Option<Cow<'_, [i64]>> = match (&mask, &users) {
        (Some(_), Some(users)) => Some(flat(users)?),
        (Some(_), None) => Some(Cow::Owned((0..batch as i64).collect())),
        (None, _) => None,
    };
    let (ids, best) = door::run(py, |_| {
        let mask = match (&mask, &users) {
            (Some((offsets, items)), Some(users)) => {
                let seen = Csr::new("mask", offsets, items, n_items.unwrap_or(width))?;
                Some((seen, &users[..]))
            }
            _ => None,
        };
        dtlns_core::ranking::top_k(&scores, batch, width, k, mask)
    })?;
    let ids = Array2::from_shape_vec((batch, k), ids).expect("k ids a row");
    let best = Array2::from_shape_vec((batch, k), best).expect("k scores a row");
    Ok((ids.into_pyarray(py), best.into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(top_k, module)?)
}
