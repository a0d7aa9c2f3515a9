//! Kernels: operator by backend.
//!
//! | operator | `portable` | `armv6m` | `armv7m` | `armv7em` | `mve` | `x86` |
//! |---|---|---|---|---|---|---|
//! | fully connected | any packing | `REVERSED` | `CHAIN` | `PAIR` | `INTERLEAVED` | row-major |
//! | the same with weights of 4 bits (`FOUR_BIT`), without pruned blocks (`SPARSE`), both | yes | as above | as above | as above | as above | portable |
//! | rows of 4-bit weights (`NIBBLES`) | yes | portable | portable | portable | portable | portable |
//! | convolution, transposed convolution (1-D, 2-D) | any packing | as above | as above | as above | as above | as above |
//! | depthwise convolution, max pool, average pool | yes | as portable | as portable | as portable | as portable | as portable |
//!
//! A fully connected layer is the product of a [`Matrix`] and a vector, a
//! convolution one such product a position, so a backend supplies that product
//! alone; where it cannot (a packing of another target, a buffer out of line) the
//! portable kernel runs. Results are equal to the bit: sums are proven not to
//! overflow, so their order is free. `docs/kernels.md` draws packings and loops.

pub(crate) mod batch;
#[cfg(kernels = "x86")]
mod batch_windows;
mod channelwise;
pub mod portable;
mod windows;

pub use batch::Line;

#[cfg(kernels = "armv6m")]
#[path = "armv6m.rs"]
mod backend;
#[cfg(kernels = "armv7em")]
#[path = "armv7em.rs"]
mod backend;
#[cfg(kernels = "armv7m")]
#[path = "armv7m.rs"]
mod backend;
#[cfg(kernels = "mve")]
#[path = "mve.rs"]
mod backend;
#[cfg(kernels = "x86")]
#[path = "x86.rs"]
mod backend;
#[cfg(not(any(kernels = "portable", kernels = "x86")))]
mod packed;
#[cfg(any(kernels = "armv6m", kernels = "armv7m"))]
mod strips;
#[cfg(kernels = "portable")]
use portable as backend;

#[cfg(any(kernels = "portable", kernels = "x86"))]
#[path = "unprepared.rs"]
mod path;
#[cfg(not(any(kernels = "portable", kernels = "x86")))]
use packed as path;

use crate::arena::align_up;
use crate::fixed::Rounding;
use crate::fixed::requantize::{requantize, saturate_i16};
use crate::model::blocks::{BLOCK, is_sparse};
use crate::model::{LayerView, Matrix, Operator, Output};

/// Name of the backend in this build.
pub const BACKEND: &str = backend::NAME;

/// The weight layout this build's backend is fast with ([`packing`](crate::model::wire::packing)).
pub const PACKING: u8 = backend::PACKING;

/// Where a layer writes.
#[derive(Debug)]
pub enum OutputBuffer<'b> {
    /// An int8 activation.
    Int8(&'b mut [i8]),
    /// An int16 head.
    Int16(&'b mut [i16]),
}

impl OutputBuffer<'_> {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Int8(out) => out.len(),
            Self::Int16(out) => out.len(),
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A number a layer writes.
pub(crate) trait Element: Sized {
    /// Whether it is an int16.
    #[cfg_attr(any(kernels = "portable", kernels = "x86"), allow(dead_code))]
    const WIDE: bool;
    /// A buffer of it.
    fn buffer(out: &mut [Self]) -> OutputBuffer<'_>;
}

impl Element for i8 {
    const WIDE: bool = false;
    fn buffer(out: &mut [Self]) -> OutputBuffer<'_> {
        OutputBuffer::Int8(out)
    }
}

impl Element for i16 {
    const WIDE: bool = true;
    fn buffer(out: &mut [Self]) -> OutputBuffer<'_> {
        OutputBuffer::Int16(out)
    }
}

/// Scratch bytes any backend may use for `layer`: the input widened to 16 bits, and for sparse
/// matrices two words for each block of it.
///
/// It is the same on every target, so that the blob's arena length is.
#[inline]
pub fn scratch_len(layer: &LayerView<'_>) -> usize {
    let wide = |inputs: usize, packing: u8| {
        if is_sparse(packing) { inputs.div_ceil(BLOCK) * 40 } else { inputs.saturating_mul(2) }
    };
    // A window gathered as int8, and widened.
    let window = |inputs: usize, packing| align_up(inputs).saturating_add(wide(inputs, packing));
    match &layer.operator {
        Operator::FullyConnected(matrix) => wide(matrix.inputs(), matrix.packing()),
        _ if !cfg!(feature = "convolution") => 0,
        Operator::Convolution(_, matrix) => window(matrix.inputs(), matrix.packing()),
        Operator::TransposedConvolution(phases) => window(phases.max_inputs(), phases.packing()),
        _ => 0,
    }
}

