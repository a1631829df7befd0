//! Exact uniform draws within ranges of positions in an order of the items.

use std::sync::Arc;

use rayon::prelude::*;

use crate::csr::check_ids;
use crate::memory::filled;
use crate::rng::Stream;
use crate::sampling::{check_length, fill_rows, item_of_rank, Batch, Pool};
use crate::{Cancel, Error, Result};

/// A pool whose forbidden items are known by their positions in an order.
#[derive(Debug, Clone)]
pub struct Ordered {
    pool: Arc<Pool>,
    /// The item at each position.
    order: Vec<u32>,
    /// Forbidden positions, row after row as in the pool, each row increasing.
    positions: Vec<u32>,
}

/// For each row, as many ranges of positions, `low` included and `high` not.
#[derive(Debug, Clone, Copy)]
pub struct Ranges<'a> {
    /// First positions, row after row.
    pub low: &'a [i64],
    /// Positions behind the last, row after row.
    pub high: &'a [i64],
    /// Ranges of a row.
    pub per_row: usize,
}

impl Ranges<'_> {
    fn of(&self, row: usize) -> impl Iterator<Item = (u32, u32)> + '_ {
        let place = row * self.per_row..(row + 1) * self.per_row;
        let ends = self.low[place.clone()].iter().zip(&self.high[place]);
        ends.map(|(&low, &high)| (low as u32, high as u32))
    }

    fn check(&self, rows: usize, n_items: usize) -> Result<()> {
        check_length("low", self.low.len(), rows * self.per_row)?;
        check_length("high", self.high.len(), rows * self.per_row)?;
        check_ids("low", self.low, n_items + 1)?;
        check_ids("high", self.high, n_items + 1)?;
        let mut sorted = Vec::with_capacity(self.per_row);
        for row in 0..rows {
            sorted.clear();
            sorted.extend(self.of(row).filter(|(low, high)| low != high));
            sorted.sort_unstable();
            let backwards = sorted.iter().any(|(low, high)| low > high);
            if backwards || sorted.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Err(Error::Parameter {
                    name: "a set of ranges",
                    value: format!("{} at position {row}", self.text(row)),
                    allowed: "ranges that do not overlap, each with low at most high",
                });
            }
        }
        Ok(())
    }

    fn text(&self, row: usize) -> String {
        let listed: Vec<String> = self.of(row).map(|(l, h)| format!("{l}..{h}")).collect();
        listed.join(" and ")
    }
}

impl Ordered {
    /// Sorts forbidden sets anew, by `order`, which holds every item once.
    pub fn new(pool: Arc<Pool>, order: &[u32]) -> Result<Self> {
        check_length("order", order.len(), pool.n_items())?;
        let mut position_of = vec![u32::MAX; order.len()];
        for (position, &item) in order.iter().enumerate() {
            match position_of.get_mut(item as usize) {
                Some(place) if *place == u32::MAX => *place = position as u32,
                _ => {
                    return Err(Error::Parameter {
                        name: "the order of the items",
                        value: format!("{item} at position {position}"),
                        allowed: "every item once",
                    })
                }
            }
        }
        let mut positions: Vec<u32> = (0..pool.n_users())
            .flat_map(|user| pool.forbidden(user).iter())
            .map(|&item| position_of[item as usize])
            .collect();
        let mut rows = Vec::with_capacity(pool.n_users());
        let mut rest = &mut positions[..];
        for user in 0..pool.n_users() {
            let (row, tail) = rest.split_at_mut(pool.entries(user).len());
            rows.push(row);
            rest = tail;
        }
        rows.into_par_iter().for_each(<[u32]>::sort_unstable);
        Ok(Self {
            pool,
            order: order.to_vec(),
            positions,
        })
    }

    /// Forbidden positions, row after row as in the pool, each row increasing.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn row(&self, user: i64) -> &[u32] {
        &self.positions[self.pool.entries(user as usize)]
    }

    /// Number of allowed items within each row's ranges.
    pub fn available(&self, users: &[i64], ranges: Ranges<'_>) -> Result<Vec<i64>> {
        check_ids("user", users, self.pool.n_users())?;
        ranges.check(users.len(), self.pool.n_items())?;
        let count = |row: usize| {
            let spans = spans(self.row(users[row]), ranges.of(row));
            spans.map(|(_, size)| i64::from(size)).sum()
        };
        Ok((0..users.len())
            .into_par_iter()
            .with_min_len(256)
            .map(count)
            .collect())
    }

    /// Draws `n` items for each user, with replacement, uniform over the allowed ones within its ranges.
    pub fn draw(
        &self,
        batch: Batch<'_>,
        ranges: Ranges<'_>,
        stream: Stream,
        cancel: &Cancel,
    ) -> Result<Vec<i64>> {
        self.pool.check(&batch)?;
        let sizes = self.available(batch.users, ranges)?;
        if let (Some(position), true) = (sizes.iter().position(|&size| size == 0), batch.n > 0) {
            return Err(Error::NothingWithin {
                user: batch.users[position] as usize,
                position,
                ranges: ranges.text(position),
            });
        }
        let mut out = filled(0i64, batch.users.len(), batch.n)?;
        fill_rows(&mut out, batch.n, cancel, |position, out| {
            let forbidden = self.row(batch.users[position]);
            let spans: Vec<_> = spans(forbidden, ranges.of(position)).collect();
            let row = batch.rows[position] as u64;
            for (draw, out) in out.iter_mut().enumerate() {
                let rank = stream.below(row, draw as u32, sizes[position] as u32);
                *out = i64::from(self.order[position_of_rank(forbidden, &spans, rank) as usize]);
            }
        })?;
        Ok(out)
    }
}

