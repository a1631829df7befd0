use dtlns_core::codes::{pack, Codes};
use dtlns_core::csr::Csr;
use dtlns_core::rng::{Purpose, Stream};
use dtlns_core::Error;
use numpy::ndarray::Array2;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::arrays::{flat, view};
use crate::door;

type CodeArrays<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u8>>);

#[pyfunction]
fn pack_paths<'py>(
    py: Python<'py>,
    children: PyReadonlyArray1<'py, i64>,
    lengths: PyReadonlyArray1<'py, i64>,
    branching: u32,
) -> PyResult<CodeArrays<'py>> {
    let (children, lengths) = (flat(&children)?, flat(&lengths)?);
    let (packed, depth) = door::run(py, |_| pack(&children, &lengths, branching))?;
    Ok((packed.into_pyarray(py), depth.into_pyarray(py)))
}

#[pyfunction]
fn unpack_paths<'py>(
    py: Python<'py>,
    packed: PyReadonlyArray1<'py, u64>,
    depth: PyReadonlyArray1<'py, u8>,
    branching: u32,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (packed, depth) = (flat(&packed)?, flat(&depth)?);
    let children = door::run(py, |_| Ok(Codes::new(&packed, &depth, branching)?.unpack()))?;
    Ok(children.into_pyarray(py))
}

#[pyfunction]
fn prefix_length<'py>(
    py: Python<'py>,
    packed: PyReadonlyArray1<'py, u64>,
    depth: PyReadonlyArray1<'py, u8>,
    branching: u32,
    a: PyReadonlyArrayDyn<'py, i64>,
    b: PyReadonlyArrayDyn<'py, i64>,
) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let (packed, depth) = (flat(&packed)?, flat(&depth)?);
    let (a, b) = (view(&a)?, view(&b)?);
    let lengths = door::run(py, |_| {
        Codes::new(&packed, &depth, branching)?.prefix_lengths(a, b)
    })?;
    Ok(lengths.into_pyarray(py))
}

#[pyfunction]
fn similarity<'py>(
    py: Python<'py>,
    packed: PyReadonlyArray1<'py, u64>,
    depth: PyReadonlyArray1<'py, u8>,
    branching: u32,
    a: PyReadonlyArrayDyn<'py, i64>,
    b: PyReadonlyArrayDyn<'py, i64>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let (packed, depth) = (flat(&packed)?, flat(&depth)?);
    let (a, b) = (view(&a)?, view(&b)?);
    let values = door::run(py, |_| {
        Codes::new(&packed, &depth, branching)?.similarities(a, b)
    })?;
    Ok(values.into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (packed, depth, branching, indptr, indices, n_items, users, items=None))]
#[allow(clippy::too_many_arguments)] // The flat form of (codes, train, users, items).
fn deepest_prefix<'py>(
    py: Python<'py>,
    packed: PyReadonlyArray1<'py, u64>,
    depth: PyReadonlyArray1<'py, u8>,
    branching: u32,
    indptr: PyReadonlyArray1<'py, i64>,
    indices: PyReadonlyArray1<'py, u32>,
    n_items: usize,
    users: PyReadonlyArray1<'py, i64>,
    items: Option<PyReadonlyArray2<'py, i64>>,
) -> PyResult<Bound<'py, PyArray2<i32>>> {
    let rows = users.shape()[0];
    let shape = match &items {
        Some(items) => [items.shape()[0], items.shape()[1]],
        None => [rows, packed.shape()[0]],
    };
    if shape[0] != rows {
        let error = Error::Length {
            name: "items",
            got: shape[0],
            expected: rows,
        };
        return Err(door::raise(py, &error));
    }
    let (packed, depth) = (flat(&packed)?, flat(&depth)?);
    let (indptr, indices, users) = (flat(&indptr)?, flat(&indices)?, flat(&users)?);
    let items = items.as_ref().map(flat).transpose()?;
    let depths = door::run(py, |cancel| {
        let codes = Codes::new(&packed, &depth, branching)?;
        let train = Csr::new("train", &indptr, &indices, n_items)?;
        codes.deepest_prefix(train, &users, items.as_deref(), cancel)
    })?;
    let depths = Array2::from_shape_vec(shape, depths).expect("one depth for each candidate");
    Ok(depths.into_pyarray(py))
}

#[pyfunction]
fn permutation(py: Python<'_>, n: u32, seed: u64) -> PyResult<Bound<'_, PyArray1<u32>>> {
    let stream = Stream::new(seed, Purpose::Shuffle as u32, 0);
    let order = door::run(py, |_| Ok(stream.sequence(0).permutation(n)))?;
    Ok(order.into_pyarray(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pack_paths, module)?)?;
    module.add_function(wrap_pyfunction!(unpack_paths, module)?)?;
    module.add_function(wrap_pyfunction!(prefix_length, module)?)?;
    module.add_function(wrap_pyfunction!(similarity, module)?)?;
    module.add_function(wrap_pyfunction!(deepest_prefix, module)?)?;
    module.add_function(wrap_pyfunction!(permutation, module)?)
}
