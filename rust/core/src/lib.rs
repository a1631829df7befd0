//! The CPU work of dtlns, without Python: item graph, balanced index tree, path codes, exact negative
//! draws, top-k, how candidates stand to histories. Everything is deterministic for any number of threads.
#![forbid(unsafe_code)]

mod balance;
pub mod codes;
pub mod csr;
pub mod dots;
pub mod error;
pub mod item_graph;
pub mod jaccard;
pub mod kmeans;
mod memory;
pub mod ordered;
pub mod pairs;
pub mod ranking;
pub mod rng;
pub mod sampling;
pub mod tree;
mod vectors;
pub mod weighted;

pub use error::{Cancel, Error, Result};
pub use vectors::Vectors;
