//! The best items of each row of scores, without those a row masks.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::csr::{check_ids, Csr};
use crate::memory::filled;
use crate::{Error, Result};

/// Ids [B, k] and scores [B, k], best first; -1 and -∞ where fewer than k items are left.
pub type Ranked = (Vec<i64>, Vec<f32>);

/// Ranks each row of `scores` [B, I]; among equal scores the lower item id comes first.
///
/// `mask` is a sparse matrix and, for each row of scores, the row of it that says what is left out.
pub fn top_k(
    scores: &[f32],
    n_rows: usize,
    n_items: usize,
    k: usize,
    mask: Option<(Csr<'_>, &[i64])>,
) -> Result<Ranked> {
    if n_rows * n_items != scores.len() {
        return Err(Error::Length {
            name: "scores",
            got: scores.len(),
            expected: n_rows * n_items,
        });
    }
    if let Some((seen, rows)) = mask {
        check_ids("user", rows, seen.n_rows())?;
        if rows.len() != n_rows {
            return Err(Error::Length {
                name: "users",
                got: rows.len(),
                expected: n_rows,
            });
        }
        if seen.n_cols() > n_items {
            return Err(Error::Length {
                name: "a row of scores",
                got: n_items,
                expected: seen.n_cols(),
            });
        }
    }
    let mut ids = filled(-1i64, n_rows, k)?;
    let mut best = filled(f32::NEG_INFINITY, n_rows, k)?;
    if n_items == 0 {
        return Ok((ids, best));
    }
    // Row by row, which the compiler can do eight values at a time.
    let has_nan = |row: &[f32]| {
        row.iter()
            .fold(false, |found, score| found | score.is_nan())
    };
    if let Some(row) = scores.par_chunks(n_items).position_first(has_nan) {
        let column = scores[row * n_items..]
            .iter()
            .position(|score| score.is_nan());
        return Err(Error::NonFinite {
            name: "scores",
            row,
            column: column.unwrap_or(0),
            value: f32::NAN,
        });
    }
    if k > 0 {
        ids.par_chunks_mut(k)
            .zip(best.par_chunks_mut(k))
            .zip(scores.par_chunks(n_items))
            .enumerate()
            .for_each(|(row, ((ids, best), scores))| {
                let masked = mask.map_or(&[][..], |(seen, rows)| seen.row(rows[row] as usize));
                rank_row(scores, masked, ids, best);
            });
    }
    Ok((ids, best))
}

pub(crate) fn better(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    b.0.partial_cmp(&a.0)
        .unwrap_or(Ordering::Equal)
        .then(a.1.cmp(&b.1))
}

/// Ranks one row; `ids` and `best` hold what stands for no item.
pub(crate) fn rank_row(scores: &[f32], mut masked: &[u32], ids: &mut [i64], best: &mut [f32]) {
    let k = ids.len();
    // Keep up to 2k + 64 contenders and halve them when full: O(I) in all, and most items fail the bar.
    let capacity = 2 * k.min(scores.len()) + 64;
    let mut contenders: Vec<(f32, u32)> = Vec::with_capacity(capacity);
    let mut bar = f32::NEG_INFINITY;
    let mut has_bar = false;
    for (item, &score) in scores.iter().enumerate() {
        // An equal score with a higher id than k contenders can never enter.
        if has_bar && score <= bar {
            continue;
        }
        while masked.first().is_some_and(|&m| (m as usize) < item) {
            masked = &masked[1..];
        }
        if masked.first().is_some_and(|&m| m as usize == item) {
            continue;
        }
        contenders.push((score, item as u32));
        if contenders.len() == capacity && k < capacity {
            contenders.select_nth_unstable_by(k - 1, better);
            contenders.truncate(k);
            bar = contenders[k - 1].0;
            has_bar = true;
        }
    }
    contenders.sort_unstable_by(better);
    for ((id, score), &(value, item)) in ids.iter_mut().zip(best).zip(&contenders) {
        *id = i64::from(item);
        *score = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_lower_id_and_masks_are_kept() {
        let seen = Csr::new("seen", &[0, 1, 3], &[1, 0, 2], 4).unwrap();
        let scores = [1.0, 9.0, 3.0, 3.0, 5.0, 0.0, 7.0, -1.0];
        let (ids, best) = top_k(&scores, 2, 4, 3, Some((seen, &[0, 1]))).unwrap();
        assert_eq!(ids, [2, 3, 0, 1, 3, -1]);
        assert_eq!(best, [3.0, 3.0, 1.0, 0.0, -1.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn nan_is_named() {
        let error = top_k(&[0.0, 1.0, 2.0, f32::NAN], 2, 2, 1, None).unwrap_err();
        assert!(matches!(
            error,
            Error::NonFinite {
                row: 1,
                column: 1,
                ..
            }
        ));
    }
}
