//! `dtlns._core`: whole arrays in, whole arrays out. Argument checks that need shapes live here, all
//! others in `dtlns-core`.

use pyo3::prelude::*;

mod arrays;
mod codes;
mod door;
mod jaccard;
mod pairs;
mod ranking;
mod sampling;
mod tree;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("STREAM_VERSION", dtlns_core::rng::STREAM_VERSION)?;
    jaccard::register(module)?;
    tree::register(module)?;
    codes::register(module)?;
    sampling::register(module)?;
    ranking::register(module)?;
    pairs::register(module)
}
