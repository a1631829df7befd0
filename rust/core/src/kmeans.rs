//! Balanced k-means of a subset of vectors: greedy k-means++, Lloyd, then the cheapest moves that bring
//! every cluster's size within its bounds.

use rayon::prelude::*;

use crate::balance::balance_sizes;
use crate::rng::{Sequence, Stream};
use crate::{Cancel, Result, Vectors};

/// Points that one reduction handles; fixed, so that sums do not depend on the number of threads.
pub(crate) const CHUNK: usize = 2048;
/// Rounds of Lloyd's algorithm at most.
const MAX_ROUNDS: usize = 50;
/// Lloyd stops when inertia falls by less than this share.
const TOLERANCE: f64 = 1e-5;
/// Starts from other seeds; the best after balancing wins.
const RESTARTS: u64 = 3;
/// Rounds of assigning, balancing and averaging after the first balance.
const BALANCED_ROUNDS: usize = 5;

/// The smallest and largest size of a child when `n` points are split into `k` children.
///
/// The tiny slack keeps products such as 1.6 · 35 / 4 from rounding across an integer.
pub fn size_bounds(n: usize, k: usize, balance: (f64, f64)) -> (usize, usize) {
    let mean = n as f64 / k as f64;
    let least = ((balance.0 * mean + 1e-9).floor() as usize).max(1);
    let most = ((balance.1 * mean - 1e-9).ceil().max(1.0) as usize).min(n);
    (least, most)
}

/// A split of some points into clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The cluster of each member, in the order of the members.
    pub assignment: Vec<u32>,
    /// Means of the final members, [k, D].
    pub centroids: Vec<f64>,
    /// Sum of squared distances to the centroids.
    pub inertia: f64,
}

/// Splits `members` into `k` clusters whose sizes keep [`size_bounds`]; needs 1 ≤ k ≤ members.
pub fn balanced_kmeans(
    vectors: Vectors<'_>,
    members: &[u32],
    k: usize,
    balance: (f64, f64),
    stream: Stream,
    cancel: &Cancel,
) -> Result<Split> {
    let problem = Problem {
        vectors,
        members,
        k,
        bounds: size_bounds(members.len(), k, balance),
    };
    if members
        .iter()
        .all(|&m| vectors.row(m as usize) == vectors.row(members[0] as usize))
    {
        return Ok(problem.cut_evenly());
    }
    let mut best: Option<Split> = None;
    for restart in 0..RESTARTS {
        let split = problem.solve(&mut stream.sequence(restart), cancel)?;
        if best.as_ref().is_none_or(|b| split.inertia < b.inertia) {
            best = Some(split);
        }
    }
    let mut split = best.expect("there is at least one restart");
    problem.number_by_first_member(&mut split);
    Ok(split)
}

/// Squared distance, summed in eight lanes: fast, and always in the same order.
#[inline]
pub(crate) fn squared_distance(point: &[f32], centroid: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (heads, centroid_heads) = (point.chunks_exact(8), centroid.chunks_exact(8));
    let (tail, centroid_tail) = (heads.remainder(), centroid_heads.remainder());
    for (p, c) in heads.zip(centroid_heads) {
        for lane in 0..8 {
            let difference = f64::from(p[lane]) - c[lane];
            lanes[lane] += difference * difference;
        }
    }
    for (lane, (&p, &c)) in tail.iter().zip(centroid_tail).enumerate() {
        let difference = f64::from(p) - c;
        lanes[lane] += difference * difference;
    }
    ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))
        + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))
}

/// The nearest of the centroids, the lower index among equals, and its squared distance.
#[inline]
pub(crate) fn nearest(point: &[f32], centroids: &[f64]) -> (u32, f64) {
    let mut best = (0, f64::INFINITY);
    if point.is_empty() {
        return (0, 0.0);
    }
    for (index, centroid) in centroids.chunks_exact(point.len()).enumerate() {
        let distance = squared_distance(point, centroid);
        if distance < best.1 {
            best = (index as u32, distance);
        }
    }
    best
}

struct Problem<'a> {
    vectors: Vectors<'a>,
    members: &'a [u32],
    k: usize,
    bounds: (usize, usize),
}

