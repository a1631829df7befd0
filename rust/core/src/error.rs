//! What can go wrong, with the offending value; what would be allowed; and a hint.

use std::sync::atomic::{AtomicBool, Ordering};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// An input that a kernel cannot work with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The row offsets of a sparse matrix are not offsets.
    #[error("the row offsets of {name} are broken at position {position}: {value}")]
    Offsets {
        /// Which matrix.
        name: &'static str,
        /// Where in the offsets.
        position: usize,
        /// What stands there.
        value: i64,
    },
    /// A row of a sparse matrix is not strictly increasing.
    #[error("row {row} of {name} is not sorted and unique: {left} stands before {right}")]
    Unsorted {
        /// Which matrix.
        name: &'static str,
        /// Which row.
        row: usize,
        /// A column index.
        left: u32,
        /// The next one.
        right: u32,
    },
    /// An id is outside its range.
    #[error("{name} {value} at position {position} is out of range")]
    IdOutOfRange {
        /// What kind of id.
        name: &'static str,
        /// Where it was found.
        position: usize,
        /// The id.
        value: i64,
        /// One more than the largest id allowed.
        bound: usize,
    },
    /// Two lengths that belong together differ.
    #[error("{name} has length {got}, not {expected}")]
    Length {
        /// Which array.
        name: &'static str,
        /// Its length.
        got: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}")]
    Parameter {
        /// Which parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        allowed: &'static str,
    },
    /// A number is NaN or infinite.
    #[error("{name} has the value {value} in row {row}, column {column}")]
    NonFinite {
        /// Which array.
        name: &'static str,
        /// Row of the value.
        row: usize,
        /// Column of the value.
        column: usize,
        /// The value.
        value: f32,
    },
    /// A path code needs more than 64 bits.
    #[error("the tree needs {levels} levels of {bits} bits, {} in all", levels * bits)]
    CodeOverflow {
        /// Levels needed.
        levels: u32,
        /// Bits of one level.
        bits: u32,
    },
    /// A packed code is not one that packing makes.
    #[error("the packed code {packed:#x} of item {item} with depth {depth} is broken")]
    BrokenCode {
        /// Which item.
        item: usize,
        /// The packed code.
        packed: u64,
        /// Its depth.
        depth: u8,
    },
    /// A child index is not below the branching factor.
    #[error("the path of item {item} has the child index {value} at level {level}")]
    ChildIndex {
        /// Which item.
        item: usize,
        /// At which level.
        level: usize,
        /// The index.
        value: i64,
        /// The branching factor.
        branching: u32,
    },
    /// Node arrays do not describe a tree.
    #[error("node {node} does not fit into the tree: {reason}")]
    BrokenTree {
        /// Which node.
        node: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A user has nothing that could be drawn.
    #[error(
        "user {user} has no item left to draw: {forbidden} of {n_items} are taken or excluded"
    )]
    NothingLeft {
        /// Which user.
        user: usize,
        /// Size of the forbidden set.
        forbidden: usize,
        /// Size of the catalogue.
        n_items: usize,
    },
    /// A user has nothing within the ranges that could be drawn.
    #[error("user {user} at position {position} has no item left within {ranges}")]
    NothingWithin {
        /// Which user.
        user: usize,
        /// Where it stands among the users.
        position: usize,
        /// The ranges.
        ranges: String,
    },
    /// A size is beyond what 32-bit ids can name.
    #[error("{name} is {value}")]
    TooLarge {
        /// Which size.
        name: &'static str,
        /// Its value.
        value: usize,
    },
    /// An answer does not fit into memory.
    #[error("{rows} x {columns} values do not fit into memory")]
    Memory {
        /// Rows of the answer.
        rows: usize,
        /// Columns of the answer.
        columns: usize,
    },
    /// The work was cancelled from outside.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What would have been accepted.
    pub fn allowed(&self) -> Option<String> {
        match self {
            Self::Offsets { .. } => {
                Some("0 first, never decreasing, the number of stored indexes last".into())
            }
            Self::Unsorted { .. } => Some("strictly increasing column indexes in each row".into()),
            Self::IdOutOfRange { name, bound: 0, .. } => {
                Some(format!("no {name}, for there is none"))
            }
            Self::IdOutOfRange { bound, .. } => Some(format!("0 to {}", bound - 1)),
            Self::Length { expected, .. } => Some(format!("length {expected}")),
            Self::Parameter { allowed, .. } => Some((*allowed).into()),
            Self::NonFinite { .. } => Some("finite numbers".into()),
            Self::CodeOverflow { .. } => Some("64 bits".into()),
            Self::BrokenCode { .. } => {
                Some("child indexes below the branching factor, zeros below the depth".into())
            }
            Self::ChildIndex { branching, .. } => Some(format!("0 to {}", branching - 1)),
            Self::TooLarge { .. } => Some(format!("at most {}", i32::MAX)),
            Self::BrokenTree { .. }
            | Self::NothingLeft { .. }
            | Self::NothingWithin { .. }
            | Self::Memory { .. }
            | Self::Interrupted => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CodeOverflow { .. } => {
                Some("raise max_leaf_size or branching, or raise the lower balance bound")
            }
            Self::NothingLeft { .. } => Some("leave this user out, or exclude fewer items"),
            Self::NothingWithin { .. } => {
                Some("ask how many are available within, and widen the ranges where none is")
            }
            Self::Memory { .. } => Some("ask for less at once"),
            Self::Unsorted { .. } => Some("sort the rows and merge duplicates"),
            Self::BrokenTree { .. } => Some("build the tree again"),
            _ => None,
        }
    }
}

/// A flag that another thread raises to stop long work between two chunks.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Makes a flag that is not raised.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks the work to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns [`Error::Interrupted`] once the flag is raised.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
