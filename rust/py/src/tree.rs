use dtlns_core::tree::{build, Encoder, Shape};
use dtlns_core::Vectors;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{arrays::flat, door};

type CodeArrays<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u8>>);

#[pyfunction]
fn build_tree<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    branching: u32,
    max_leaf_size: usize,
    balance: (f64, f64),
    seed: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let [n_rows, n_cols] = [vectors.shape()[0], vectors.shape()[1]];
    let data = flat(&vectors)?;
    let built = door::run(py, |cancel| {
        let vectors = Vectors::new("vectors", &data, n_rows, n_cols)?;
        build(
            vectors,
            Shape {
                branching,
                max_leaf_size,
                balance,
            },
            seed,
            cancel,
        )
    })?;
    let arrays = PyDict::new(py);
    let tree = built.tree;
    let nodes = tree.len();
    arrays.set_item("parent", tree.parent.into_pyarray(py))?;
    arrays.set_item("first_child", tree.first_child.into_pyarray(py))?;
    arrays.set_item("n_children", tree.n_children.into_pyarray(py))?;
    arrays.set_item("node_depth", tree.depth.into_pyarray(py))?;
    arrays.set_item("size", tree.size.into_pyarray(py))?;
    let centroids =
        numpy::ndarray::Array2::from_shape_vec((nodes, tree.dimensions), tree.centroids)
            .expect("a tree has one centroid a node");
    arrays.set_item("centroids", centroids.into_pyarray(py))?;
    arrays.set_item("packed", built.packed.into_pyarray(py))?;
    arrays.set_item("depth", built.depth.into_pyarray(py))?;
    Ok(arrays)
}

#[pyfunction]
fn encode<'py>(
    py: Python<'py>,
    first_child: PyReadonlyArray1<'py, i32>,
    n_children: PyReadonlyArray1<'py, i32>,
    centroids: PyReadonlyArray2<'py, f32>,
    branching: u32,
    vectors: PyReadonlyArray2<'py, f32>,
) -> PyResult<CodeArrays<'py>> {
    let nodes = [centroids.shape()[0], centroids.shape()[1]];
    let rows = [vectors.shape()[0], vectors.shape()[1]];
    let (first_child, n_children) = (flat(&first_child)?, flat(&n_children)?);
    let (centroids, vectors) = (flat(&centroids)?, flat(&vectors)?);
    let (packed, depth) = door::run(py, |cancel| {
        let centroids = Vectors::new("centroids", &centroids, nodes[0], nodes[1])?;
        let encoder = Encoder::new(&first_child, &n_children, centroids, branching)?;
        encoder.encode(Vectors::new("vectors", &vectors, rows[0], rows[1])?, cancel)
    })?;
    Ok((packed.into_pyarray(py), depth.into_pyarray(py)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(build_tree, module)?)?;
    module.add_function(wrap_pyfunction!(encode, module)?)
}
