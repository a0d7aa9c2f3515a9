//! What the packed backends share: one assembly function runs a whole layer.
//!
//! A backend defines that function and six ends of its row loop; this file checks the buffers, chooses the end, and does in Rust what the
//! short ends cannot: rows that are no multiple of four and shifts to the left.
#![allow(unsafe_code)]

use core::marker::PhantomData;

pub(super) use super::backend::is_readable;
use super::backend::{
    PACKING, layer, nibbles_scratch_bytes, picovae_layer_nibbles, picovae_layer_sparse,
    picovae_layer_sparse_nibbles, scratch_bytes,
};
#[cfg(any(kernels = "armv6m", kernels = "armv7m"))]
use super::strips;
use super::windows::Windows;
use super::{Element, OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::model::blocks::{BLOCK, stride, table_len};
use crate::model::packing::GROUP;
use crate::model::wire::{flags, packing};
use crate::model::{Matrix, Output};

/// An address the row loop jumps to with four sums; never called from Rust.
pub(super) type End = unsafe extern "C" fn();

/// The assembly of a backend: widens `len` activations of `input` into `scratch`, then
/// runs groups of four rows from `weights`, each going on to `end`, until `out` is `out_end`.
///
/// `offset` is `2 * zero_point + 1`: zero point and half a unit, added while one bit is
/// left to shift out.
pub(super) type Layer = unsafe extern "C" fn(
    input: *const i8,
    scratch: *mut u8,
    len: usize,
    weights: *const u8,
    end: End,
    offset: i32,
    out_end: *mut u8,
    out: *mut u8,
);

// Each backend's assembly defines these: requantization and store of four rows.
unsafe extern "C" {
    fn picovae_end_int8_double();
    /// Double, for zero point -128: sums below zero saturate however they are rounded.
    fn picovae_end_int8_relu();
    fn picovae_end_int8_single();
    fn picovae_end_int16_double();
    fn picovae_end_int16_single();
    /// Stores the four int32 sums.
    fn picovae_end_raw();
}

/// The target's packing with pruned blocks left out, with weights of 4 bits, with both.
const SPARSE: u8 = PACKING | packing::SPARSE;
const NIBBLES: u8 = PACKING | packing::FOUR_BIT;
const SPARSE_NIBBLES: u8 = NIBBLES | packing::SPARSE;

/// Rows whose sums the general way holds at a time.
const CHUNK: usize = 8 * GROUP;

/// A matrix whose checks are done: what a convolution repeats at every position.
pub(super) struct Prepared<'p, T> {
    matrix: &'p Matrix<'p>,
    output: &'p Output<'p>,
    rounding: Rounding,
    /// Long enough and aligned.
    scratch: &'p mut [u8],
    inputs: usize,
    outputs: usize,
    weights: *const u8,
    layer: Layer,
    end: End,
    offset: i32,
    short: bool,
    /// What `end` stores.
    elements: PhantomData<T>,
}

/// Checks everything but the vectors; `None` where another packing or alignment came.
#[inline(always)]
pub(super) fn prepare<'p, T: Element>(
    matrix: &'p Matrix<'p>,
    output: &'p Output<'p>,
    rounding: Rounding,
    scratch: &'p mut [u8],
) -> Option<Prepared<'p, T>> {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let (layer, needed, table) = match matrix.packing() {
        PACKING => (layer(inputs, scratch.len()), scratch_bytes(inputs), 0),
        _ => form(matrix)?,
    };
    if scratch.len() < needed || !scratch.as_ptr().addr().is_multiple_of(4) || inputs == 0 {
        return None;
    }
    let double = rounding == Rounding::Double;
    let (end, offset): (End, _) = match (*output, T::WIDE) {
        (Output::Int8 { zero_point, .. }, false) => (
            match (double, zero_point) {
                (true, i8::MIN) => picovae_end_int8_relu,
                (true, _) => picovae_end_int8_double,
                (false, _) => picovae_end_int8_single,
            },
            2 * i32::from(zero_point) + 1,
        ),
        (Output::Int16, true) => {
            (if double { picovae_end_int16_double } else { picovae_end_int16_single }, 1)
        }
        _ => return None,
    };
    Some(Prepared {
        layer,
        short: matrix.flags() & flags::RIGHT_SHIFTS != 0 && outputs.is_multiple_of(GROUP),
        weights: matrix.weights().as_ptr().wrapping_add(table),
        matrix,
        output,
        rounding,
        scratch,
        inputs,
        outputs,
        end,
        offset,
        elements: PhantomData,
    })
}

