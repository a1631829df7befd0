//! What holds for all inputs.

use std::sync::Arc;

use dtlns_core::codes::{bits_per_level, common_prefix, pack, Codes};
use dtlns_core::csr::Csr;
use dtlns_core::jaccard::jaccard;
use dtlns_core::kmeans::{balanced_kmeans, size_bounds};
use dtlns_core::ordered::{Ordered, Ranges};
use dtlns_core::ranking::top_k;
use dtlns_core::rng::{Purpose, Stream};
use dtlns_core::sampling::{Batch, Pool};
use dtlns_core::tree::{build, Shape};
use dtlns_core::weighted::Weighted;
use dtlns_core::{Cancel, Vectors};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

/// Offsets and columns of a matrix with the given rows.
fn rows_to_csr(rows: &[std::collections::BTreeSet<u32>]) -> (Vec<i64>, Vec<u32>) {
    let mut indptr = vec![0];
    let mut indices = Vec::new();
    for row in rows {
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    (indptr, indices)
}

fn naive_prefix(a: &[i64], b: &[i64]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn path(branching: u32) -> impl Strategy<Value = Vec<i64>> {
    let most = (64 / bits_per_level(branching)) as usize;
    vec(
        prop_oneof![0..2i64, 0..i64::from(branching)],
        0..=most.min(8),
    )
}

proptest! {
    #[test]
    fn bounds_can_always_be_kept(n in 1usize..5000, k in 1usize..40, low in 0.0..=1.0f64, high in 1.0..9.0f64) {
        prop_assume!(k <= n);
        let (least, most) = size_bounds(n, k, (low, high));
        prop_assert!(1 <= least && least <= most && most <= n);
        prop_assert!(least * k <= n && n <= most * k);
    }

    #[test]
    fn clusters_keep_their_bounds(
        data in vec(prop_oneof![Just(0.0f32), Just(1.0), -5.0..5.0f32], 3..240),
        k in 1usize..9,
        low in 0.0..=1.0f64,
        high in 1.0..3.0f64,
        seed: u64,
    ) {
        let n = data.len() / 3;
        prop_assume!(k <= n);
        let vectors = Vectors::new("vectors", &data[..n * 3], n, 3).unwrap();
        let members: Vec<u32> = (0..n as u32).collect();
        let stream = Stream::new(seed, Purpose::KMeans as u32, 0);
        let split =
            balanced_kmeans(vectors, &members, k, (low, high), stream, &Cancel::new()).unwrap();
        let (least, most) = size_bounds(n, k, (low, high));
        for cluster in 0..k as u32 {
            let size = split.assignment.iter().filter(|&&c| c == cluster).count();
            prop_assert!((least..=most).contains(&size), "{size} not in {least}..={most}");
        }
    }

    #[test]
    fn packed_and_naive_prefixes_agree(
        (branching, a, b) in prop_oneof![Just(2u32), Just(3), Just(4), Just(9), Just(65_536)]
            .prop_flat_map(|k| (Just(k), path(k), path(k)))
    ) {
        let children: Vec<i64> = a.iter().chain(&b).copied().collect();
        let lengths = [a.len() as i64, b.len() as i64];
        let (packed, depth) = pack(&children, &lengths, branching).unwrap();
        let codes = Codes::new(&packed, &depth, branching).unwrap();
        prop_assert_eq!(usize::from(codes.prefix_length(0, 1)), naive_prefix(&a, &b));
        let back: Vec<i64> = codes.unpack().into_iter().map(i64::from).collect();
        prop_assert_eq!(back, children);
        let pairs = ((packed[0], depth[0]), (packed[1], depth[1]));
        // Packed codes are in the order of their paths, the shorter one first.
        prop_assert_eq!(pairs.0.cmp(&pairs.1), a.cmp(&b));
        prop_assert_eq!(common_prefix(pairs.0, pairs.0, bits_per_level(branching)), depth[0]);
    }

    #[test]
    fn two_neighbours_are_enough(paths in vec(path(3), 1..30), history in btree_set(0u32..30, 0..12)) {
        let children: Vec<i64> = paths.concat();
        let lengths: Vec<i64> = paths.iter().map(|p| p.len() as i64).collect();
        let (packed, depth) = pack(&children, &lengths, 3).unwrap();
        let codes = Codes::new(&packed, &depth, 3).unwrap();
        let history = history.into_iter().filter(|&i| (i as usize) < paths.len()).collect();
        let (indptr, indices) = rows_to_csr(&[history]);
        let train = Csr::new("train", &indptr, &indices, paths.len()).unwrap();
        let found = codes.deepest_prefix(train, &[0], None, &Cancel::new()).unwrap();
        for (path, deepest) in paths.iter().zip(found) {
            let all = indices.iter().map(|&h| naive_prefix(path, &paths[h as usize]));
            prop_assert_eq!(deepest as usize, all.max().unwrap_or(0));
        }
    }

    #[test]
    fn draws_are_allowed_ones(forbidden in btree_set(0u32..40, 0..39), n_items in 40usize..60, seed: u64) {
        let (indptr, indices) = rows_to_csr(std::slice::from_ref(&forbidden));
        let train = Csr::new("train", &indptr, &indices, n_items).unwrap();
        let batch = Batch { users: &[0], rows: &[0], n: 50 };
        let drawn = Pool::new(train, None).unwrap().draw(batch, Stream::new(seed, 1, 0), &Cancel::new()).unwrap();
        for item in drawn {
            prop_assert!((0..n_items as i64).contains(&item) && !forbidden.contains(&(item as u32)));
        }
    }

    #[test]
    fn weighted_draws_and_draws_within_are_allowed_ones(
        forbidden in btree_set(0u32..40, 0..39),
        weights in vec(prop_oneof![1u32..4, 1u32..(1 << 26)], 41..60),
        ends in btree_set(0i64..41, 2..5),
        seed: u64,
    ) {
        let n_items = weights.len();
        let (indptr, indices) = rows_to_csr(std::slice::from_ref(&forbidden));
        let train = Csr::new("train", &indptr, &indices, n_items).unwrap();
        let pool = Arc::new(Pool::new(train, None).unwrap());
        let batch = Batch { users: &[0], rows: &[0], n: 50 };
        let stream = Stream::new(seed, 9, 0);
        let weighted = Weighted::new(Arc::clone(&pool), &weights).unwrap();
        for item in weighted.draw(batch, stream, &Cancel::new()).unwrap() {
            prop_assert!((0..n_items as i64).contains(&item) && !forbidden.contains(&(item as u32)));
        }

        let order = stream.sequence(1).permutation(n_items as u32);
        let ends: Vec<i64> = ends.into_iter().collect();
        let low: Vec<i64> = ends.iter().copied().step_by(2).take(ends.len() / 2).collect();
        let high: Vec<i64> = ends.iter().copied().skip(1).step_by(2).collect();
        let ranges = Ranges { low: &low, high: &high, per_row: high.len() };
        let ordered = Ordered::new(pool, &order).unwrap();
        let inside: Vec<i64> = low
            .iter()
            .zip(&high)
            .flat_map(|(&low, &high)| &order[low as usize..high as usize])
            .filter(|&item| !forbidden.contains(item))
            .map(|&item| i64::from(item))
            .collect();
        prop_assert_eq!(ordered.available(&[0], ranges).unwrap(), vec![inside.len() as i64]);
        match ordered.draw(batch, ranges, stream, &Cancel::new()) {
            Ok(drawn) => prop_assert!(drawn.iter().all(|item| inside.contains(item))),
            Err(_) => prop_assert!(inside.is_empty()),
        }
    }

    #[test]
    fn ranking_is_sorting(scores in vec(prop_oneof![Just(0.0f32), -3.0..3.0f32], 1..300), k in 0usize..40) {
        let (ids, best) = top_k(&scores, 1, scores.len(), k, None).unwrap();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        for place in 0..k {
            match order.get(place) {
                Some(&item) => prop_assert_eq!((ids[place], best[place]), (item as i64, scores[item])),
                None => prop_assert_eq!((ids[place], best[place]), (-1, f32::NEG_INFINITY)),
            }
        }
    }

    #[test]
    fn jaccard_is_symmetric_and_in_range(rows in vec(btree_set(0u32..12, 0..8), 0..12)) {
        let (indptr, indices) = rows_to_csr(&rows);
        let graph = jaccard(Csr::new("train", &indptr, &indices, 12).unwrap(), &Cancel::new()).unwrap();
        let row = |item: usize| graph.indptr[item] as usize..graph.indptr[item + 1] as usize;
        let weight = |a: usize, b: usize| {
            row(a).find(|&at| graph.indices[at] == b as i32).map(|at| graph.weights[at])
        };
        for a in 0..12 {
            prop_assert_eq!(weight(a, a), None);
            for b in 0..12 {
                prop_assert_eq!(weight(a, b), weight(b, a));
                prop_assert!(weight(a, b).is_none_or(|w| 0.0 < w && w <= 1.0));
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_tree() {
    let stream = Stream::new(1, Purpose::User as u32, 0);
    let data: Vec<f32> = (0..5_000)
        .flat_map(|row| (0..8).map(move |c| stream.unit(row, c)))
        .collect();
    let vectors = Vectors::new("vectors", &data, 5_000, 8).unwrap();
    let shape = Shape {
        branching: 4,
        max_leaf_size: 30,
        balance: (0.4, 1.6),
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| build(vectors, shape, 7, &Cancel::new()).unwrap())
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(8));
}

#[test]
fn any_number_of_threads_gives_the_same_draws() {
    let rows: Vec<_> = (0..50u32)
        .map(|user| (0..user).map(|item| item * 3).collect())
        .collect();
    let (indptr, indices) = rows_to_csr(&rows);
    let train = Csr::new("train", &indptr, &indices, 200).unwrap();
    let pool = Arc::new(Pool::new(train, None).unwrap());
    let weighted = Weighted::new(Arc::clone(&pool), &(1..=200).collect::<Vec<_>>()).unwrap();
    let order: Vec<u32> = (0..200).rev().collect();
    let ordered = Ordered::new(Arc::clone(&pool), &order).unwrap();
    let numbers: Vec<i64> = (0..5_000).collect();
    let users: Vec<i64> = numbers.iter().map(|row| row % 50).collect();
    let batch = Batch {
        users: &users,
        rows: &numbers,
        n: 3,
    };
    let ranges = Ranges {
        low: &[3; 5_000],
        high: &[90; 5_000],
        per_row: 1,
    };
    let stream = Stream::new(4, 1, 0);
    let with = |threads| {
        let workers = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let never = Cancel::new();
        workers.install(|| {
            (
                pool.draw(batch, stream, &never),
                weighted.draw(batch, stream, &never),
                ordered.draw(batch, ranges, stream, &never),
                pool.allowed(&users, &numbers[..200], 200, true, &never),
            )
        })
    };
    let one = with(1);
    assert!(one.0.is_ok() && one.1.is_ok() && one.2.is_ok() && one.3.is_ok());
    assert_eq!(one, with(2));
    assert_eq!(one, with(8));
}

#[test]
fn a_raised_flag_stops_a_tree() {
    let data = vec![1.0f32; 100];
    let vectors = Vectors::new("vectors", &data, 100, 1).unwrap();
    let shape = Shape {
        branching: 2,
        max_leaf_size: 1,
        balance: (0.4, 1.6),
    };
    let cancel = Cancel::new();
    cancel.raise();
    assert_eq!(
        build(vectors, shape, 0, &cancel),
        Err(dtlns_core::Error::Interrupted)
    );
}
