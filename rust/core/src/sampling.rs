//! Exact uniform draws from what a user may be shown as a negative.

use std::ops::Range;

use rayon::prelude::*;

use crate::csr::{check_ids, Csr};
use crate::memory::filled;
use crate::rng::{Purpose, Stream};
use crate::{Cancel, Error, Result};

/// The items that each user's negatives must not contain: history and exclusions, merged once.
#[derive(Debug, Clone)]
pub struct Pool {
    indptr: Vec<i64>,
    forbidden: Vec<u32>,
    n_items: usize,
}

impl Pool {
    /// Merges histories and, where given, excluded items.
    pub fn new(train: Csr<'_>, exclude: Option<Csr<'_>>) -> Result<Self> {
        let mut indptr = Vec::with_capacity(train.n_rows() + 1);
        let mut forbidden = Vec::with_capacity(train.len() + exclude.map_or(0, |e| e.len()));
        indptr.push(0);
        if let Some(exclude) = exclude {
            check_length("exclude", exclude.n_rows(), train.n_rows())?;
        }
        for user in 0..train.n_rows() {
            let history = train.row(user);
            let excluded = exclude.map_or(&[][..], |e| e.row(user));
            merge(history, excluded, &mut forbidden);
            indptr.push(forbidden.len() as i64);
        }
        Ok(Self {
            indptr,
            forbidden,
            n_items: train.n_cols(),
        })
    }

    /// Number of users.
    pub fn n_users(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.n_items
    }

    /// The items that are never drawn for a user, increasing.
    pub fn forbidden(&self, user: usize) -> &[u32] {
        &self.forbidden[self.entries(user)]
    }

    /// Where a user's forbidden items stand among those of all users, one user after another.
    pub fn entries(&self, user: usize) -> Range<usize> {
        self.indptr[user] as usize..self.indptr[user + 1] as usize
    }

    /// Where each user's forbidden items start among all of them, and their number last.
    pub fn indptr(&self) -> &[i64] {
        &self.indptr
    }

    /// The forbidden items of all users, one user after another.
    pub fn indices(&self) -> &[u32] {
        &self.forbidden
    }

    /// Number of items that can be drawn for each user.
    pub fn available(&self) -> Vec<i64> {
        self.indptr
            .windows(2)
            .map(|ends| self.n_items as i64 - (ends[1] - ends[0]))
            .collect()
    }

    /// Draws `n` items for each user of `users`, with replacement, uniform over what is left.
    ///
    /// Draw `d` of a row depends on (seed, epoch, `rows[b]`, d) and the user's forbidden set alone.
    pub fn draw(&self, batch: Batch<'_>, stream: Stream, cancel: &Cancel) -> Result<Vec<i64>> {
        let mut out = self.prepare(&batch)?;
        fill_rows(&mut out, batch.n, cancel, |position, out| {
            let forbidden = self.forbidden(batch.users[position] as usize);
            let left = (self.n_items - forbidden.len()) as u32;
            let row = batch.rows[position] as u64;
            for (draw, out) in out.iter_mut().enumerate() {
                let rank = stream.below(row, draw as u32, left);
                *out = i64::from(item_of_rank(forbidden, rank));
            }
        })?;
        Ok(out)
    }

    /// Checks a batch, and makes room for its answer; every user that is drawn for has something left.
    pub(crate) fn prepare(&self, batch: &Batch<'_>) -> Result<Vec<i64>> {
        self.check(batch)?;
        if batch.n > 0 {
            for &user in batch.users {
                let forbidden = self.forbidden(user as usize).len();
                if forbidden >= self.n_items {
                    let (user, n_items) = (user as usize, self.n_items);
                    return Err(Error::NothingLeft {
                        user,
                        forbidden,
                        n_items,
                    });
                }
            }
        }
        filled(0i64, batch.users.len(), batch.n)
    }

    pub(crate) fn check(&self, batch: &Batch<'_>) -> Result<()> {
        check_ids("user", batch.users, self.n_users())?;
        check_ids("row", batch.rows, i64::MAX as usize)?;
        check_length("rows", batch.rows.len(), batch.users.len())
    }

    /// Which of `columns` items are allowed for each user; `items` are the same for all users, or row
    /// after row.
    pub fn allowed(
        &self,
        users: &[i64],
        items: &[i64],
        columns: usize,
        shared: bool,
        cancel: &Cancel,
    ) -> Result<Vec<bool>> {
        check_ids("user", users, self.n_users())?;
        check_ids("item", items, self.n_items)?;
        let expected = if shared { 1 } else { users.len() } * columns;
        check_length("items", items.len(), expected)?;
        let mut out = filled(true, users.len(), columns)?;
        if !shared {
            fill_rows(&mut out, columns, cancel, |position, out| {
                let forbidden = self.forbidden(users[position] as usize);
                for (out, &item) in out.iter_mut().zip(&items[position * columns..]) {
                    *out = forbidden.binary_search(&(item as u32)).is_err();
                }
            })?;
            return Ok(out);
        }
        let mut sorted: Vec<(u32, u32)> = items.iter().map(|&i| i as u32).zip(0..).collect();
        sorted.sort_unstable();
        fill_rows(&mut out, columns, cancel, |position, out| {
            // Both are sorted, so that one walk over the history meets every item in it.
            let mut rest = &sorted[..];
            for &item in self.forbidden(users[position] as usize) {
                rest = &rest[rest.partition_point(|&(other, _)| other < item)..];
                for &(_, column) in rest.iter().take_while(|&&(other, _)| other == item) {
                    out[column as usize] = false;
                }
            }
        })?;
        Ok(out)
    }
}

