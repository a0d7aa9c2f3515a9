//! What the packed backends share: one assembly function runs a whole layer.
//!
//! A backend defines that function and five ends of its row loop; this file checks the buffers, chooses the end, and does in Rust what the
//! short ends cannot: rows that are no multiple of four and shifts to the left.
#![allow(unsafe_code)]

pub(super) use super::backend::is_readable;
use super::backend::{PACKING, layer, scratch_bytes};
use super::{OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::model::packing::GROUP;
use crate::model::wire::flags;
use crate::model::{Matrix, Output};

/// An address the row loop jumps to with four sums; never called from Rust.
type End = unsafe extern "C" fn();

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
    fn picovae_end_int8_single();
    fn picovae_end_int16_double();
    fn picovae_end_int16_single();
    /// Stores the four int32 sums.
    fn picovae_end_raw();
}

/// Rows whose sums the general way holds at a time.
const CHUNK: usize = 8 * GROUP;

/// See [`kernels::product`](super::product); `false` where another packing or alignment came.
#[inline]
pub(super) fn product(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) -> bool {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let usable = matrix.packing() == PACKING
        && input.len() >= inputs
        && scratch.len() >= scratch_bytes(inputs)
        && scratch.as_ptr().addr().is_multiple_of(4)
        && is_readable(input)
        && out.len() >= outputs
        && inputs != 0;
    if !usable {
        return false;
    }
    if matrix.flags & flags::RIGHT_SHIFTS == 0 || !outputs.is_multiple_of(GROUP) {
        in_parts(matrix, output, rounding, input, scratch, out);
        return true;
    }
    let double = rounding == Rounding::Double;
    let (end, offset, start, len): (End, _, *mut u8, _) = match (&mut *out, output) {
        (OutputBuffer::Int8(out), &Output::Int8 { zero_point, .. }) => (
            if double { picovae_end_int8_double } else { picovae_end_int8_single },
            2 * i32::from(zero_point) + 1,
            out.as_mut_ptr().cast(),
            outputs,
        ),
        (OutputBuffer::Int16(out), _) => (
            if double { picovae_end_int16_double } else { picovae_end_int16_single },
            1,
            out.as_mut_ptr().cast(),
            2 * outputs,
        ),
        (OutputBuffer::Int8(_), Output::Int16) => return true,
    };
    let weights = matrix.weights().as_ptr();
    let out_end = start.wrapping_add(len);
    // SAFETY: `input` has `inputs` bytes and `scratch` enough, both aligned as the backend wants them; the
    // matrix has `outputs / 4` groups (the gate checked its length), `out` a number for each row.
    unsafe {
        layer(inputs, scratch.len())(
            input.as_ptr(),
            scratch.as_mut_ptr(),
            inputs,
            weights,
            end,
            offset,
            out_end,
            start,
        );
    }
    if let OutputBuffer::Int8(out) = out {
        finish(output, out.get_mut(..outputs).unwrap_or_default());
    }
    true
}

/// Rows that are no multiple of four, or shifts that the short requantization does
/// not cover: sums from the assembly, the rest from the specification.
#[cold]
#[inline(never)]
fn in_parts(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let groups = outputs.div_ceil(GROUP);
    let group_len = matrix.weights().len() / groups.max(1);
    for first in (0..outputs).step_by(CHUNK) {
        let mut sums = [0i32; CHUNK];
        let rows = (groups * GROUP - first).min(CHUNK);
        let start: *mut u8 = sums.as_mut_ptr().cast();
        let weights = matrix.weights().as_ptr().wrapping_add(first / GROUP * group_len);
        // SAFETY: `product` checked `input` and `scratch`; `rows / 4` groups follow `first`, and `sums` takes `rows`.
        unsafe {
            layer(inputs, scratch.len())(
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
