//! Arrays from Python: contiguous ones are borrowed, strided ones copied.

use std::borrow::Cow;

use numpy::ndarray::{ArrayView, Dimension};
use numpy::{Element, PyReadonlyArray};

/// The elements in row order.
pub fn flat<'a, T: Element + Clone, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> Cow<'a, [T]> {
    // Not `array.as_slice()`: that takes columns one after another for contiguous, too.
    match view(array).to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view(array).iter().cloned().collect()),
    }
}

/// A view with any strides.
pub fn view<'a, T: Element, D: Dimension>(
    array: &'a PyReadonlyArray<'_, T, D>,
) -> ArrayView<'a, T, D> {
    array.as_array()
}
