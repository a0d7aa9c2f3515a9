//! The way into a backend that needs no preparation: `portable` and `x86`.

use core::marker::PhantomData;

use super::windows::Windows;
use super::{Element, backend, fall_back};
use crate::fixed::Rounding;
use crate::model::{Matrix, Output};

/// See `packed.rs`: here it only remembers its arguments.
pub(super) struct Prepared<'p, T> {
    matrix: &'p Matrix<'p>,
    output: &'p Output<'p>,
    rounding: Rounding,
    scratch: &'p mut [u8],
    elements: PhantomData<T>,
}

/// Never `None`: these backends leave the choice to each product.
pub(super) fn prepare<'p, T: Element>(
    matrix: &'p Matrix<'p>,
    output: &'p Output<'p>,
    rounding: Rounding,
    scratch: &'p mut [u8],
) -> Option<Prepared<'p, T>> {
    Some(Prepared { matrix, output, rounding, scratch, elements: PhantomData })
}

impl<T: Element> Prepared<'_, T> {
    /// One product, clamp and table included.
    pub(super) fn run(&mut self, input: &[i8], out: &mut [T]) {
        if !product(self.matrix, self.output, self.rounding, input, self.scratch, out) {
            let out = &mut T::buffer(out);
            fall_back(self.matrix, self.output, self.rounding, input, out);
        }
    }

    /// No whole convolutions here.
    pub(super) fn strip(&mut self, _: &Windows, _: &[i8], _: &mut [T]) -> bool {
        false
    }

    /// Nothing is left to do.
    pub(super) fn finish(&self, _out: &mut [T]) {}
}

/// `false` where the portable kernel has to run.
pub(super) fn product<T: Element>(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) -> bool {
    backend::product(matrix, output, rounding, input, scratch, &mut T::buffer(out))
}

/// Bytes may lie anywhere.
pub(super) fn is_readable(_: &[i8]) -> bool {
    true
}
