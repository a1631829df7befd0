//! Brings the sizes of clusters within bounds by the moves that cost least.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::kmeans::CHUNK;

/// Moves points between clusters until all sizes are within bounds; returns whether any moved.
///
/// `cost` is what a point contributes in a cluster; a move costs the difference.
pub fn balance_sizes(
    assignment: &mut [u32],
    k: usize,
    (least, most): (usize, usize),
    cost: impl Fn(usize, u32) -> f64 + Sync,
) -> bool {
    let mut sizes = vec![0usize; k];
    assignment
        .iter()
        .for_each(|&cluster| sizes[cluster as usize] += 1);
    let mut moved = false;
    if sizes.iter().any(|&size| size > most) {
        relocate(
            assignment,
            &mut sizes,
            &cost,
            |size| size > most,
            |size| size < most,
        );
        moved = true;
    }
    if sizes.iter().any(|&size| size < least) {
        relocate(
            assignment,
            &mut sizes,
            &cost,
            |size| size > least,
            |size| size < least,
        );
        moved = true;
    }
    debug_assert!(sizes.iter().all(|&size| (least..=most).contains(&size)));
    moved
}

/// Makes the cheapest moves from clusters that may give to clusters that may take.
///
/// A point waits with its cheapest move only, and with its next one once that move's taker is full: no
/// cluster both gives and takes, so a taker that is full and a giver that is done stay so.
fn relocate(
    assignment: &mut [u32],
    sizes: &mut [usize],
    cost: &(impl Fn(usize, u32) -> f64 + Sync),
    gives: impl Fn(usize) -> bool + Sync,
    takes: impl Fn(usize) -> bool + Sync,
) {
    let mut takers: Vec<u32> = (0..sizes.len() as u32)
        .filter(|&c| takes(sizes[c as usize]))
        .collect();
    let givers: Vec<bool> = sizes.iter().map(|&size| gives(size)).collect();
    let cheapest = |position: usize, from: u32, takers: &[u32]| {
        let stay = cost(position, from);
        takers
            .iter()
            .map(|&to| Reverse((in_order(cost(position, to) - stay), position, to)))
            .max()
    };
    let mut waiting: BinaryHeap<_> = assignment
        .par_iter()
        .with_min_len(CHUNK)
        .enumerate()
        .filter(|&(_, &from)| givers[from as usize])
        .filter_map(|(position, &from)| cheapest(position, from, &takers))
        .collect::<Vec<_>>()
        .into();
    while let Some(Reverse((_, position, to))) = waiting.pop() {
        let from = assignment[position];
        if !gives(sizes[from as usize]) {
            continue;
        }
        if takes(sizes[to as usize]) {
            assignment[position] = to;
            sizes[from as usize] -= 1;
            sizes[to as usize] += 1;
        } else {
            takers.retain(|&c| takes(sizes[c as usize]));
            waiting.extend(cheapest(position, from, &takers));
        }
    }
}

/// An integer that sorts as `f64::total_cmp` does.
fn in_order(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_points_move() {
        // Points on a line, centres at 0 and 10; five stand left, at most three may.
        let points = [0.0f64, 4.0, 1.0, 3.0, 2.0, 10.0];
        let centres = [0.0, 10.0];
        let mut assignment = [0, 0, 0, 0, 0, 1];
        let cost = |p: usize, c: u32| (points[p] - centres[c as usize]).powi(2);
        assert!(balance_sizes(&mut assignment, 2, (1, 3), cost));
        assert_eq!(assignment, [0, 1, 0, 1, 0, 1]);
        assert!(!balance_sizes(&mut assignment, 2, (1, 3), cost));
    }

    #[test]
    fn empty_clusters_are_fed() {
        let mut assignment = [0, 0, 0, 0, 0, 0];
        assert!(balance_sizes(&mut assignment, 3, (2, 6), |_, _| 0.0));
        assert_eq!(assignment, [1, 1, 2, 2, 0, 0]);
    }

    #[test]
    fn the_order_of_costs_is_kept() {
        let values = [
            f64::NEG_INFINITY,
            -2.5,
            -1e-300,
            -0.0,
            0.0,
            1e-300,
            2.5,
            f64::INFINITY,
        ];
        assert!(values.windows(2).all(|v| in_order(v[0]) < in_order(v[1])));
    }

    #[test]
    fn a_full_taker_sends_points_to_their_next_one() {
        // All want the second cluster, which has room for two; the third is the next best.
        let points = [1.0f64, 1.1, 1.2, 1.3, 0.0, 0.1];
        let centres = [0.0, 1.0, 5.0];
        let mut assignment = [0; 6];
        let cost = |p: usize, c: u32| (points[p] - centres[c as usize]).powi(2);
        assert!(balance_sizes(&mut assignment, 3, (2, 2), cost));
        assert_eq!(assignment, [2, 2, 1, 1, 0, 0]);
    }
}
