//! Exact draws in proportion to integer weights of the items.

use std::sync::Arc;

use crate::rng::Stream;
use crate::sampling::{check_length, fill_rows, Batch, Pool};
use crate::{Cancel, Error, Result};

/// A pool whose items have weights; the sums that a draw needs are made once.
///
/// Masses are sums of weights, and all of them fit into 32 bits.
#[derive(Debug, Clone)]
pub struct Weighted {
    pool: Arc<Pool>,
    /// Mass before each item, and of all items last.
    cumulative: Vec<u32>,
    /// Allowed mass before each forbidden item, row after row as in the pool.
    allowed_before: Vec<u32>,
    /// Allowed mass of each user.
    mass: Vec<u32>,
}

impl Weighted {
    /// Sums weights, which are at least 1 and together below 2^32.
    pub fn new(pool: Arc<Pool>, weights: &[u32]) -> Result<Self> {
        check_length("weights", weights.len(), pool.n_items())?;
        if let Some(item) = weights.iter().position(|&weight| weight == 0) {
            return Err(Error::Parameter {
                name: "a weight",
                value: format!("0 for item {item}"),
                allowed: "at least 1",
            });
        }
        let mut cumulative = Vec::with_capacity(weights.len() + 1);
        cumulative.push(0u32);
        for &weight in weights {
            let before = cumulative[cumulative.len() - 1];
            cumulative.push(before.checked_add(weight).ok_or(Error::Parameter {
                name: "the sum of the weights",
                value: "2^32 or more".into(),
                allowed: "below 2^32",
            })?);
        }
        let total = cumulative[weights.len()];
        let mut allowed_before = Vec::with_capacity(pool.indices().len());
        let mut mass = Vec::with_capacity(pool.n_users());
        for user in 0..pool.n_users() {
            let mut taken = 0;
            for &item in pool.forbidden(user) {
                allowed_before.push(cumulative[item as usize] - taken);
                taken += weights[item as usize];
            }
            mass.push(total - taken);
        }
        Ok(Self {
            pool,
            cumulative,
            allowed_before,
            mass,
        })
    }

    /// Allowed mass before each forbidden item, row after row as in the pool.
    pub fn allowed_before(&self) -> &[u32] {
        &self.allowed_before
    }

    /// Allowed mass of each user.
    pub fn mass(&self) -> &[u32] {
        &self.mass
    }

    /// Draws `n` allowed items for each user, with replacement, each in proportion to its weight.
    pub fn draw(&self, batch: Batch<'_>, stream: Stream, cancel: &Cancel) -> Result<Vec<i64>> {
        let mut out = self.pool.prepare(&batch)?;
        fill_rows(&mut out, batch.n, cancel, |position, out| {
            let user = batch.users[position] as usize;
            let row = batch.rows[position] as u64;
            for (draw, out) in out.iter_mut().enumerate() {
                let point = stream.below_wide(row, draw as u32, self.mass[user]);
                *out = i64::from(self.item_at(user, point));
            }
        })?;
        Ok(out)
    }

    /// The allowed item that covers a point of the user's allowed mass.
    ///
    /// The allowed mass before forbidden items never decreases, so that a binary search finds the last
    /// forbidden item before the point; what is left of the point lies beyond that item.
    #[inline]
    fn item_at(&self, user: usize, point: u32) -> u32 {
        let entries = self.pool.entries(user);
        let before = &self.allowed_before[entries.clone()];
        let skipped = before.partition_point(|&mass| mass <= point);
        let forbidden = self.pool.forbidden(user);
        let (first, from) = match skipped {
            0 => (0, point),
            _ => {
                let next = forbidden[skipped - 1] as usize + 1;
                (next, self.cumulative[next] + (point - before[skipped - 1]))
            }
        };
        let end = forbidden
            .get(skipped)
            .map_or(self.pool.n_items(), |&item| item as usize);
        let beyond = self.cumulative[first..end].partition_point(|&mass| mass <= from);
        (first + beyond - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::csr::Csr;

    proptest! {
        #[test]
        fn an_item_covers_as_many_points_as_its_weight(
            forbidden in btree_set(0u32..12, 0..12),
            weights in vec(prop_oneof![Just(1u32), 1u32..6], 12..14),
        ) {
            let indices: Vec<u32> = forbidden.into_iter().collect();
            let indptr = [0, indices.len() as i64];
            let train = Csr::new("train", &indptr, &indices, weights.len()).unwrap();
            let pool = Arc::new(Pool::new(train, None).unwrap());
            let weighted = Weighted::new(pool, &weights).unwrap();
            let found: Vec<u32> =
                (0..weighted.mass[0]).map(|point| weighted.item_at(0, point)).collect();
            let expected = (0u32..)
                .zip(&weights)
                .filter(|(item, _)| !indices.contains(item))
                .flat_map(|(item, &weight)| std::iter::repeat_n(item, weight as usize));
            prop_assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_point_of_the_mass_has_its_item() {
        let train = Csr::new("train", &[0, 3, 3, 7], &[0, 2, 3, 0, 1, 2, 4], 5).unwrap();
        let pool = Arc::new(Pool::new(train, None).unwrap());
        let weighted = Weighted::new(pool, &[2, 3, 1, 4, 2]).unwrap();
        let items = |user: usize| -> Vec<u32> {
            (0..weighted.mass()[user])
                .map(|point| weighted.item_at(user, point))
                .collect()
        };
        assert_eq!(items(0), [1, 1, 1, 4, 4]);
        assert_eq!(items(1), [0, 0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 4]);
        assert_eq!(items(2), [3, 3, 3, 3]);
    }

    #[test]
    fn weights_have_a_range() {
        let train = Csr::new("train", &[0, 0], &[], 2).unwrap();
        let pool = Arc::new(Pool::new(train, None).unwrap());
        let with = |weights: &[u32]| Weighted::new(Arc::clone(&pool), weights).map(|w| w.mass[0]);
        assert_eq!(with(&[u32::MAX - 1, 1]), Ok(u32::MAX));
        assert!(with(&[u32::MAX, 1]).is_err());
        assert!(with(&[0, 1]).is_err());
        assert!(with(&[1]).is_err());
    }
}
