//! How near a candidate's vector is to those of the history.

use crate::pairs::Pairs;
use crate::{Cancel, Error, Result, Vectors};

const LANES: usize = 8;

/// For each candidate the mean and the largest dot product with the vectors of the history: [U, M, 2].
///
/// Zeros where a history is empty. Of unit vectors these are cosines.
pub fn history_dots(vectors: Vectors<'_>, pairs: Pairs<'_>, cancel: &Cancel) -> Result<Vec<f32>> {
    if vectors.n_rows() != pairs.n_items() {
        return Err(Error::Length {
            name: "vectors",
            got: vectors.n_rows(),
            expected: pairs.n_items(),
        });
    }
    pairs.measure(
        cancel,
        || (),
        |(), history, candidates, out: &mut [[f32; 2]]| {
            if history.is_empty() {
                return;
            }
            for ([mean, largest], &item) in out.iter_mut().zip(candidates) {
                if item < 0 {
                    continue;
                }
                let own = vectors.row(item as usize);
                let (mut sum, mut most) = (0f64, f32::NEG_INFINITY);
                for &seen in history {
                    let product = dot(own, vectors.row(seen as usize));
                    sum += f64::from(product);
                    most = most.max(product);
                }
                *mean = (sum / history.len() as f64) as f32;
                *largest = most;
            }
        },
    )
}

/// The order of the additions is fixed, several at a time.
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::Csr;

    #[test]
    fn small_case_by_hand() {
        // Ten numbers each, so that eight go together and two alone.
        let mut data = [0f32; 30];
        (data[0], data[9]) = (1.0, 2.0);
        (data[10], data[19]) = (3.0, 1.0);
        data[20] = -1.0;
        let vectors = Vectors::new("vectors", &data, 3, 10).unwrap();
        let train = Csr::new("train", &[0, 2, 2], &[1, 2], 3).unwrap();
        let pairs = Pairs::new(train, &[0, -1, 0, 1], 2).unwrap();
        let found = history_dots(vectors, pairs, &Cancel::new()).unwrap();
        assert_eq!(found, [2.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
