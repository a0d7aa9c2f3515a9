//! Kernels: operator by backend.
//!
//! | operator | `portable` |
//! |---|---|
//! | fully connected | yes |
//!
//! Every backend gives the portable kernel's result exactly: sums are proven
//! not to overflow, so their order is free.

mod portable;

use crate::fixed::Rounding;
use crate::model::{LayerView, Operator};

/// Name of the backend in this build.
pub const BACKEND: &str = "portable";

/// Where a layer writes.
#[derive(Debug)]
pub enum OutputBuffer<'b> {
    /// An int8 activation.
    Int8(&'b mut [i8]),
    /// An int16 head.
    Int16(&'b mut [i16]),
}

/// Scratch bytes any backend may use for `layer`: the input widened to 16 bits.
///
/// It is the same on every target, so that the blob's arena length is.
pub fn scratch_len(layer: &LayerView<'_>) -> usize {
    layer.input_len().saturating_mul(2)
}

/// Runs one layer. Infallible: [`Model::parse`](crate::Model::parse) has proven
/// shapes and sums; buffers of other lengths leave the excess untouched.
pub fn run(
    layer: &LayerView<'_>,
    rounding: Rounding,
    input: &[i8],
    _scratch: &mut [u8],
    out: OutputBuffer<'_>,
) {
    match &layer.operator {
        Operator::FullyConnected(op) => {
            portable::fully_connected(op, &layer.output, rounding, input, out)
        }
    }
}