/// For whom to draw, how often, and by which numbers.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// User of each row.
    pub users: &'a [i64],
    /// Global number of each row, which keys its draws.
    pub rows: &'a [i64],
    /// Draws for each row.
    pub n: usize,
}

pub(crate) fn check_length(name: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Length {
        name,
        got,
        expected,
    })
}

/// Fills rows of `n` answers in parallel; `fill` gets the number of a row and its place.
pub(crate) fn fill_rows<T: Send>(
    out: &mut [T],
    n: usize,
    cancel: &Cancel,
    fill: impl Fn(usize, &mut [T]) + Sync,
) -> Result<()> {
    const ROWS: usize = 1 << 16;
    if n == 0 {
        return Ok(());
    }
    for (batch, rows) in out.chunks_mut(ROWS.saturating_mul(n)).enumerate() {
        cancel.check()?;
        rows.par_chunks_mut(n)
            .with_min_len(256)
            .enumerate()
            .for_each(|(offset, row)| fill(batch * ROWS + offset, row));
    }
    Ok(())
}

/// The number that has `rank` allowed ones before it: `forbidden[i] - i` allowed ones precede
/// `forbidden[i]`, and this never decreases, so a binary search tells how many to skip.
#[inline]
pub(crate) fn item_of_rank(forbidden: &[u32], rank: u32) -> u32 {
    let (mut low, mut high) = (0, forbidden.len());
    while low < high {
        let middle = (low + high) / 2;
        if forbidden[middle] - middle as u32 <= rank {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    rank + low as u32
}

fn merge(mut a: &[u32], mut b: &[u32], out: &mut Vec<u32>) {
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        out.push(x.min(y));
        a = &a[usize::from(x <= y)..];
        b = &b[usize::from(y <= x)..];
    }
    out.extend_from_slice(a);
    out.extend_from_slice(b);
}

/// Uniform numbers in [0, 1) for `rows` × `n`, from the caller's own stream number `purpose`.
pub fn keyed_uniform(
    rows: &[i64],
    n: usize,
    seed: u64,
    epoch: u64,
    purpose: u32,
) -> Result<Vec<f32>> {
    check_ids("row", rows, i64::MAX as usize)?;
    let stream = Stream::new(seed, Purpose::User.numbered(purpose)?, epoch);
    let mut out = filled(0f32, rows.len(), n)?;
    if n > 0 {
        out.par_chunks_mut(n)
            .with_min_len(256)
            .zip(rows)
            .for_each(|(row_out, &row)| {
                for (draw, out) in row_out.iter_mut().enumerate() {
                    *out = stream.unit(row as u64, draw as u32);
                }
            });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_skip_what_is_forbidden() {
        let allowed: Vec<u32> = (0..6)
            .map(|rank| item_of_rank(&[0, 3, 4, 8], rank))
            .collect();
        assert_eq!(allowed, [1, 2, 5, 6, 7, 9]);
    }

    #[test]
    fn merges_without_repeats() {
        let mut out = Vec::new();
        merge(&[1, 3, 5], &[0, 3, 9], &mut out);
        assert_eq!(out, [0, 1, 3, 5, 9]);
    }

    #[test]
    fn a_user_with_everything_is_named() {
        let train = Csr::new("train", &[0, 1, 3], &[0, 0, 1], 2).unwrap();
        let pool = Pool::new(train, None).unwrap();
        let draw = |users: &[i64], n| {
            let batch = Batch {
                users,
                rows: &[0, 1],
                n,
            };
            pool.draw(batch, Stream::new(0, 1, 0), &Cancel::new())
        };
        assert_eq!(draw(&[0, 0], 2).unwrap(), [1, 1, 1, 1]);
        assert_eq!(
            draw(&[0, 1], 1).unwrap_err(),
            Error::NothingLeft {
                user: 1,
                forbidden: 2,
                n_items: 2
            }
        );
    }

    #[test]
    fn a_prefix_of_the_draws_stays() {
        let train = Csr::new("train", &[0, 2], &[1, 5], 50).unwrap();
        let pool = Pool::new(train, None).unwrap();
        let draw = |n| {
            let batch = Batch {
                users: &[0],
                rows: &[7],
                n,
            };
            pool.draw(batch, Stream::new(3, 1, 1), &Cancel::new())
                .unwrap()
        };
        assert_eq!(draw(3), draw(10)[..3]);
    }

    #[test]
    fn allowed_items_shared_or_not() {
        let train = Csr::new("train", &[0, 2, 2, 5], &[1, 4, 0, 1, 2], 5).unwrap();
        let pool = Pool::new(train, None).unwrap();
        let ask = |users: &[i64], items: &[i64], n, shared| {
            pool.allowed(users, items, n, shared, &Cancel::new())
        };
        assert_eq!(
            ask(&[0, 2], &[4, 1, 3, 1], 4, true).unwrap(),
            [false, false, true, false, true, false, true, false]
        );
        assert_eq!(
            ask(&[1, 2], &[4, 1, 3, 2], 2, false).unwrap(),
            [true, true, true, false]
        );
        assert!(ask(&[1], &[5], 1, true).is_err());
        assert!(ask(&[1, 1], &[1], 1, false).is_err());
    }
}
