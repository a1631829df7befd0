//! Pairs of users and candidates, and numbers that say how each candidate stands to its user's history.

use rayon::prelude::*;

use crate::csr::Csr;
use crate::memory::filled;
use crate::{Cancel, Error, Result};

/// Users handled between two looks at the cancel flag.
pub(crate) const USERS: usize = 4096;

/// Every user's history, and as many places for candidates; -1 where a place is empty.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    train: Csr<'a>,
    items: &'a [i64],
    width: usize,
}

impl<'a> Pairs<'a> {
    /// Checks `items`, [U, M] row by row, against the histories.
    pub fn new(train: Csr<'a>, items: &'a [i64], width: usize) -> Result<Self> {
        if items.len() != train.n_rows() * width {
            return Err(Error::Length {
                name: "items",
                got: items.len(),
                expected: train.n_rows() * width,
            });
        }
        let bound = train.n_cols();
        match items
            .iter()
            .position(|&item| item < -1 || item >= bound as i64)
        {
            Some(position) => Err(Error::IdOutOfRange {
                name: "item",
                position,
                value: items[position],
                bound,
            }),
            None => Ok(Self {
                train,
                items,
                width,
            }),
        }
    }

    /// Number of items that there are.
    pub fn n_items(&self) -> usize {
        self.train.n_cols()
    }

    /// Fills N numbers for each place, [U, M, N], user by user; zeros where a place is empty.
    ///
    /// `one` gets a history, the candidates and their N numbers each; `scratch` is made once a thread.
    pub(crate) fn measure<const N: usize, S>(
        &self,
        cancel: &Cancel,
        scratch: impl Fn() -> S + Sync + Send,
        one: impl Fn(&mut S, &[u32], &[i64], &mut [[f32; N]]) + Sync + Send,
    ) -> Result<Vec<f32>> {
        let mut out = filled([0f32; N], self.train.n_rows(), self.width)?;
        if self.width > 0 {
            for (block, rows) in out.chunks_mut(USERS * self.width).enumerate() {
                cancel.check()?;
                rows.par_chunks_mut(self.width)
                    .enumerate()
                    .with_min_len(16)
                    .for_each_init(&scratch, |scratch, (offset, row)| {
                        let user = block * USERS + offset;
                        let candidates = &self.items[user * self.width..][..self.width];
                        one(scratch, self.train.row(user), candidates, row);
                    });
            }
        }
        Ok(out.into_flattened())
    }
}
