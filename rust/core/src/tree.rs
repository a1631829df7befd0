//! The index tree: balanced k-means, level by level, down to small leaves.

use rayon::prelude::*;

use crate::codes::{bits_per_level, check_branching, extend};
use crate::kmeans::{balanced_kmeans, nearest};
use crate::rng::{philox4x32, Purpose, Stream};
use crate::{Cancel, Error, Result, Vectors};

/// How to build a tree.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Children of a node, k.
    pub branching: u32,
    /// Items of a leaf at most.
    pub max_leaf_size: usize,
    /// Bounds of a child's size, relative to the mean n / k.
    pub balance: (f64, f64),
}

impl Shape {
    fn check(&self) -> Result<()> {
        check_branching(self.branching)?;
        if self.max_leaf_size == 0 {
            let value = "0".into();
            return Err(Error::Parameter {
                name: "max_leaf_size",
                value,
                allowed: "at least 1",
            });
        }
        let (low, high) = self.balance;
        if !(0.0..=1.0).contains(&low) || !(1.0..=1e9).contains(&high) {
            let value = format!("({low}, {high})");
            let allowed = "a lower bound from 0 to 1 and an upper bound from 1 to 1e9";
            return Err(Error::Parameter {
                name: "balance",
                value,
                allowed,
            });
        }
        Ok(())
    }
}

/// Nodes in breadth-first order, the root first; children of a node lie side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree {
    /// Parent of each node, -1 for the root.
    pub parent: Vec<i32>,
    /// First child of each node, -1 for a leaf.
    pub first_child: Vec<i32>,
    /// Number of children, 0 for a leaf.
    pub n_children: Vec<i32>,
    /// Distance to the root.
    pub depth: Vec<u8>,
    /// Items below each node.
    pub size: Vec<i32>,
    /// Means of the items below each node, [nodes, D].
    pub centroids: Vec<f32>,
    /// Length of a vector, D.
    pub dimensions: usize,
}

/// A tree and the codes of the items that it was built from.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The nodes.
    pub tree: Tree,
    /// Packed code of each item.
    pub packed: Vec<u64>,
    /// Depth of each item's leaf.
    pub depth: Vec<u8>,
}

struct Pending {
    node: usize,
    prefix: u64,
    members: Vec<u32>,
}

/// Builds the tree; the same inputs give the same bytes for any number of threads.
pub fn build(vectors: Vectors<'_>, shape: Shape, seed: u64, cancel: &Cancel) -> Result<Built> {
    shape.check()?;
    let n_items = vectors.n_rows();
    let bits = bits_per_level(shape.branching);
    let mut tree = Tree {
        dimensions: vectors.n_cols(),
        ..Tree::default()
    };
    let mut packed = vec![0u64; n_items];
    let mut leaf_depth = vec![0u8; n_items];

    let all: Vec<u32> = (0..n_items as u32).collect();
    let mean = mean_of(vectors, &all);
    tree.push(-1, 0, n_items, &mean);
    let mut level = vec![Pending {
        node: 0,
        prefix: 0,
        members: all,
    }];
    let mut depth = 0u32;
    while !level.is_empty() {
        cancel.check()?;
        let (split, leaves): (Vec<_>, Vec<_>) = level
            .into_iter()
            .partition(|p| p.members.len() > shape.max_leaf_size);
        for leaf in leaves {
            for item in leaf.members {
                packed[item as usize] = leaf.prefix;
                leaf_depth[item as usize] = depth as u8;
            }
        }
        if !split.is_empty() {
            // Named before the work, not after it.
            extend(0, depth, 0, bits)?;
        }
        let splits: Vec<_> = split
            .par_iter()
            .map(|pending| {
                let k = (shape.branching as usize).min(pending.members.len());
                let stream = node_stream(seed, pending.prefix, depth);
                balanced_kmeans(vectors, &pending.members, k, shape.balance, stream, cancel)
                    .map(|result| (k, result))
            })
            .collect::<Result<_>>()?;

        let mut next = Vec::new();
        for (pending, (k, result)) in split.into_iter().zip(splits) {
            let mut groups = vec![Vec::new(); k];
            for (&item, &cluster) in pending.members.iter().zip(&result.assignment) {
                groups[cluster as usize].push(item);
            }
            tree.first_child[pending.node] = tree.len() as i32;
            tree.n_children[pending.node] = k as i32;
            let width = vectors.n_cols();
            for (child, members) in groups.into_iter().enumerate() {
                let centroid = &result.centroids[child * width..(child + 1) * width];
                let prefix = extend(pending.prefix, depth, child as u32, bits)?;
                next.push(Pending {
                    node: tree.len(),
                    prefix,
                    members,
                });
                let size = next[next.len() - 1].members.len();
                tree.push(pending.node as i32, depth as u8 + 1, size, centroid);
            }
        }
        level = next;
        depth += 1;
    }
    Ok(Built {
        tree,
        packed,
        depth: leaf_depth,
    })
}

