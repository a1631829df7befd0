//! Path codes as integers: child indexes packed from the top bit down, with the depth beside them.

use ndarray::{ArrayD, ArrayViewD, Zip};
use rayon::prelude::*;

use crate::csr::{check_ids, Csr};
use crate::memory::filled;
use crate::pairs::Pairs;
use crate::{Cancel, Error, Result};

/// Bits of one level: ⌈log2 k⌉.
pub fn bits_per_level(branching: u32) -> u32 {
    u32::BITS - (branching - 1).leading_zeros()
}

/// Checks a branching factor.
pub fn check_branching(branching: u32) -> Result<()> {
    if (2..=65_536).contains(&branching) {
        return Ok(());
    }
    let value = branching.to_string();
    Err(Error::Parameter {
        name: "branching",
        value,
        allowed: "2 to 65536",
    })
}

/// Path codes of all items.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    packed: &'a [u64],
    depth: &'a [u8],
    branching: u32,
}

impl<'a> Codes<'a> {
    /// Checks that each code is one that packing makes.
    pub fn new(packed: &'a [u64], depth: &'a [u8], branching: u32) -> Result<Self> {
        check_branching(branching)?;
        if depth.len() != packed.len() {
            return Err(Error::Length {
                name: "depth",
                got: depth.len(),
                expected: packed.len(),
            });
        }
        let bits = bits_per_level(branching);
        let is_sound = |&(&code, &levels): &(&u64, &u8)| {
            let used = u32::from(levels) * bits;
            let tail_is_zero = used <= 64 && (used == 64 || code << used == 0);
            tail_is_zero
                && (branching.is_power_of_two() || {
                    (0..u32::from(levels))
                        .all(|level| child(code, level, bits) < u64::from(branching))
                })
        };
        match packed.iter().zip(depth).position(|pair| !is_sound(&pair)) {
            Some(item) => Err(Error::BrokenCode {
                item,
                packed: packed[item],
                depth: depth[item],
            }),
            None => Ok(Self {
                packed,
                depth,
                branching,
            }),
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Length of the longest common prefix of two items' paths.
    #[inline]
    pub fn prefix_length(&self, a: usize, b: usize) -> u8 {
        common_prefix(
            (self.packed[a], self.depth[a]),
            (self.packed[b], self.depth[b]),
            bits_per_level(self.branching),
        )
    }

    /// Longest common prefix relative to the shorter path; 1 where a path is empty.
    #[inline]
    pub fn similarity(&self, a: usize, b: usize) -> f32 {
        let shorter = self.depth[a].min(self.depth[b]);
        if shorter == 0 {
            return 1.0;
        }
        f32::from(self.prefix_length(a, b)) / f32::from(shorter)
    }

    fn elementwise<T: Send + Sync + Default + Clone>(
        &self,
        a: ArrayViewD<'_, i64>,
        b: ArrayViewD<'_, i64>,
        f: impl Fn(usize, usize) -> T + Sync + Send,
    ) -> Result<ArrayD<T>> {
        for ids in [&a, &b] {
            let out_of_range = |&id: &i64| id < 0 || id as u64 >= self.len() as u64;
            if let Some((position, &value)) =
                ids.iter().enumerate().find(|(_, id)| out_of_range(id))
            {
                return Err(Error::IdOutOfRange {
                    name: "item",
                    position,
                    value,
                    bound: self.len(),
                });
            }
        }
        let shape = broadcast_shape(a.shape(), b.shape()).ok_or_else(|| Error::Parameter {
            name: "the pair of shapes",
            value: format!("{:?} and {:?}", a.shape(), b.shape()),
            allowed: "shapes that broadcast",
        })?;
        let rows = shape.first().copied().unwrap_or(1);
        let columns = shape
            .iter()
            .skip(1)
            .fold(1usize, |n, &axis| n.saturating_mul(axis));
        let values = filled(T::default(), rows, columns)?;
        let mut out =
            ArrayD::from_shape_vec(shape.clone(), values).expect("as many values as cells");
        let a = a.broadcast(shape.clone()).expect("checked above");
        let b = b.broadcast(shape).expect("checked above");
        let one = |o: &mut T, &a: &i64, &b: &i64| *o = f(a as usize, b as usize);
        if out.len() < 4096 {
            Zip::from(&mut out).and(&a).and(&b).for_each(one);
        } else {
            Zip::from(&mut out).and(&a).and(&b).par_for_each(one);
        }
        Ok(out)
    }

    /// [`Self::prefix_length`] over arrays of items that broadcast.
    pub fn prefix_lengths(
        &self,
        a: ArrayViewD<'_, i64>,
        b: ArrayViewD<'_, i64>,
    ) -> Result<ArrayD<u8>> {
        self.elementwise(a, b, |a, b| self.prefix_length(a, b))
    }

    /// [`Self::similarity`] over arrays of items that broadcast.
    pub fn similarities(
        &self,
        a: ArrayViewD<'_, i64>,
        b: ArrayViewD<'_, i64>,
    ) -> Result<ArrayD<f32>> {
        self.elementwise(a, b, |a, b| self.similarity(a, b))
    }

    fn sorted_history(&self, items: &[u32]) -> Vec<(u64, u8)> {
        let mut history: Vec<(u64, u8)> = items
            .iter()
            .map(|&i| (self.packed[i as usize], self.depth[i as usize]))
            .collect();
        history.sort_unstable();
        history
    }

    /// For each user, the longest prefix that each candidate shares with any item of the user's history.
    ///
    /// `items` is [B, M] row by row; without it, all items are candidates. 0 where a history is empty.
    pub fn deepest_prefix(
        &self,
        train: Csr<'_>,
        users: &[i64],
        items: Option<&[i64]>,
        cancel: &Cancel,
    ) -> Result<Vec<i32>> {
        if train.n_cols() > self.len() {
            return Err(Error::Length {
                name: "codes",
                got: self.len(),
                expected: train.n_cols(),
            });
        }
        check_ids("user", users, train.n_rows())?;
        let width = match items {
            None => self.len(),
            Some(items) => {
                check_ids("item", items, self.len())?;
                let width = items.len().checked_div(users.len()).unwrap_or(0);
                if width * users.len() != items.len() {
                    let expected = width * users.len();
                    return Err(Error::Length {
                        name: "items",
                        got: items.len(),
                        expected,
                    });
                }
                width
            }
        };
        let mut out = filled(0i32, users.len(), width)?;
        if width == 0 {
            return Ok(out);
        }
        // Items of one leaf share a code, so that all items need one look-up per leaf only.
        let leaves = items.is_none().then(|| self.leaves());
        const USERS: usize = 1024;
        for (batch, rows) in out.chunks_mut(USERS * width).enumerate() {
            cancel.check()?;
            rows.par_chunks_mut(width)
                .enumerate()
                .for_each(|(offset, row)| {
                    let position = batch * USERS + offset;
                    let history = self.sorted_history(train.row(users[position] as usize));
                    match (items, &leaves) {
                        (None, Some((distinct, leaf_of))) => {
                            let depths: Vec<i32> = distinct
                                .iter()
                                .map(|&code| self.deepest(&history, code))
                                .collect();
                            for (out, &leaf) in row.iter_mut().zip(leaf_of) {
                                *out = depths[leaf as usize];
                            }
                        }
                        (items, _) => {
                            let candidates = &items.unwrap_or(&[])[position * width..][..width];
                            for (out, &item) in row.iter_mut().zip(candidates) {
                                let code = (self.packed[item as usize], self.depth[item as usize]);
                                *out = self.deepest(&history, code);
                            }
                        }
                    }
                });
        }
        Ok(out)
    }

    /// Sorted by (packed, depth), codes are in the order of their paths; the longest prefix shared with
    /// any of them is shared with a neighbour of the place where `code` belongs.
    #[inline]
    fn deepest(&self, history: &[(u64, u8)], code: (u64, u8)) -> i32 {
        let bits = bits_per_level(self.branching);
        let place = history.partition_point(|&other| other < code);
        let after = history
            .get(place)
            .map_or(0, |&other| common_prefix(code, other, bits));
        let before = match place {
            0 => 0,
            _ => common_prefix(code, history[place - 1], bits),
        };
        i32::from(after.max(before))
    }

    /// For each candidate the longest prefix that it shares with any item of the history, and how many
    /// items of the history share that: [U, M, 2]. With no level shared, all of them do.
    pub fn prefix_sharing(&self, pairs: Pairs<'_>, cancel: &Cancel) -> Result<Vec<f32>> {
        if pairs.n_items() != self.len() {
            return Err(Error::Length {
                name: "codes",
                got: self.len(),
                expected: pairs.n_items(),
            });
        }
        pairs.measure(
            cancel,
            || (),
            |(), items, candidates, out: &mut [[f32; 2]]| {
                let history = self.sorted_history(items);
                for (out, &item) in out.iter_mut().zip(candidates) {
                    if item >= 0 {
                        let code = (self.packed[item as usize], self.depth[item as usize]);
                        let depth = self.deepest(&history, code);
                        *out = [depth as f32, self.sharing(&history, code.0, depth) as f32];
                    }
                }
            },
        )
    }

    /// How many codes of a sorted history begin with the first `depth` levels of `packed`.
    #[inline]
    fn sharing(&self, history: &[(u64, u8)], packed: u64, depth: i32) -> usize {
        if depth == 0 {
            return history.len();
        }
        // Between `first` and `last` in this order, only a code that is too short could be without the
        // prefix; it would be padded to `first` with less depth, and so comes before.
        let below = u64::MAX
            .checked_shr(depth as u32 * bits_per_level(self.branching))
            .unwrap_or(0);
        let (first, last) = ((packed & !below, depth as u8), (packed | below, u8::MAX));
        let start = history.partition_point(|&other| other < first);
        let stop = history.partition_point(|&other| other <= last);
        stop - start
    }

    /// The distinct codes, sorted, and the index of each item's code among them.
    fn leaves(&self) -> (Vec<(u64, u8)>, Vec<u32>) {
        let codes = || self.packed.iter().copied().zip(self.depth.iter().copied());
        let mut distinct: Vec<(u64, u8)> = codes().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let leaf_of = codes()
            .map(|code| distinct.partition_point(|&d| d < code) as u32)
            .collect();
        (distinct, leaf_of)
    }

    /// The child indexes of all items, one path after another; `depth` says where each ends.
    pub fn unpack(&self) -> Vec<u32> {
        let bits = bits_per_level(self.branching);
        self.packed
            .iter()
            .zip(self.depth)
            .flat_map(|(&code, &levels)| {
                (0..u32::from(levels)).map(move |level| child(code, level, bits) as u32)
            })
            .collect()
    }
}

#[inline]
fn child(code: u64, level: u32, bits: u32) -> u64 {
    code << (level * bits) >> (64 - bits)
}

/// Length of the longest common prefix of two (packed, depth) pairs.
#[inline]
pub fn common_prefix(a: (u64, u8), b: (u64, u8), bits: u32) -> u8 {
    // Equal bits below the shorter depth are padding, hence the cap.
    let equal = (a.0 ^ b.0).leading_zeros() / bits;
    (equal as u8).min(a.1).min(b.1)
}

/// Appends a child index to a packed prefix of `depth` levels.
pub fn extend(packed: u64, depth: u32, child: u32, bits: u32) -> Result<u64> {
    let used = (depth + 1) * bits;
    if used > 64 {
        return Err(Error::CodeOverflow {
            levels: depth + 1,
            bits,
        });
    }
    Ok(packed | u64::from(child) << (64 - used))
}

/// Packs paths that lie one after another in `children`, `lengths` levels each.
pub fn pack(children: &[i64], lengths: &[i64], branching: u32) -> Result<(Vec<u64>, Vec<u8>)> {
    check_branching(branching)?;
    let bits = bits_per_level(branching);
    let total = lengths.iter().try_fold(0usize, |sum, &length| {
        sum.checked_add(usize::try_from(length).ok()?)
    });
    if total != Some(children.len()) {
        return Err(Error::Length {
            name: "children",
            got: children.len(),
            expected: total.unwrap_or(0),
        });
    }
    let mut packed = Vec::with_capacity(lengths.len());
    let mut depth = Vec::with_capacity(lengths.len());
    let mut rest = children;
    for (item, &length) in lengths.iter().enumerate() {
        if (length as u64).saturating_mul(u64::from(bits)) > 64 {
            let levels = length.min(i64::from(u32::MAX / 16)) as u32;
            return Err(Error::CodeOverflow { levels, bits });
        }
        let (path, tail) = rest.split_at(length as usize);
        rest = tail;
        let mut code = 0;
        for (level, &value) in path.iter().enumerate() {
            if value < 0 || value >= i64::from(branching) {
                return Err(Error::ChildIndex {
                    item,
                    level,
                    value,
                    branching,
                });
            }
            code = extend(code, level as u32, value as u32, bits)?;
        }
        packed.push(code);
        depth.push(length as u8);
    }
    Ok((packed, depth))
}

fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let n = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| {
        (axis + shape.len())
            .checked_sub(n)
            .map_or(1, |index| shape[index])
    };
    (0..n)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Some(x),
            (1, x) | (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}
