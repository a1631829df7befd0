//! Arrays from Python: contiguous ones are borrowed, strided ones copied.

use std::borrow::Cow;

use dtlns_core::Error;
use numpy::ndarray::{ArrayView, Dimension};
use numpy::{Element, PyReadonlyArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::door;

/// The elements in row order.
pub fn flat<'a, T: Element + Clone, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> PyResult<Cow<'a, [T]>> {
    let view = view(array)?;
    // Not `array.as_slice()`: that takes columns one after another for contiguous, too.
    Ok(match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().cloned().collect()),
    })
}

/// A view with any strides that are whole elements.
pub fn view<'a, T: Element, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> PyResult<ArrayView<'a, T, D>> {
    // Fields of structured arrays, for example; `numpy` would round their strides to whole elements.
    let whole = |&stride: &isize| stride % size_of::<T>() as isize == 0;
    if array.is_aligned() && array.strides().iter().all(whole) {
        return Ok(array.as_array());
    }
    let error = Error::Parameter {
        name: "the memory layout of an array",
        value: "unaligned".into(),
        allowed: "aligned elements, such as a copy of the array has",
    };
    Err(door::raise(array.py(), &error))
}
