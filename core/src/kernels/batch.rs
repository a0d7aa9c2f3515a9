//! A layer over many windows at a time, for hosts: on weights prepared once a model.
//!
//! Activations of all windows are int16, whatever the layer writes. Where the
//! backend prepares nothing (another backend, a pool, a processor without
//! AVX2) windows run one by one through [`run`](super::run): the same result.

use super::{OutputBuffer, scratch_len};
use crate::fixed::Rounding;
#[cfg(kernels = "x86")]
use crate::model::Operator;
use crate::model::{LayerView, Output};

/// 64 bytes at a multiple of 64: what prepared weights and batches are made of.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub struct Line(pub(super) [u8; 64]);

impl Default for Line {
    fn default() -> Self {
        Self([0; 64])
    }
}

#[cfg(kernels = "x86")]
impl Line {
    /// Word `index` of sixteen.
    pub(super) fn word(&self, index: usize) -> i32 {
        let bytes = self.0.get(4 * index..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |&bytes| i32::from_le_bytes(bytes))
    }

    /// Sets word `index` of sixteen.
    pub(super) fn set_word(&mut self, index: usize, value: i32) {
        if let Some(bytes) = self.0.get_mut(4 * index..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = value.to_le_bytes();
        }
    }
}

/// A vector a window, `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<T> {
    /// All of them.
    pub values: T,
    /// Elements from one to the next; a multiple of [`Rows::LANES`].
    pub stride: usize,
}

impl<T> Rows<T> {
    /// Elements of a line.
    pub(crate) const LANES: usize = 32;
}

/// Lines that `layer`'s weights take once prepared; 0 where they are not.
pub(crate) fn lines(layer: &LayerView<'_>) -> usize {
    #[cfg(kernels = "x86")]
    return match &layer.operator {
        Operator::FullyConnected(matrix) => super::backend::batch::lines(matrix),
        _ => super::batch_windows::lines(layer),
    };
    #[cfg(not(kernels = "x86"))]
    {
        let _ = layer;
        0
    }
}

/// Prepares the weights of `layer` in its [`lines`].
pub(crate) fn prepare(layer: &LayerView<'_>, lines: &mut [Line]) {
    #[cfg(kernels = "x86")]
    match &layer.operator {
        _ if lines.is_empty() => {}
        Operator::FullyConnected(matrix) => super::backend::batch::prepare(matrix, lines),
        _ => super::batch_windows::prepare(layer, lines),
    }
    #[cfg(not(kernels = "x86"))]
    let _ = (layer, lines);
}

/// Bytes of work memory [`run`] may use: a window's input, the kernel's scratch and a window's output, or a number
/// for each window; for prepared convolutions what their positions take.
pub(crate) fn work_len(layer: &LayerView<'_>, windows: usize) -> usize {
    let align = crate::arena::align_up;
    let one = align(layer.input_len()) + align(scratch_len(layer)) + align(2 * layer.output_len());
    let one = one.max(size_of::<i32>() * windows);
    #[cfg(kernels = "x86")]
    let one = one.max(super::batch_windows::work_len(layer));
    one
}

/// Runs `layer` on the vectors of all windows. Infallible as [`run`](super::run) is.
pub(crate) fn run(
    layer: &LayerView<'_>,
    rounding: Rounding,
    prepared: &[Line],
    input: Rows<&[i16]>,
    out: Rows<&mut [i16]>,
    work: &mut [u8],
) {
    #[cfg(kernels = "x86")]
    if !prepared.is_empty() {
        let Operator::FullyConnected(matrix) = &layer.operator else {
            super::batch_windows::run(layer, rounding, prepared, input, out, work);
            return;
        };
        let numbers = bytemuck::try_cast_slice_mut(work).unwrap_or_default();
        super::backend::batch::run(matrix, &layer.output, rounding, prepared, input, out, numbers);
        return;
    }
    let _ = prepared;
    let windows = input.values.chunks_exact(input.stride.max(1));
    for (input, out) in windows.zip(out.values.chunks_exact_mut(out.stride.max(1))) {
        if one_window(layer, rounding, input, out, work).is_none() {
            return;
        }
    }
}

/// One window through the ordinary kernels; `None` where `work` is too short.
fn one_window(
    layer: &LayerView<'_>,
    rounding: Rounding,
    input: &[i16],
    out: &mut [i16],
    work: &mut [u8],
) -> Option<()> {
    let align = crate::arena::align_up;
    let (bytes, rest) = work.split_at_mut_checked(align(layer.input_len()))?;
    let (scratch, narrow) = rest.split_at_mut_checked(align(scratch_len(layer)))?;
    let bytes: &mut [i8] = bytemuck::cast_slice_mut(bytes.get_mut(..layer.input_len())?);
    for (byte, &value) in bytes.iter_mut().zip(input) {
        *byte = value as i8;
    }
    let out = out.get_mut(..layer.output_len())?;
    match layer.output {
        Output::Int16 => super::run(layer, rounding, bytes, scratch, OutputBuffer::Int16(out)),
        // A widened layer comes here as its int8 part.
        Output::Int8 { .. } | Output::Widened { .. } => {
            let narrow: &mut [i8] = bytemuck::cast_slice_mut(narrow.get_mut(..out.len())?);
            super::run(layer, rounding, bytes, scratch, OutputBuffer::Int8(narrow));
            for (value, &byte) in out.iter_mut().zip(narrow.iter()) {
                *value = byte.into();
            }
        }
    }
    Some(())
}

/// Calls `work`, compiled for the vectors this machine has.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(kernels = "x86")]
    return super::backend::vectorized(work);
    #[cfg(not(kernels = "x86"))]
    work()
}
