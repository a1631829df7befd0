//! Item–item Jaccard weights from users' histories.

use rayon::prelude::*;

use crate::csr::Csr;
use crate::{Cancel, Error, Result};

/// A weighted square graph in compressed rows, columns increasing.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Row offsets, [I + 1].
    pub indptr: Vec<i64>,
    /// Neighbours.
    pub indices: Vec<i32>,
    /// Weights in (0, 1].
    pub weights: Vec<f32>,
}

/// Items handled between two looks at the cancel flag.
const BATCH: usize = 4096;

/// Computes |U_i ∩ U_j| / |U_i ∪ U_j| for all pairs of items that share a user, without self loops.
pub fn jaccard(users: Csr<'_>, cancel: &Cancel) -> Result<Graph> {
    if users.n_rows() > u32::MAX as usize {
        return Err(Error::TooLarge {
            name: "the number of users",
            value: users.n_rows(),
        });
    }
    let n_items = users.n_cols();
    let (offsets, row_ids) = users.transpose();
    let degree = |item: usize| (offsets[item + 1] - offsets[item]) as u64;

    let mut graph = Graph {
        indptr: vec![0],
        indices: Vec::new(),
        weights: Vec::new(),
    };
    for start in (0..n_items).step_by(BATCH) {
        cancel.check()?;
        let rows: Vec<(Vec<i32>, Vec<f32>)> = (start..n_items.min(start + BATCH))
            .into_par_iter()
            .map_init(
                || (vec![0u32; n_items], Vec::new()),
                |(shared, touched), item| {
                    for &user in &row_ids[offsets[item] as usize..offsets[item + 1] as usize] {
                        for &other in users.row(user as usize) {
                            let count = &mut shared[other as usize];
                            if *count == 0 {
                                touched.push(other);
                            }
                            *count += 1;
                        }
                    }
                    touched.sort_unstable();
                    let mut columns = Vec::with_capacity(touched.len());
                    let mut weights = Vec::with_capacity(touched.len());
                    for other in touched.drain(..) {
                        let both = u64::from(std::mem::take(&mut shared[other as usize]));
                        if other as usize != item {
                            let either = degree(item) + degree(other as usize) - both;
                            columns.push(other as i32);
                            weights.push((both as f64 / either as f64) as f32);
                        }
                    }
                    (columns, weights)
                },
            )
            .collect();
        for (columns, weights) in rows {
            graph.indices.extend(columns);
            graph.weights.extend(weights);
            graph.indptr.push(graph.indices.len() as i64);
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_graph_by_hand() {
        // Users: {0,1}, {0,1,2}, {3}.
        let users = Csr::new("train", &[0, 2, 5, 6], &[0, 1, 0, 1, 2, 3], 5).unwrap();
        let graph = jaccard(users, &Cancel::new()).unwrap();
        assert_eq!(graph.indptr, [0, 2, 4, 6, 6, 6]);
        assert_eq!(graph.indices, [1, 2, 0, 2, 0, 1]);
        assert_eq!(graph.weights, [1.0, 0.5, 1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn a_raised_flag_stops_it() {
        let users = Csr::new("train", &[0, 1], &[0], 1).unwrap();
        let cancel = Cancel::new();
        cancel.raise();
        assert_eq!(jaccard(users, &cancel), Err(Error::Interrupted));
    }
}
