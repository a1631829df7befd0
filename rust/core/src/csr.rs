//! A checked view of a binary sparse matrix in compressed rows.

use crate::{Error, Result};

/// Users by items, each row sorted and unique; ids are 32-bit, offsets 64-bit.
#[derive(Debug, Clone, Copy)]
pub struct Csr<'a> {
    indptr: &'a [i64],
    indices: &'a [u32],
    n_cols: usize,
}

impl<'a> Csr<'a> {
    /// Checks offsets, ranges and order once, so that kernels need not.
    pub fn new(
        name: &'static str,
        indptr: &'a [i64],
        indices: &'a [u32],
        n_cols: usize,
    ) -> Result<Self> {
        if n_cols > i32::MAX as usize {
            return Err(Error::TooLarge {
                name: "the number of items",
                value: n_cols,
            });
        }
        let broken = |position, value| Error::Offsets {
            name,
            position,
            value,
        };
        match indptr.first() {
            None => return Err(broken(0, 0)),
            Some(&first) if first != 0 => return Err(broken(0, first)),
            Some(_) => {}
        }
        for (position, pair) in indptr.windows(2).enumerate() {
            if pair[1] < pair[0] || pair[1] as u64 > indices.len() as u64 {
                return Err(broken(position + 1, pair[1]));
            }
        }
        let last = indptr[indptr.len() - 1];
        if last as u64 != indices.len() as u64 {
            return Err(broken(indptr.len() - 1, last));
        }
        let view = Self {
            indptr,
            indices,
            n_cols,
        };
        for row in 0..view.n_rows() {
            let items = view.row(row);
            if let Some(pair) = items.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(Error::Unsorted {
                    name,
                    row,
                    left: pair[0],
                    right: pair[1],
                });
            }
            match items.last() {
                Some(&item) if item as usize >= n_cols => {
                    let position = indptr[row + 1] as usize - 1;
                    let value = i64::from(item);
                    return Err(Error::IdOutOfRange {
                        name: "item",
                        position,
                        value,
                        bound: n_cols,
                    });
                }
                _ => {}
            }
        }
        Ok(view)
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of stored entries.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The columns of one row, increasing.
    #[inline]
    pub fn row(&self, row: usize) -> &'a [u32] {
        &self.indices[self.indptr[row] as usize..self.indptr[row + 1] as usize]
    }

    /// The same entries by column: offsets and row ids, increasing within a column.
    pub fn transpose(&self) -> (Vec<i64>, Vec<u32>) {
        let mut offsets = vec![0i64; self.n_cols + 1];
        for &column in self.indices {
            offsets[column as usize + 1] += 1;
        }
        for column in 0..self.n_cols {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut rows = vec![0u32; self.indices.len()];
        for row in 0..self.n_rows() {
            for &column in self.row(row) {
                let slot = &mut next[column as usize];
                rows[*slot as usize] = row as u32;
                *slot += 1;
            }
        }
        (offsets, rows)
    }
}

/// Checks ids from outside against their range and narrows them.
pub fn check_ids(name: &'static str, ids: &[i64], bound: usize) -> Result<()> {
    match ids
        .iter()
        .position(|&id| id < 0 || id as u64 >= bound as u64)
    {
        Some(position) => Err(Error::IdOutOfRange {
            name,
            position,
            value: ids[position],
            bound,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_empty_rows_and_nothing() {
        let view = Csr::new("m", &[0, 0, 2, 2], &[1, 4], 5).unwrap();
        assert_eq!(
            (view.n_rows(), view.row(0), view.row(1)),
            (3, &[][..], &[1, 4][..])
        );
        assert!(Csr::new("m", &[0], &[], 0).unwrap().is_empty());
    }

    #[test]
    fn names_what_is_broken() {
        let broken =
            |indptr: &[i64], indices: &[u32]| Csr::new("m", indptr, indices, 5).unwrap_err();
        assert!(matches!(
            broken(&[], &[]),
            Error::Offsets { position: 0, .. }
        ));
        assert!(matches!(
            broken(&[1, 1], &[0]),
            Error::Offsets {
                position: 0,
                value: 1,
                ..
            }
        ));
        assert!(matches!(
            broken(&[0, 2, 1], &[0, 1]),
            Error::Offsets { position: 2, .. }
        ));
        assert!(matches!(
            broken(&[0, 9], &[0]),
            Error::Offsets {
                position: 1,
                value: 9,
                ..
            }
        ));
        assert!(matches!(
            broken(&[0, 1], &[0, 1]),
            Error::Offsets { position: 1, .. }
        ));
        assert!(matches!(
            broken(&[0, 2], &[3, 3]),
            Error::Unsorted { row: 0, .. }
        ));
        assert!(matches!(
            broken(&[0, 1, 2], &[0, 5]),
            Error::IdOutOfRange { position: 1, .. }
        ));
    }

    #[test]
    fn transposes() {
        let view = Csr::new("m", &[0, 2, 3], &[0, 2, 2], 3).unwrap();
        assert_eq!(view.transpose(), (vec![0, 1, 1, 3], vec![0, 0, 1]));
    }
}
