//! Brings the sizes of clusters within bounds by the moves that cost least.

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
/// One pass over the sorted moves is enough: no cluster both gives and takes, so a move that was passed
/// over, because its taker was full or its giver done, never becomes possible again.
fn relocate(
    assignment: &mut [u32],
    sizes: &mut [usize],
    cost: &(impl Fn(usize, u32) -> f64 + Sync),
    gives: impl Fn(usize) -> bool + Sync,
    takes: impl Fn(usize) -> bool + Sync,
) {
    let takers: Vec<u32> = (0..sizes.len() as u32)
        .filter(|&c| takes(sizes[c as usize]))
        .collect();
    let givers: Vec<bool> = sizes.iter().map(|&size| gives(size)).collect();
    let mut moves: Vec<(f64, u32, u32)> = assignment
        .par_iter()
        .with_min_len(CHUNK)
        .enumerate()
        .filter(|&(_, &from)| givers[from as usize])
        .flat_map_iter(|(position, &from)| {
            let stay = cost(position, from);
            takers
                .iter()
                .map(move |&to| (cost(position, to) - stay, position as u32, to))
        })
        .collect();
    moves.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    let mut moved = vec![false; assignment.len()];
    for (_, position, to) in moves {
        let (position, to) = (position as usize, to as usize);
        let from = assignment[position] as usize;
        if !moved[position] && gives(sizes[from]) && takes(sizes[to]) {
            assignment[position] = to as u32;
            sizes[from] -= 1;
            sizes[to] += 1;
            moved[position] = true;
        }
    }
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
}