/// Assembly, scratch bytes and the length of the table in front of the groups, for the other forms of the packing.
#[inline(never)]
fn form(matrix: &Matrix<'_>) -> Option<(Layer, usize, usize)> {
    if !cfg!(feature = "compressed-weights") {
        return None;
    }
    let inputs = matrix.inputs();
    let layer: Layer = match matrix.packing() {
        NIBBLES => return Some((picovae_layer_nibbles, nibbles_scratch_bytes(inputs), 0)),
        SPARSE => picovae_layer_sparse,
        SPARSE_NIBBLES => picovae_layer_sparse_nibbles,
        _ => return None,
    };
    let scratch = inputs.div_ceil(BLOCK) * stride(matrix.packing());
    Some((layer, scratch, table_len(matrix.outputs())))
}

impl<T: Element> Prepared<'_, T> {
    /// One product; nothing happens if a vector is too short or not readable.
    #[inline(always)]
    pub(super) fn run(&mut self, input: &[i8], out: &mut [T]) {
        if input.len() < self.inputs || out.len() < self.outputs || !is_readable(input) {
            return;
        }
        if !self.short {
            let out = &mut T::buffer(out);
            return in_parts(
                self.matrix,
                self.layer,
                self.output,
                self.rounding,
                input,
                self.scratch,
                out,
            );
        }
        let start: *mut T = out.as_mut_ptr();
        // SAFETY: `input` has `inputs` bytes; `prepare` found `scratch` long enough for this `layer` and aligned;
        // the matrix has `outputs / 4` groups (the gate checked its length), at least one (again the gate); `out` has
        // a number of the width that `end` stores for each row.
        unsafe {
            (self.layer)(
                input.as_ptr(),
                self.scratch.as_mut_ptr(),
                self.inputs,
                self.weights,
                self.end,
                self.offset,
                start.wrapping_add(self.outputs).cast(),
                start.cast(),
            );
        }
    }

    /// All positions of a 1-D convolution at once, clamp and table apart; `false` where each has to be [`run`](Self::run).
    #[cfg(not(any(kernels = "armv6m", kernels = "armv7m")))]
    pub(super) fn strip(&mut self, _: &Windows, _: &[i8], _: &mut [T]) -> bool {
        false
    }

    /// All positions of a 1-D convolution at once, clamp and table apart; `false` where each has to be [`run`](Self::run).
    #[cfg(any(kernels = "armv6m", kernels = "armv7m"))]
    pub(super) fn strip(&mut self, windows: &Windows, input: &[i8], out: &mut [T]) -> bool {
        match T::buffer(out) {
            OutputBuffer::Int8(out) if self.short && self.matrix.packing() == PACKING => {
                strips::run(
                    self.matrix,
                    self.output,
                    self.rounding,
                    windows,
                    input,
                    self.scratch,
                    out,
                )
            }
            _ => false,
        }
    }

    /// The clamp and the table, once for all products of a layer.
    #[inline(always)]
    pub(super) fn finish(&self, out: &mut [T]) {
        if let (true, OutputBuffer::Int8(out)) = (self.short, T::buffer(out)) {
            finish(self.output, out);
        }
    }
}

/// See [`kernels::product`](super::product); `false` where another packing or alignment came.
#[inline(always)]
pub(super) fn product<T: Element>(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) -> bool {
    if !is_readable(input) {
        return false;
    }
    let Some(mut prepared) = prepare(matrix, output, rounding, scratch) else {
        return false;
    };
    prepared.run(input, out);
    prepared.finish(out);
    true
}

/// Rows that are no multiple of four, or shifts that the short requantization does
/// not cover: sums from the assembly, the rest from the specification.
#[cold]
#[inline(never)]
fn in_parts(
    matrix: &Matrix<'_>,
    layer: Layer,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let groups = outputs.div_ceil(GROUP);
    for first in (0..outputs).step_by(CHUNK) {
        let mut sums = [0i32; CHUNK];
        let rows = (groups * GROUP - first).min(CHUNK);
        let start: *mut u8 = sums.as_mut_ptr().cast();
        let Some(at) = matrix.group_start(first / GROUP) else { return };
        let weights = matrix.weights().as_ptr().wrapping_add(at);
        // SAFETY: `product` checked `input` and `scratch`; `rows / 4` groups follow `first`, and `sums` takes `rows`.
        unsafe {
            layer(
                input.as_ptr(),
                scratch.as_mut_ptr(),
                inputs,
                weights,
                picovae_end_raw,
                1,
                start.wrapping_add(4 * rows),
                start,
            );
        }
        for (row, &sum) in (first..outputs).zip(&sums) {
            if let Some(numbers) = matrix.scale(row) {
                write(output, rounding, numbers, sum, row, out);
            }
        }
    }
}
