use dtlns_core::csr::Csr;
use dtlns_core::sampling::{keyed_uniform as uniform, Pool};
use dtlns_core::Error;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::{arrays::flat, door};

#[pyclass(frozen, module = "dtlns._core")]
struct ForbiddenSets(Pool);

#[pymethods]
impl ForbiddenSets {
    #[new]
    #[pyo3(signature = (indptr, indices, n_items, exclude_indptr=None, exclude_indices=None))]
    fn new(
        py: Python<'_>,
        indptr: PyReadonlyArray1<'_, i64>,
        indices: PyReadonlyArray1<'_, u32>,
        n_items: usize,
        exclude_indptr: Option<PyReadonlyArray1<'_, i64>>,
        exclude_indices: Option<PyReadonlyArray1<'_, u32>>,
    ) -> PyResult<Self> {
        let (indptr, indices) = (flat(&indptr)?, flat(&indices)?);
        let exclude = match (&exclude_indptr, &exclude_indices) {
            (Some(offsets), Some(items)) => Some((flat(offsets)?, flat(items)?)),
            _ => None,
        };
        let pool = door::run(py, |_| {
            let train = Csr::new("train", &indptr, &indices, n_items)?;
            let exclude = match &exclude {
                Some((offsets, items)) => Some(Csr::new("exclude", offsets, items, n_items)?),
                None => None,
            };
            Pool::new(train, exclude)
        })?;
        Ok(Self(pool))
    }

    #[getter]
    fn n_users(&self) -> usize {
        self.0.n_users()
    }

    #[getter]
    fn n_items(&self) -> usize {
        self.0.n_items()
    }

    fn draw<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        rows: PyReadonlyArray1<'py, i64>,
        n: usize,
        seed: u64,
        epoch: u64,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let batch = users.shape()[0];
        let (users, rows) = (flat(&users)?, flat(&rows)?);
        let pool = &self.0;
        let items = door::run(py, |cancel| {
            pool.draw(&users, &rows, n, seed, epoch, cancel)
        })?;
        shaped(py, batch, n, items)
    }

    /// Number of items left for each user, [U].
    fn available<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.0.available().into_pyarray(py)
    }

    fn forbidden<'py>(&self, py: Python<'py>, user: usize) -> PyResult<Bound<'py, PyArray1<u32>>> {
        if user >= self.0.n_users() {
            let (value, bound) = (user as i64, self.0.n_users());
            return Err(door::raise(
                py,
                &Error::IdOutOfRange {
                    name: "user",
                    position: 0,
                    value,
                    bound,
                },
            ));
        }
        Ok(self.0.forbidden(user).to_vec().into_pyarray(py))
    }
}

#[pyfunction]
fn keyed_uniform<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray1<'py, i64>,
    n: usize,
    seed: u64,
    epoch: u64,
    purpose: u32,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let batch = rows.shape()[0];
    let rows = flat(&rows)?;
    let values = door::run(py, |_| uniform(&rows, n, seed, epoch, purpose))?;
    shaped(py, batch, n, values)
}

fn shaped<T: numpy::Element>(
    py: Python<'_>,
    batch: usize,
    n: usize,
    values: Vec<T>,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    Ok(Array2::from_shape_vec((batch, n), values)
        .expect("batch times n values")
        .into_pyarray(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ForbiddenSets>()?;
    module.add_function(wrap_pyfunction!(keyed_uniform, module)?)
}