/// Runs one layer. Infallible: [`Model::parse`](crate::Model::parse) has proven
/// shapes and sums; buffers of other lengths leave the excess untouched.
#[inline]
pub fn run(
    layer: &LayerView<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    mut out: OutputBuffer<'_>,
) {
    match &layer.operator {
        Operator::FullyConnected(matrix) => {
            let output = &layer.output;
            match &mut out {
                OutputBuffer::Int8(out) => product(matrix, output, rounding, input, scratch, out),
                OutputBuffer::Int16(out) => product(matrix, output, rounding, input, scratch, out),
            }
        }
        _ if cfg!(feature = "convolution") => {
            run_windowed(layer, rounding, input, scratch, &mut out);
        }
        _ => {}
    }
}

/// Convolutions and pools, out of the way of the fully connected layers.
#[inline(never)]
fn run_windowed(
    layer: &LayerView<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let output = &layer.output;
    match &layer.operator {
        Operator::Convolution(geometry, matrix) => match out {
            OutputBuffer::Int8(out) => {
                windows::convolution(geometry, matrix, output, rounding, input, scratch, out);
            }
            OutputBuffer::Int16(out) => {
                windows::convolution(geometry, matrix, output, rounding, input, scratch, out);
            }
        },
        Operator::TransposedConvolution(phases) => match out {
            OutputBuffer::Int8(out) => {
                windows::transposed_convolution(phases, output, rounding, input, scratch, out);
            }
            OutputBuffer::Int16(out) => {
                windows::transposed_convolution(phases, output, rounding, input, scratch, out);
            }
        },
        Operator::DepthwiseConvolution(geometry, matrix) => {
            channelwise::depthwise_convolution(geometry, matrix, output, rounding, input, out);
        }
        Operator::MaxPool(geometry) => channelwise::max_pool(geometry, output, input, out),
        Operator::AveragePool(geometry) => channelwise::average_pool(geometry, output, input, out),
        Operator::FullyConnected(_) => {}
    }
}

/// One matrix by one vector, on the backend where it can.
#[inline(always)]
fn product<T: Element>(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) {
    if !path::product(matrix, output, rounding, input, scratch, out) {
        fall_back(matrix, output, rounding, input, &mut T::buffer(out));
    }
}

/// Out of line, so that the usual way carries none of its registers.
#[cfg_attr(not(kernels = "portable"), cold, inline(never))]
fn fall_back(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    portable::fully_connected(matrix, output, rounding, input, out);
}

/// What an int8 kernel leaves to do behind its saturation to int8: the clamp and the table.
#[cfg_attr(kernels = "portable", allow(dead_code))]
#[inline]
fn finish(output: &Output<'_>, out: &mut [i8]) {
    let &Output::Int8 { min, max, table, .. } = output else {
        return;
    };
    if min != i8::MIN || max != i8::MAX || table.is_some() {
        clamp_and_look_up(min, max, table, out);
    }
}

#[cfg_attr(kernels = "portable", allow(dead_code))]
#[inline(never)]
fn clamp_and_look_up(min: i8, max: i8, table: Option<&[i8; 256]>, out: &mut [i8]) {
    if min != i8::MIN || max != i8::MAX {
        for q in out.iter_mut() {
            // `min <= max` is proven; `clamp` would have to panic otherwise.
            *q = (*q).max(min).min(max);
        }
    }
    if let Some(table) = table {
        for q in out.iter_mut() {
            *q = table.get((i32::from(*q) + 128) as usize).copied().unwrap_or(0);
        }
    }
}

/// Writes row `index` from its accumulator: the normative end of every kernel.
#[inline]
fn write(
    output: &Output<'_>,
    rounding: Rounding,
    numbers: crate::model::RowNumbers,
    acc: i32,
    index: usize,
    out: &mut OutputBuffer<'_>,
) {
    let value = requantize(acc, numbers.multiplier, numbers.shift, rounding);
    match (out, output) {
        (OutputBuffer::Int8(out), &Output::Int8 { zero_point, min, max, table }) => {
            let q = value.saturating_add(zero_point.into()).min(max.into()).max(min.into());
            if let Some(out) = out.get_mut(index) {
                *out = match table {
                    Some(table) => table.get((q + 128) as usize).copied().unwrap_or(0),
                    None => q as i8,
                };
            }
        }
        (OutputBuffer::Int16(out), _) => {
            if let Some(out) = out.get_mut(index) {
                *out = saturate_i16(value);
            }
        }
        // A widened layer comes here as its int8 part.
        (OutputBuffer::Int8(_), Output::Int16 | Output::Widened { .. }) => {}
    }
}
