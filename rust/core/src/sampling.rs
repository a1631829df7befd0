//! Exact uniform draws from what a user may be shown as a negative.

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
            if exclude.n_rows() != train.n_rows() {
                let (got, expected) = (exclude.n_rows(), train.n_rows());
                return Err(Error::Length {
                    name: "exclude",
                    got,
                    expected,
                });
            }
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
        &self.forbidden[self.indptr[user] as usize..self.indptr[user + 1] as usize]
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
    pub fn draw(
        &self,
        users: &[i64],
        rows: &[i64],
        n: usize,
        seed: u64,
        epoch: u64,
        cancel: &Cancel,
    ) -> Result<Vec<i64>> {
        check_ids("user", users, self.n_users())?;
        check_ids("row", rows, i64::MAX as usize)?;
        if rows.len() != users.len() {
            return Err(Error::Length {
                name: "rows",
                got: rows.len(),
                expected: users.len(),
            });
        }
        let mut out = filled(0i64, users.len(), n)?;
        if n == 0 {
            return Ok(out);
        }
        for &user in users {
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
        let stream = Stream::new(seed, Purpose::Negatives as u32, epoch);
        const ROWS: usize = 1 << 16;
        for (batch, rows_out) in out.chunks_mut(ROWS * n).enumerate() {
            cancel.check()?;
            rows_out
                .par_chunks_mut(n)
                .with_min_len(256)
                .enumerate()
                .for_each(|(offset, row_out)| {
                    let position = batch * ROWS + offset;
                    let forbidden = self.forbidden(users[position] as usize);
                    let left = (self.n_items - forbidden.len()) as u32;
                    for (draw, out) in row_out.iter_mut().enumerate() {
                        let rank = stream.below(rows[position] as u64, draw as u32, left);
                        *out = i64::from(item_of_rank(forbidden, rank));
                    }
                });
        }
        Ok(out)
    }
}

/// The item that has `rank` allowed items before it: `forbidden[i] - i` allowed ones precede
/// `forbidden[i]`, and this never decreases, so a binary search tells how many to skip.
#[inline]
fn item_of_rank(forbidden: &[u32], rank: u32) -> u32 {
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
    let stream = Stream::new(seed, (Purpose::User as u32).saturating_add(purpose), epoch);
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
        assert_eq!(
            pool.draw(&[0, 0], &[0, 1], 2, 0, 0, &Cancel::new())
                .unwrap(),
            [1, 1, 1, 1]
        );
        let error = pool
            .draw(&[0, 1], &[0, 1], 1, 0, 0, &Cancel::new())
            .unwrap_err();
        assert_eq!(
            error,
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
        let draw = |n| pool.draw(&[0], &[7], n, 3, 1, &Cancel::new()).unwrap();
        assert_eq!(draw(3), draw(10)[..3]);
    }
}
