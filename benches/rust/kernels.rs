//! Speed of the kernels on made-up data of about the size of Amazon-sports: `cargo bench`.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use dtlns_core::codes::Codes;
use dtlns_core::csr::Csr;
use dtlns_core::jaccard::jaccard;
use dtlns_core::ordered::{Ordered, Ranges};
use dtlns_core::ranking::top_k;
use dtlns_core::rng::{Purpose, Stream};
use dtlns_core::sampling::{Batch, Pool};
use dtlns_core::tree::{build, Shape};
use dtlns_core::weighted::Weighted;
use dtlns_core::{Cancel, Vectors};

const USERS: usize = 15_000;
const ITEMS: usize = 8_000;
const HISTORY: usize = 11;
const DIMENSIONS: usize = 64;

fn histories() -> (Vec<i64>, Vec<u32>) {
    let stream = Stream::new(1, Purpose::User as u32, 0);
    let (mut indptr, mut indices) = (vec![0], Vec::new());
    for user in 0..USERS as u64 {
        // The square makes some items popular.
        let draw = |d| (stream.unit(user, d).powi(2) * ITEMS as f32) as u32;
        let row: std::collections::BTreeSet<u32> = (0..HISTORY as u32).map(draw).collect();
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    (indptr, indices)
}

fn unit_numbers(rows: usize, columns: usize) -> Vec<f32> {
    let stream = Stream::new(2, Purpose::User as u32, 0);
    (0..rows as u64)
        .flat_map(|r| (0..columns as u32).map(move |c| stream.unit(r, c)))
        .collect()
}

fn kernels(criterion: &mut Criterion) {
    let never = Cancel::new();
    let (indptr, indices) = histories();
    let train = Csr::new("train", &indptr, &indices, ITEMS).unwrap();
    let data = unit_numbers(ITEMS, DIMENSIONS);
    let vectors = Vectors::new("vectors", &data, ITEMS, DIMENSIONS).unwrap();
    let shape = Shape {
        branching: 4,
        max_leaf_size: 30,
        balance: (0.4, 1.6),
    };
    let built = build(vectors, shape, 0, &never).unwrap();
    let codes = Codes::new(&built.packed, &built.depth, 4).unwrap();

    let mut group = criterion.benchmark_group("kernels");
    group.sample_size(10);
    group.bench_function("jaccard graph of 15,000 users", |b| {
        b.iter(|| jaccard(black_box(train), &never))
    });
    group.bench_function("tree of 8,000 x 64", |b| {
        b.iter(|| build(black_box(vectors), shape, 0, &never))
    });

    let users: Vec<i64> = (0..1000).collect();
    group.throughput(Throughput::Elements((users.len() * ITEMS) as u64));
    group.bench_function("deepest prefix, 1,000 users x all items", |b| {
        b.iter(|| codes.deepest_prefix(train, black_box(&users), None, &never))
    });
    let candidates: Vec<i64> = (0..users.len() * 1000)
        .map(|i| (i * 7919 % ITEMS) as i64)
        .collect();
    group.throughput(Throughput::Elements(candidates.len() as u64));
    group.bench_function("deepest prefix, 1,000 users x 1,000 candidates", |b| {
        b.iter(|| codes.deepest_prefix(train, black_box(&users), Some(&candidates), &never))
    });

    let all: Vec<i64> = (0..1000).collect();
    let ids = ndarray::Array1::from(all);
    let (a, b) = (
        ids.view().insert_axis(ndarray::Axis(1)).into_dyn(),
        ids.view().into_dyn(),
    );
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("similarity of 1,000 x 1,000 items", |bench| {
        bench.iter(|| codes.similarities(black_box(a.clone()), black_box(b.clone())))
    });

    let pool = Arc::new(Pool::new(train, None).unwrap());
    let rows: Vec<i64> = (0..indices.len() as i64).collect();
    let owners: Vec<i64> = (0..USERS)
        .flat_map(|u| std::iter::repeat_n(u as i64, (indptr[u + 1] - indptr[u]) as usize))
        .collect();
    let batch = Batch {
        users: &owners,
        rows: &rows,
        n: 10,
    };
    let stream = Stream::new(1, Purpose::Negatives as u32, 0);
    group.throughput(Throughput::Elements(rows.len() as u64 * 10));
    group.bench_function("10 negatives for each interaction", |b| {
        b.iter(|| pool.draw(black_box(batch), stream, &never))
    });

    let weights: Vec<u32> = (1..=ITEMS as u32).collect();
    let weighted = Weighted::new(Arc::clone(&pool), &weights).unwrap();
    group.bench_function("10 negatives by weight for each interaction", |b| {
        b.iter(|| weighted.draw(black_box(batch), stream, &never))
    });
    let order = Stream::new(2, Purpose::Shuffle as u32, 0)
        .sequence(0)
        .permutation(ITEMS as u32);
    let ordered = Ordered::new(Arc::clone(&pool), &order).unwrap();
    // A parent's range without the leaf in its middle, as among siblings.
    let firsts = rows.iter().map(|row| row % (ITEMS as i64 - 120));
    let low: Vec<i64> = firsts.flat_map(|first| [first, first + 60]).collect();
    let high: Vec<i64> = low.iter().map(|low| low + 30).collect();
    let ranges = Ranges {
        low: &low,
        high: &high,
        per_row: 2,
    };
    group.bench_function("10 negatives within two ranges for each interaction", |b| {
        b.iter(|| ordered.draw(black_box(batch), ranges, stream, &never))
    });
    let shared: Vec<i64> = (0..512).map(|i| i * 7919 % ITEMS as i64).collect();
    let asked = &owners[..2048];
    group.throughput(Throughput::Elements(2048 * 512));
    group.bench_function("which of 512 shared items are allowed, 2,048 users", |b| {
        b.iter(|| pool.allowed(black_box(asked), &shared, 512, true, &never))
    });

    let scores = unit_numbers(1024, ITEMS);
    let seen: Vec<i64> = (0..1024).collect();
    group.throughput(Throughput::Elements(scores.len() as u64));
    group.bench_function("top 20 of 1,024 x 8,000", |b| {
        b.iter(|| top_k(black_box(&scores), 1024, ITEMS, 20, Some((train, &seen))))
    });
    group.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