/// For each range, the number of allowed positions before it, and inside it.
fn spans<'a>(
    forbidden: &'a [u32],
    ranges: impl Iterator<Item = (u32, u32)> + 'a,
) -> impl Iterator<Item = (u32, u32)> + 'a {
    let rank = |position: u32| position - forbidden.partition_point(|&f| f < position) as u32;
    ranges.map(move |(low, high)| (rank(low), rank(high) - rank(low)))
}

/// The allowed position that has `rank` allowed ones before it within the ranges.
#[inline]
fn position_of_rank(forbidden: &[u32], spans: &[(u32, u32)], mut rank: u32) -> u32 {
    for &(before, size) in spans {
        if rank < size {
            return item_of_rank(forbidden, before + rank);
        }
        rank -= size;
    }
    unreachable!("a rank is below the sum of all sizes")
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::*;

    use super::*;
    use crate::csr::Csr;

    fn ordered() -> Ordered {
        let train = Csr::new("train", &[0, 3, 3], &[0, 2, 3], 5).unwrap();
        let pool = Arc::new(Pool::new(train, None).unwrap());
        Ordered::new(pool, &[3, 1, 4, 0, 2]).unwrap()
    }

    #[test]
    fn counts_and_draws_what_is_left_within() {
        let ordered = ordered();
        assert_eq!(ordered.positions(), [0, 3, 4]);
        let ranges = Ranges {
            low: &[0, 2, 0, 4],
            high: &[1, 5, 2, 5],
            per_row: 2,
        };
        assert_eq!(ordered.available(&[0, 1], ranges).unwrap(), [1, 3]);
        let batch = Batch {
            users: &[0, 1],
            rows: &[0, 1],
            n: 60,
        };
        let stream = Stream::new(0, 7, 0);
        let drawn = ordered.draw(batch, ranges, stream, &Cancel::new()).unwrap();
        assert!(drawn[..60].iter().all(|&item| item == 4));
        let seen: std::collections::BTreeSet<_> = drawn[60..].iter().copied().collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn ranks_and_allowed_positions_are_one_to_one(
            forbidden in btree_set(0u32..20, 0..20),
            ends in btree_set(0u32..21, 4),
        ) {
            let forbidden: Vec<u32> = forbidden.into_iter().collect();
            let ends: Vec<u32> = ends.into_iter().collect();
            let ranges = [(ends[2], ends[3]), (ends[0], ends[1])];
            let spans: Vec<_> = spans(&forbidden, ranges.into_iter()).collect();
            let total = spans.iter().map(|(_, size)| size).sum();
            let found: Vec<u32> =
                (0..total).map(|rank| position_of_rank(&forbidden, &spans, rank)).collect();
            let allowed = |position: &u32| !forbidden.contains(position);
            let expected = ranges.into_iter().flat_map(|(low, high)| low..high).filter(allowed);
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn wrong_ranges_and_orders_are_named() {
        let ordered = ordered();
        let ask = |low: &[i64], high: &[i64]| {
            let ranges = Ranges {
                low,
                high,
                per_row: low.len(),
            };
            ordered.available(&[0], ranges)
        };
        assert_eq!(ask(&[5, 1, 1], &[5, 1, 3]), Ok(vec![2]));
        assert!(ask(&[0], &[6]).is_err());
        assert!(ask(&[3], &[2]).is_err());
        assert!(ask(&[0, 1], &[2, 3]).is_err());
        for order in [[0, 1, 2, 3, 3], [0, 1, 2, 3, 5]] {
            assert!(Ordered::new(Arc::clone(&ordered.pool), &order).is_err());
        }
        let batch = Batch {
            users: &[0],
            rows: &[0],
            n: 1,
        };
        let nothing = Ranges {
            low: &[3],
            high: &[5],
            per_row: 1,
        };
        let error = ordered.draw(batch, nothing, Stream::new(0, 7, 0), &Cancel::new());
        assert_eq!(
            error.unwrap_err().to_string(),
            "user 0 at position 0 has no item left within 3..5"
        );
    }
}
