use std::sync::Arc;

use dtlns_core::csr::Csr;
use dtlns_core::ordered::{Ordered, Ranges};
use dtlns_core::rng::{Purpose, Stream};
use dtlns_core::sampling::{keyed_uniform as uniform, Batch, Pool};
use dtlns_core::weighted::Weighted;
use dtlns_core::{Error, Result};
use numpy::ndarray::Array2;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::{arrays::flat, door};

#[pyclass(frozen, module = "dtlns._core")]
struct ForbiddenSets(Arc<Pool>);

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
        Ok(Self(Arc::new(pool)))
    }

    #[getter]
    fn n_users(&self) -> usize {
        self.0.n_users()
    }

    #[getter]
    fn n_items(&self) -> usize {
        self.0.n_items()
    }

    #[pyo3(signature = (users, rows, n, seed, epoch, purpose=0))]
    #[allow(clippy::too_many_arguments)] // The flat form of (batch, stream), here and below.
    fn draw<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        rows: PyReadonlyArray1<'py, i64>,
        n: usize,
        seed: u64,
        epoch: u64,
        purpose: u32,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let (users, rows) = (flat(&users)?, flat(&rows)?);
        let batch = batch(&users, &rows, n);
        let items = door::run(py, |cancel| {
            let stream = stream(Purpose::Negatives, purpose, seed, epoch)?;
            self.0.draw(batch, stream, cancel)
        })?;
        shaped(py, users.len(), n, items)
    }

    /// Which items [K], or [B, K], are allowed for users [B]: [B, K].
    fn allowed<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        items: PyReadonlyArrayDyn<'py, i64>,
    ) -> PyResult<Bound<'py, PyArray2<bool>>> {
        let columns = items.shape().last().copied().unwrap_or(1);
        let shared = items.ndim() < 2;
        let (users, items) = (flat(&users)?, flat(&items)?);
        let found = door::run(py, |cancel| {
            self.0.allowed(&users, &items, columns, shared, cancel)
        })?;
        shaped(py, users.len(), columns, found)
    }

    /// Number of items left for each user, [U].
    fn available<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.0.available().into_pyarray(py)
    }

    /// Where each user's forbidden items start, [U + 1].
    fn indptr<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.0.indptr().to_vec().into_pyarray(py)
    }

    /// The forbidden items of all users, one user after another.
    fn indices<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.0.indices().to_vec().into_pyarray(py)
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

#[pyclass(frozen, module = "dtlns._core")]
struct WeightedSets(Weighted);

#[pymethods]
impl WeightedSets {
    #[new]
    fn new(
        py: Python<'_>,
        sets: &Bound<'_, ForbiddenSets>,
        weights: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Self> {
        let (pool, weights) = (Arc::clone(&sets.get().0), flat(&weights)?);
        Ok(Self(door::run(py, |_| Weighted::new(pool, &weights))?))
    }

    #[allow(clippy::too_many_arguments)]
    fn draw<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        rows: PyReadonlyArray1<'py, i64>,
        n: usize,
        seed: u64,
        epoch: u64,
        purpose: u32,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let (users, rows) = (flat(&users)?, flat(&rows)?);
        let batch = batch(&users, &rows, n);
        let items = door::run(py, |cancel| {
            let stream = stream(Purpose::Weighted, purpose, seed, epoch)?;
            self.0.draw(batch, stream, cancel)
        })?;
        shaped(py, users.len(), n, items)
    }

    /// Allowed mass of each user, [U].
    fn mass<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.0.mass().to_vec().into_pyarray(py)
    }

    /// Allowed mass before each forbidden item, in the order of `ForbiddenSets.indices`.
    fn allowed_before<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.0.allowed_before().to_vec().into_pyarray(py)
    }
}

#[pyclass(frozen, module = "dtlns._core")]
struct OrderedSets(Ordered);

#[pymethods]
impl OrderedSets {
    #[new]
    fn new(
        py: Python<'_>,
        sets: &Bound<'_, ForbiddenSets>,
        order: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Self> {
        let (pool, order) = (Arc::clone(&sets.get().0), flat(&order)?);
        Ok(Self(door::run(py, |_| Ordered::new(pool, &order))?))
    }

    /// Draws within ranges [B, R] of positions.
    #[allow(clippy::too_many_arguments)]
    fn draw<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        rows: PyReadonlyArray1<'py, i64>,
        n: usize,
        low: PyReadonlyArray2<'py, i64>,
        high: PyReadonlyArray2<'py, i64>,
        seed: u64,
        epoch: u64,
        purpose: u32,
    ) -> PyResult<Bound<'py, PyArray2<i64>>> {
        let per_row = low.shape()[1];
        let (users, rows, low, high) = (flat(&users)?, flat(&rows)?, flat(&low)?, flat(&high)?);
        let ranges = ranges(&low, &high, per_row);
        let batch = batch(&users, &rows, n);
        let items = door::run(py, |cancel| {
            let stream = stream(Purpose::Within, purpose, seed, epoch)?;
            self.0.draw(batch, ranges, stream, cancel)
        })?;
        shaped(py, users.len(), n, items)
    }

    /// Number of items left within ranges [B, R] of positions: [B].
    fn available<'py>(
        &self,
        py: Python<'py>,
        users: PyReadonlyArray1<'py, i64>,
        low: PyReadonlyArray2<'py, i64>,
        high: PyReadonlyArray2<'py, i64>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let per_row = low.shape()[1];
        let (users, low, high) = (flat(&users)?, flat(&low)?, flat(&high)?);
        let ranges = ranges(&low, &high, per_row);
        let counts = door::run(py, |_| self.0.available(&users, ranges))?;
        Ok(counts.into_pyarray(py))
    }

    /// Forbidden positions, one user after another.
    fn positions<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        self.0.positions().to_vec().into_pyarray(py)
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

/// The two key words of a stream, for those who draw elsewhere.
#[pyfunction]
fn stream_key(
    py: Python<'_>,
    kind: &str,
    purpose: u32,
    seed: u64,
    epoch: u64,
) -> PyResult<(u32, u32)> {
    let kind = match kind {
        "negatives" => Ok(Purpose::Negatives),
        "weighted" => Ok(Purpose::Weighted),
        "within" => Ok(Purpose::Within),
        "numbers" => Ok(Purpose::User),
        other => Err(Error::Parameter {
            name: "the kind of a stream",
            value: other.into(),
            allowed: "negatives, weighted, within, numbers",
        }),
    };
    let stream = kind.and_then(|kind| stream(kind, purpose, seed, epoch));
    let [first, second] = stream.map_err(|error| door::raise(py, &error))?.key();
    Ok((first, second))
}

fn stream(kind: Purpose, purpose: u32, seed: u64, epoch: u64) -> Result<Stream> {
    Ok(Stream::new(seed, kind.numbered(purpose)?, epoch))
}

fn batch<'a>(users: &'a [i64], rows: &'a [i64], n: usize) -> Batch<'a> {
    Batch { users, rows, n }
}

fn ranges<'a>(low: &'a [i64], high: &'a [i64], per_row: usize) -> Ranges<'a> {
    Ranges { low, high, per_row }
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
    module.add_class::<WeightedSets>()?;
    module.add_class::<OrderedSets>()?;
    module.add_function(wrap_pyfunction!(stream_key, module)?)?;
    module.add_function(wrap_pyfunction!(keyed_uniform, module)?)
}