impl Problem<'_> {
    fn point(&self, position: usize) -> &[f32] {
        self.vectors.row(self.members[position] as usize)
    }

    fn centroid<'c>(&self, centroids: &'c [f64], cluster: usize) -> &'c [f64] {
        let d = self.vectors.n_cols();
        &centroids[cluster * d..(cluster + 1) * d]
    }

    /// Equal points: runs of equal length, for no distance tells them apart.
    fn cut_evenly(&self) -> Split {
        let n = self.members.len();
        let assignment: Vec<u32> = (0..n)
            .map(|position| (position * self.k / n) as u32)
            .collect();
        let old = vec![0.0; self.k * self.vectors.n_cols()];
        let centroids = self.means(&assignment, &old, &vec![0.0; n]);
        Split {
            assignment,
            centroids,
            inertia: 0.0,
        }
    }

    /// Numbers clusters by their first member: seeding's order has no meaning.
    fn number_by_first_member(&self, split: &mut Split) {
        let mut order: Vec<u32> = Vec::with_capacity(self.k);
        let mut number = vec![u32::MAX; self.k];
        for &cluster in &split.assignment {
            let new = &mut number[cluster as usize];
            if *new == u32::MAX {
                *new = order.len() as u32;
                order.push(cluster);
            }
        }
        split
            .assignment
            .iter_mut()
            .for_each(|c| *c = number[*c as usize]);
        split.centroids = order
            .iter()
            .flat_map(|&old| self.centroid(&split.centroids, old as usize).to_vec())
            .collect();
    }

    fn solve(&self, random: &mut Sequence, cancel: &Cancel) -> Result<Split> {
        let mut centroids = self.seed(random, cancel)?;
        let mut before = f64::INFINITY;
        for _ in 0..MAX_ROUNDS {
            cancel.check()?;
            let (assignment, distances) = self.assign(&centroids);
            let inertia = chunked_sum(&distances);
            centroids = self.means(&assignment, &centroids, &distances);
            if before - inertia <= TOLERANCE * inertia {
                break;
            }
            before = inertia;
        }

        let mut best: Option<Split> = None;
        for _ in 0..BALANCED_ROUNDS {
            cancel.check()?;
            let (mut assignment, _) = self.assign(&centroids);
            let cost = |position: usize, cluster: u32| {
                squared_distance(
                    self.point(position),
                    self.centroid(&centroids, cluster as usize),
                )
            };
            let moved = balance_sizes(&mut assignment, self.k, self.bounds, cost);
            let zeros = vec![0.0; self.members.len()];
            centroids = self.means(&assignment, &centroids, &zeros);
            let inertia = self.inertia(&assignment, &centroids);
            if best
                .as_ref()
                .is_some_and(|b| inertia >= b.inertia * (1.0 - TOLERANCE))
            {
                break;
            }
            best = Some(Split {
                assignment,
                centroids: centroids.clone(),
                inertia,
            });
            if !moved {
                break;
            }
        }
        Ok(best.expect("the first balanced round always counts"))
    }

    /// Greedy k-means++ (Arthur and Vassilvitskii 2007): of a few draws by squared distance, the one
    /// that lowers inertia most.
    fn seed(&self, random: &mut Sequence, cancel: &Cancel) -> Result<Vec<f64>> {
        let n = self.members.len();
        let trials = 2 + (self.k as f64).ln() as usize;
        let widen = |position: usize| {
            self.point(position)
                .iter()
                .map(|&x| f64::from(x))
                .collect::<Vec<_>>()
        };
        let mut centroids = widen(random.below(n as u32) as usize);
        let mut distances = self.distances_to(&centroids, None);
        for _ in 1..self.k {
            cancel.check()?;
            let (best, updated) = (0..trials)
                .map(|_| {
                    let position = draw_by_weight(&distances, random);
                    (
                        position,
                        self.distances_to(&widen(position), Some(&distances)),
                    )
                })
                .map(|(position, updated)| (position, chunked_sum(&updated), updated))
                .reduce(|a, b| if b.1 < a.1 { b } else { a })
                .map(|(position, _, updated)| (position, updated))
                .expect("there is at least one trial");
            centroids.extend(widen(best));
            distances = updated;
        }
        Ok(centroids)
    }

    /// Squared distances to one centroid, or to the closer of it and what was there before.
    fn distances_to(&self, centroid: &[f64], before: Option<&[f64]>) -> Vec<f64> {
        let one = |position: usize| {
            let distance = squared_distance(self.point(position), centroid);
            before.map_or(distance, |b| distance.min(b[position]))
        };
        (0..self.members.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .map(one)
            .collect()
    }

    fn assign(&self, centroids: &[f64]) -> (Vec<u32>, Vec<f64>) {
        (0..self.members.len())
            .into_par_iter()
            .with_min_len(CHUNK)
            .map(|position| nearest(self.point(position), centroids))
            .unzip()
    }

    /// Means of the clusters; an empty one takes the point that is farthest from its own centroid.
    fn means(&self, assignment: &[u32], old: &[f64], distances: &[f64]) -> Vec<f64> {
        let d = self.vectors.n_cols();
        // Every chunk holds k sums; longer chunks keep them smaller than the vectors themselves.
        let length = CHUNK.max(4 * self.k);
        let parts: Vec<(Vec<f64>, Vec<usize>)> = assignment
            .par_chunks(length)
            .enumerate()
            .map(|(chunk, clusters)| {
                let mut sums = vec![0.0; self.k * d];
                let mut counts = vec![0; self.k];
                for (offset, &cluster) in clusters.iter().enumerate() {
                    let cluster = cluster as usize;
                    counts[cluster] += 1;
                    let sum = &mut sums[cluster * d..(cluster + 1) * d];
                    for (s, &x) in sum.iter_mut().zip(self.point(chunk * length + offset)) {
                        *s += f64::from(x);
                    }
                }
                (sums, counts)
            })
            .collect();
        let mut means = vec![0.0; self.k * d];
        let mut counts = vec![0; self.k];
        for (sums, sizes) in parts {
            means.iter_mut().zip(sums).for_each(|(m, s)| *m += s);
            counts.iter_mut().zip(sizes).for_each(|(c, s)| *c += s);
        }

        let mut farthest: Option<Vec<usize>> = None;
        for cluster in 0..self.k {
            let mean = &mut means[cluster * d..(cluster + 1) * d];
            if counts[cluster] > 0 {
                mean.iter_mut().for_each(|m| *m /= counts[cluster] as f64);
                continue;
            }
            let order = farthest.get_or_insert_with(|| {
                let mut order: Vec<usize> = (0..distances.len()).collect();
                order.sort_unstable_by(|&a, &b| {
                    distances[b].total_cmp(&distances[a]).then(a.cmp(&b))
                });
                order.truncate(self.k);
                order.reverse();
                order
            });
            match order.pop() {
                Some(position) if distances[position] > 0.0 => {
                    for (m, &x) in mean.iter_mut().zip(self.point(position)) {
                        *m = f64::from(x);
                    }
                }
                // All points sit on centroids: duplicates. Balancing will fill the cluster.
                _ => mean.copy_from_slice(self.centroid(old, cluster)),
            }
        }
        means
    }

    fn inertia(&self, assignment: &[u32], centroids: &[f64]) -> f64 {
        let distances: Vec<f64> = assignment
            .par_iter()
            .with_min_len(CHUNK)
            .enumerate()
            .map(|(position, &c)| {
                squared_distance(self.point(position), self.centroid(centroids, c as usize))
            })
            .collect();
        chunked_sum(&distances)
    }
}

/// A sum in fixed chunks, so that any number of threads gives the same bits.
fn chunked_sum(values: &[f64]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().sum())
        .collect();
    parts.iter().sum()
}

/// A position drawn with chance proportional to its weight; uniform where all weights are 0.
fn draw_by_weight(weights: &[f64], random: &mut Sequence) -> usize {
    let parts: Vec<f64> = weights
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().sum())
        .collect();
    let total: f64 = parts.iter().sum();
    if total <= 0.0 {
        return random.below(weights.len() as u32) as usize;
    }
    let mut left = random.unit() * total;
    let mut last = 0;
    for (chunk, part) in parts.iter().enumerate() {
        if left >= *part {
            left -= part;
            continue;
        }
        let start = chunk * CHUNK;
        for (offset, &weight) in weights[start..weights.len().min(start + CHUNK)]
            .iter()
            .enumerate()
        {
            if weight > 0.0 {
                last = start + offset;
                if left < weight {
                    return last;
                }
                left -= weight;
            }
        }
        return last;
    }
    // Rounding carried the draw past the end: the last point that has weight.
    weights.iter().rposition(|&w| w > 0.0).unwrap_or(last)
}
