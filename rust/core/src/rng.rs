//! Philox4x32-10, a counter-based generator: any draw can be computed by itself, in any order.
//!
//! Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3* (SC 2011).

use crate::{Error, Result};

/// Version of everything below; a change of any drawn value raises it.
pub const STREAM_VERSION: u32 = 1;

/// What random numbers are for; different purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Negative items.
    Negatives = 1,
    /// Seeding of k-means.
    KMeans = 2,
    /// Permutations of path codes.
    Shuffle = 3,
    /// The first of the streams of plain numbers that callers number themselves.
    User = 1 << 16,
    /// The first of the further streams of negative items.
    Further = 0xC000_0000,
    /// The first of the streams of items drawn by weight.
    Weighted = 0xD000_0000,
    /// The first of the streams of items drawn within ranges.
    Within = 0xE000_0000,
}

/// Numbers that a caller can give to streams of items.
pub const ITEM_STREAMS: u32 = 1 << 28;

impl Purpose {
    /// The stream with a caller's own number among those of a purpose; 0 is the one drawn from by default.
    pub fn numbered(self, number: u32) -> Result<u32> {
        let (first, bound) = match self {
            Self::Negatives if number > 0 => (Self::Further, ITEM_STREAMS),
            Self::User => (Self::User, 1 << 31),
            _ => (self, ITEM_STREAMS),
        };
        if number >= bound {
            return Err(Error::Parameter {
                name: "purpose",
                value: number.to_string(),
                allowed: "below 2^28 for items, below 2^31 for numbers",
            });
        }
        Ok(first as u32 + number)
    }
}

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox over one counter.
#[inline]
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let second = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// A stream of random numbers, addressed by (row, draw), keyed by (seed, purpose, epoch).
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// Makes the stream of a purpose; `purpose` is a [`Purpose`] or `Purpose::User + n`.
    pub fn new(seed: u64, purpose: u32, epoch: u64) -> Self {
        let [low, high] = split(epoch);
        let mixed = philox4x32([low, high, purpose, STREAM_VERSION], split(seed));
        Self {
            key: [mixed[0], mixed[1]],
        }
    }

    /// Four random words for one address; `attempt` tells apart what one address needs more of.
    #[inline]
    pub fn block(&self, row: u64, draw: u32, attempt: u32) -> [u32; 4] {
        let [low, high] = split(row);
        philox4x32([low, high, draw, attempt], self.key)
    }

    /// An exactly uniform integer in `0..bound`, by multiplication with rejection (Lemire 2019).
    ///
    /// `bound` must not be 0.
    #[inline]
    pub fn below(&self, row: u64, draw: u32, bound: u32) -> u32 {
        debug_assert!(bound > 0);
        let mut attempt = 0;
        loop {
            for word in self.block(row, draw, attempt) {
                let product = u64::from(word) * u64::from(bound);
                let low = product as u32;
                // The division is needed for a low part below the bound only, hence almost never.
                if low >= bound || low >= bound.wrapping_neg() % bound {
                    return (product >> 32) as u32;
                }
            }
            attempt += 1;
        }
    }

    /// As [`below`](Self::below), from 64 random bits: for bounds up to 2^32, where 32 bits would be
    /// rejected often, one word in 2^32 is. `bound` must not be 0.
    #[inline]
    pub fn below_wide(&self, row: u64, draw: u32, bound: u32) -> u32 {
        debug_assert!(bound > 0);
        let bound = u64::from(bound);
        let mut attempt = 0;
        loop {
            let [a, b, c, d] = self.block(row, draw, attempt);
            for word in [join(a, b), join(c, d)] {
                let product = u128::from(word) * u128::from(bound);
                let low = product as u64;
                if low >= bound || low >= bound.wrapping_neg() % bound {
                    return (product >> 64) as u32;
                }
            }
            attempt += 1;
        }
    }

    /// The two words that tell this stream from others.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// A uniform number in [0, 1), a multiple of 2^-24, so that it is exact in f32.
    #[inline]
    pub fn unit(&self, row: u64, draw: u32) -> f32 {
        (self.block(row, draw, 0)[0] >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Reads the stream from its start, one number after another.
    pub fn sequence(self, row: u64) -> Sequence {
        Sequence {
            stream: self,
            row,
            draw: 0,
        }
    }
}

/// A stream of one row, read in order.
#[derive(Debug, Clone)]
pub struct Sequence {
    stream: Stream,
    row: u64,
    draw: u32,
}

impl Sequence {
    fn advance(&mut self) -> u32 {
        self.draw = self.draw.wrapping_add(1);
        self.draw - 1
    }

    /// The next integer in `0..bound`; `bound` must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        let draw = self.advance();
        self.stream.below(self.row, draw, bound)
    }

    /// The next number in [0, 1), with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        let draw = self.advance();
        let [low, high, ..] = self.stream.block(self.row, draw, 0);
        (join(low, high) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform permutation of `0..n` (Fisher and Yates).
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n).collect();
        for last in (1..n).rev() {
            let chosen = self.below(last + 1);
            order.swap(last as usize, chosen as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_known_answers() {
        // kat_vectors of the Random123 distribution, "philox4x32 10".
        assert_eq!(
            philox4x32([0; 4], [0; 2]),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            philox4x32([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn bounded_integers_are_uniform() {
        // 7 cells, 70,000 draws: chi-square with 6 degrees of freedom, 99.99 % quantile 27.86.
        let stream = Stream::new(5, Purpose::Negatives as u32, 0);
        let mut counts = [0f64; 7];
        for row in 0..7_000 {
            for draw in 0..10 {
                counts[stream.below(row, draw, 7) as usize] += 1.0;
            }
        }
        let statistic: f64 = counts
            .iter()
            .map(|c| (c - 10_000.0).powi(2) / 10_000.0)
            .sum();
        assert!(statistic < 27.86, "{counts:?}");
    }

    #[test]
    fn huge_bounds_reject_and_stay_inside() {
        // A third of the words is rejected at 2^32 * 3/4 scale bounds, so the loop is exercised.
        let bound = 3 << 30;
        let stream = Stream::new(1, Purpose::Negatives as u32, 0);
        let mean = (0..20_000)
            .map(|row| {
                let value = stream.below(row, 0, bound);
                assert!(value < bound);
                f64::from(value)
            })
            .sum::<f64>()
            / 20_000.0;
        assert!((mean / f64::from(bound) - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn wide_integers_are_uniform_and_stay_inside() {
        // 5 cells, 50,000 draws: chi-square with 4 degrees of freedom, 99.99 % quantile 23.5.
        let stream = Stream::new(2, Purpose::Weighted as u32, 0);
        for bound in [5, 3 << 30, u32::MAX] {
            let mut counts = [0f64; 5];
            for row in 0..50_000 {
                let value = stream.below_wide(row, 1, bound);
                assert!(value < bound);
                counts[(u64::from(value) * 5 / u64::from(bound)) as usize] += 1.0;
            }
            let terms = counts.iter().map(|c| (c - 10_000.0).powi(2) / 10_000.0);
            assert!(terms.sum::<f64>() < 23.5, "{bound}: {counts:?}");
        }
    }

    #[test]
    fn numbered_streams_never_meet() {
        let kinds = [
            Purpose::Negatives,
            Purpose::User,
            Purpose::Weighted,
            Purpose::Within,
        ];
        let mut seen = std::collections::BTreeSet::new();
        for kind in kinds {
            let last = if kind == Purpose::User {
                i32::MAX as u32
            } else {
                ITEM_STREAMS - 1
            };
            for number in [0, 1, 2, last - 1, last] {
                assert!(seen.insert(kind.numbered(number).unwrap()));
            }
            assert!(kind.numbered(last + 1).is_err());
        }
        assert!(!seen.contains(&(Purpose::KMeans as u32)));
        assert!(!seen.contains(&(Purpose::Shuffle as u32)));
        assert_eq!(Purpose::Negatives.numbered(0), Ok(1));
    }

    #[test]
    fn permutations_hold_everything_once() {
        let mut order = Stream::new(3, Purpose::Shuffle as u32, 0)
            .sequence(0)
            .permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn keys_tell_streams_apart() {
        let word = |seed, purpose, epoch| Stream::new(seed, purpose, epoch).block(0, 0, 0);
        let all = [
            word(0, 1, 0),
            word(1, 1, 0),
            word(0, 2, 0),
            word(0, 1, 1),
            word(1 << 32, 1, 0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b));
        }
    }
}
