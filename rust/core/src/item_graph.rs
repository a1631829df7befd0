//! What a graph of items says of users: an item scores by its links with the items of the history.

use rayon::prelude::*;

use crate::csr::Csr;
use crate::memory::filled;
use crate::pairs::{Pairs, USERS};
use crate::ranking::{better, rank_row, Ranked};
use crate::{Cancel, Error, Result};

/// A history with more links than a part of all items is handled densely: one in so many.
const DENSE: usize = 8;

/// Links from each item to others, with positive weights.
#[derive(Debug, Clone, Copy)]
pub struct ItemGraph<'a> {
    indptr: &'a [i64],
    links: Csr<'a>,
    weights: &'a [f32],
}

impl<'a> ItemGraph<'a> {
    /// Checks that the matrix is square and that each link has a positive finite weight.
    pub fn new(
        indptr: &'a [i64],
        indices: &'a [u32],
        weights: &'a [f32],
        n_items: usize,
    ) -> Result<Self> {
        let links = Csr::new("graph", indptr, indices, n_items)?;
        for (name, got, expected) in [
            ("the offsets of the graph", links.n_rows(), n_items),
            ("weights", weights.len(), links.len()),
        ] {
            if got != expected {
                return Err(Error::Length {
                    name,
                    got,
                    expected,
                });
            }
        }
        match weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            Some(weight) => Err(Error::Parameter {
                name: "a weight of the graph",
                value: weight.to_string(),
                allowed: "positive finite numbers",
            }),
            None => Ok(Self {
                indptr,
                links,
                weights,
            }),
        }
    }

    fn row(&self, item: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let (start, stop) = (
            self.indptr[item as usize] as usize,
            self.indptr[item as usize + 1] as usize,
        );
        let neighbours = self.links.row(item as usize).iter().copied();
        neighbours.zip(self.weights[start..stop].iter().copied())
    }

    fn degree(&self, item: u32) -> usize {
        self.links.row(item as usize).len()
    }

    fn check(&self, n_items: usize) -> Result<()> {
        if n_items == self.links.n_cols() {
            return Ok(());
        }
        Err(Error::Length {
            name: "the graph",
            got: self.links.n_cols(),
            expected: n_items,
        })
    }

    /// Each user's k best items outside of the history by the sum of their links with it.
    ///
    /// An item without any link is none of them. Among equal sums the lower item id comes first.
    pub fn best(&self, train: Csr<'_>, k: usize, cancel: &Cancel) -> Result<Ranked> {
        self.check(train.n_cols())?;
        let mut ids = filled(-1i64, train.n_rows(), k)?;
        let mut scores = filled(f32::NEG_INFINITY, train.n_rows(), k)?;
        if k == 0 {
            return Ok((ids, scores));
        }
        let blocks = ids.chunks_mut(USERS * k).zip(scores.chunks_mut(USERS * k));
        for (block, (ids, scores)) in blocks.enumerate() {
            cancel.check()?;
            ids.par_chunks_mut(k)
                .zip(scores.par_chunks_mut(k))
                .enumerate()
                .with_min_len(16)
                .for_each_init(
                    || (vec![0f32; train.n_cols()], Vec::new(), Vec::new()),
                    |(sums, touched, contenders), (offset, (ids, scores))| {
                        let history = train.row(block * USERS + offset);
                        // With many links it is cheaper to look at every item than to list those touched.
                        let n_links: usize = history.iter().map(|&item| self.degree(item)).sum();
                        if n_links > sums.len() / DENSE {
                            self.add_up(history, sums, |_| ());
                            rank_row(sums, history, ids, scores);
                            let none = ids.iter_mut().zip(scores).filter(|(_, s)| **s <= 0.0);
                            none.for_each(|(id, score)| (*id, *score) = (-1, f32::NEG_INFINITY));
                            sums.fill(0.0);
                            return;
                        }
                        self.add_up(history, sums, |item| touched.push(item));
                        for &item in history {
                            sums[item as usize] = 0.0;
                        }
                        contenders.clear();
                        for item in touched.drain(..) {
                            let sum = std::mem::take(&mut sums[item as usize]);
                            if sum > 0.0 {
                                contenders.push((sum, item));
                            }
                        }
                        if contenders.len() > k {
                            contenders.select_nth_unstable_by(k - 1, better);
                            contenders.truncate(k);
                        }
                        contenders.sort_unstable_by(better);
                        for ((id, score), &(sum, item)) in
                            ids.iter_mut().zip(scores).zip(contenders.iter())
                        {
                            *id = i64::from(item);
                            *score = sum;
                        }
                    },
                );
        }
        Ok((ids, scores))
    }

    /// Adds each item's links with a history to its sum, in the order of the history.
    #[inline]
    fn add_up(&self, history: &[u32], sums: &mut [f32], mut first: impl FnMut(u32)) {
        for &item in history {
            for (other, weight) in self.row(item) {
                let sum = &mut sums[other as usize];
                if *sum == 0.0 {
                    first(other);
                }
                *sum += weight;
            }
        }
    }

    /// For each candidate the sum of its links with the history, their number, and the largest: [U, M, 3].
    pub fn links(&self, pairs: Pairs<'_>, cancel: &Cancel) -> Result<Vec<f32>> {
        self.check(pairs.n_items())?;
        pairs.measure(
            cancel,
            || vec![0u32; pairs.n_items()],
            |places, history, candidates, out: &mut [[f32; 3]]| {
                // One more than where a candidate stands, so that 0 is none.
                for (place, &item) in (1u32..).zip(candidates) {
                    if item >= 0 {
                        places[item as usize] = place;
                    }
                }
                for &item in history {
                    for (other, weight) in self.row(item) {
                        let place = places[other as usize] as usize;
                        if place > 0 {
                            let [sum, count, largest] = &mut out[place - 1];
                            *sum += weight;
                            *count += 1.0;
                            *largest = largest.max(weight);
                        }
                    }
                }
                for &item in candidates.iter().filter(|&&item| item >= 0) {
                    places[item as usize] = 0;
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 0 – 1 (0.5), 0 – 2 (0.25), 1 – 2 (1), 3 alone; user 0 has {0, 1}, user 1 nothing.
    const OFFSETS: [i64; 5] = [0, 2, 4, 6, 6];
    const LINKS: [u32; 6] = [1, 2, 0, 2, 0, 1];
    const WEIGHTS: [f32; 6] = [0.5, 0.25, 0.5, 1.0, 0.25, 1.0];

    #[test]
    fn small_graph_by_hand() {
        let graph = ItemGraph::new(&OFFSETS, &LINKS, &WEIGHTS, 4).unwrap();
        let train = Csr::new("train", &[0, 2, 2], &[0, 1], 4).unwrap();
        let never = Cancel::new();
        let (ids, scores) = graph.best(train, 2, &never).unwrap();
        assert_eq!(ids, [2, -1, -1, -1]);
        assert_eq!(scores[0], 1.25);
        let pairs = Pairs::new(train, &[3, 2, -1, 2], 2).unwrap();
        let links = graph.links(pairs, &never).unwrap();
        assert_eq!(links[..6], [0.0, 0.0, 0.0, 1.25, 2.0, 1.0]);
        assert_eq!(links[6..], [0.0; 6]);
    }

    #[test]
    fn weights_and_sizes_are_checked() {
        let bad = [0.5, 0.25, 0.5, 0.0, 0.25, 1.0];
        assert!(matches!(
            ItemGraph::new(&OFFSETS, &LINKS, &bad, 4),
            Err(Error::Parameter { .. })
        ));
        assert!(ItemGraph::new(&OFFSETS, &LINKS, &WEIGHTS[1..], 4).is_err());
        assert!(ItemGraph::new(&OFFSETS, &LINKS, &WEIGHTS, 5).is_err());
        let graph = ItemGraph::new(&OFFSETS, &LINKS, &WEIGHTS, 4).unwrap();
        let train = Csr::new("train", &[0, 1], &[0], 3).unwrap();
        assert!(graph.best(train, 1, &Cancel::new()).is_err());
        assert!(Pairs::new(train, &[3], 1).is_err());
        assert!(Pairs::new(train, &[0, 1, 2], 2).is_err());
    }
}
