//! A checked view of dense float32 rows.

use crate::{Error, Result};

/// Finite vectors, one a row.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    data: &'a [f32],
    n_rows: usize,
    n_cols: usize,
}

impl<'a> Vectors<'a> {
    /// Checks length and finiteness once.
    pub fn new(name: &'static str, data: &'a [f32], n_rows: usize, n_cols: usize) -> Result<Self> {
        if n_rows > i32::MAX as usize {
            return Err(Error::TooLarge {
                name: "the number of rows",
                value: n_rows,
            });
        }
        if data.len() != n_rows * n_cols {
            return Err(Error::Length {
                name,
                got: data.len(),
                expected: n_rows * n_cols,
            });
        }
        if let Some(at) = data.iter().position(|x| !x.is_finite()) {
            return Err(Error::NonFinite {
                name,
                row: at / n_cols,
                column: at % n_cols,
                value: data[at],
            });
        }
        Ok(Self {
            data,
            n_rows,
            n_cols,
        })
    }

    /// Number of vectors.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Length of a vector.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// One vector.
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.n_cols..(row + 1) * self.n_cols]
    }
}
