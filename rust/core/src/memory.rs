//! Memory for answers whose size a caller chooses.

use crate::{Error, Result};

/// `rows` × `columns` copies of a value, or an error where `vec!` would end the whole process.
pub(crate) fn filled<T: Clone>(value: T, rows: usize, columns: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    // An empty axis counts as 1, for a shape must fit as well.
    let fits = rows.max(1).checked_mul(columns.max(1)).is_some_and(|n| {
        n <= isize::MAX as usize / size_of::<T>().max(1)
            && out.try_reserve_exact(rows * columns).is_ok()
    });
    if !fits {
        return Err(Error::Memory { rows, columns });
    }
    out.resize(rows * columns, value);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_an_error() {
        assert_eq!(filled(7u8, 2, 3), Ok(vec![7; 6]));
        assert_eq!(filled(7u8, 0, 3), Ok(vec![]));
        for (rows, columns) in [(1 << 40, 1 << 20), (usize::MAX, 2), (0, usize::MAX)] {
            assert_eq!(
                filled(0u64, rows, columns),
                Err(Error::Memory { rows, columns })
            );
        }
    }
}