/// A node's random numbers depend on the seed and on its own path, not on the order of the work.
fn node_stream(seed: u64, prefix: u64, depth: u32) -> Stream {
    let mixed = philox4x32(
        [prefix as u32, (prefix >> 32) as u32, depth, 0],
        [seed as u32, (seed >> 32) as u32],
    );
    Stream::new(
        u64::from(mixed[0]) << 32 | u64::from(mixed[1]),
        Purpose::KMeans as u32,
        0,
    )
}

fn mean_of(vectors: Vectors<'_>, members: &[u32]) -> Vec<f64> {
    let mut mean = vec![0.0; vectors.n_cols()];
    for &member in members {
        for (m, &x) in mean.iter_mut().zip(vectors.row(member as usize)) {
            *m += f64::from(x);
        }
    }
    mean.iter_mut()
        .for_each(|m| *m /= members.len().max(1) as f64);
    mean
}

impl Tree {
    fn push(&mut self, parent: i32, depth: u8, size: usize, centroid: &[f64]) {
        self.parent.push(parent);
        self.first_child.push(-1);
        self.n_children.push(0);
        self.depth.push(depth);
        self.size.push(size as i32);
        self.centroids.extend(centroid.iter().map(|&c| c as f32));
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }
}

/// The part of a tree that encoding needs, checked.
#[derive(Debug, Clone, Copy)]
pub struct Encoder<'a> {
    first_child: &'a [i32],
    n_children: &'a [i32],
    centroids: Vectors<'a>,
    bits: u32,
}

impl<'a> Encoder<'a> {
    /// Checks that each inner node's children lie behind it and in range, hence that descents end.
    pub fn new(
        first_child: &'a [i32],
        n_children: &'a [i32],
        centroids: Vectors<'a>,
        branching: u32,
    ) -> Result<Self> {
        check_branching(branching)?;
        let n = first_child.len();
        for (name, got) in [
            ("n_children", n_children.len()),
            ("centroids", centroids.n_rows()),
        ] {
            if got != n {
                return Err(Error::Length {
                    name,
                    got,
                    expected: n,
                });
            }
        }
        if n == 0 {
            return Err(Error::BrokenTree {
                node: 0,
                reason: "there is no root",
            });
        }
        for node in 0..n {
            let (first, count) = (i64::from(first_child[node]), i64::from(n_children[node]));
            let reason = if count < 0 || count > i64::from(branching) {
                "its number of children is out of range"
            } else if count > 0 && (first <= node as i64 || first + count > n as i64) {
                "its children are out of range"
            } else {
                continue;
            };
            return Err(Error::BrokenTree { node, reason });
        }
        Ok(Self {
            first_child,
            n_children,
            centroids,
            bits: bits_per_level(branching),
        })
    }

    /// Descends to the leaf of the nearest centroids; among equals to the lower child.
    pub fn encode(&self, vectors: Vectors<'_>, cancel: &Cancel) -> Result<(Vec<u64>, Vec<u8>)> {
        if vectors.n_cols() != self.centroids.n_cols() {
            let (got, expected) = (vectors.n_cols(), self.centroids.n_cols());
            return Err(Error::Length {
                name: "a vector",
                got,
                expected,
            });
        }
        cancel.check()?;
        let codes: Vec<(u64, u8)> = (0..vectors.n_rows())
            .into_par_iter()
            .with_min_len(64)
            .map_init(Vec::new, |wide, row| self.descend(vectors.row(row), wide))
            .collect::<Result<_>>()?;
        Ok(codes.into_iter().unzip())
    }

    fn descend(&self, vector: &[f32], wide: &mut Vec<f64>) -> Result<(u64, u8)> {
        let (mut node, mut packed, mut depth) = (0usize, 0u64, 0u32);
        while self.n_children[node] > 0 {
            let first = self.first_child[node] as usize;
            wide.clear();
            for child in 0..self.n_children[node] as usize {
                wide.extend(
                    self.centroids
                        .row(first + child)
                        .iter()
                        .map(|&c| f64::from(c)),
                );
            }
            let (child, _) = nearest(vector, wide);
            packed = extend(packed, depth, child, self.bits)?;
            depth += 1;
            node = first + child as usize;
        }
        Ok((packed, depth as u8))
    }
}
