//! A whole 1-D convolution in one call of assembly, where M0+ and M3 gain by it.
//!
//! Windows overlap, and with few columns a row the way into a product costs as much as the product: here the
//! input is put into the kernel's form once, edges included, and the assembly walks over the positions. For
//! outputs with a fused ReLU (zero point -128), where sums below zero need no requantization. Anything else, or
//! too little scratch, goes the general way (`windows.rs`), with the same result.
#![allow(unsafe_code)]

#[cfg(kernels = "armv6m")]
#[path = "strip_armv6m.rs"]
mod assembly;
#[cfg(kernels = "armv7m")]
#[path = "strip_armv7m.rs"]
mod assembly;

use assembly::{Activation, BEHIND, activation, is_able};

use super::packed::End;
use super::windows::Windows;
use crate::fixed::Rounding;
use crate::model::{Matrix, Output};

/// What the assembly reads; the order is its own.
#[repr(C)]
struct Arguments {
    window: *const Activation,
    weights: *const u8,
    out: *mut i8,
    /// Bytes to the next window.
    step: usize,
    skip: usize,
    rows: usize,
    positions: usize,
    end: End,
    columns: usize,
}

unsafe extern "C" {
    fn picovae_strip(arguments: *const Arguments);
    fn picovae_strip_end_double();
    fn picovae_strip_end_single();
}

/// Writes all positions, from the start of `out`; `false` where the general way has to.
/// The matrix has passed `prepare`: this backend's packing, groups whole and shifts to the right.
pub(super) fn run(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    windows: &Windows,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [i8],
) -> bool {
    let (columns, rows) = (matrix.inputs(), matrix.outputs());
    let Some(between) = windows.count.checked_sub(1) else { return false };
    let elements = between * windows.step + columns;
    // Words are copied as words: the input's first byte goes to a multiple of four.
    let lead = usize::try_from(-windows.start).unwrap_or(0);
    let scratch = match size_of::<Activation>() {
        1 => scratch.get_mut(lead.wrapping_neg() % 4..).unwrap_or_default(),
        _ => scratch,
    };
    let fits = scratch.len() >= (elements + BEHIND) * size_of::<Activation>()
        && out.len() >= between * (rows + windows.skip) + rows;
    let is_relu = matches!(output, Output::Int8 { zero_point: i8::MIN, .. });
    if !is_able(columns) || !is_relu || !fits {
        return false;
    }
    let len = (elements + BEHIND) * size_of::<Activation>();
    let Some(Ok(strip)) = scratch.get_mut(..len).map(bytemuck::try_cast_slice_mut) else {
        return false;
    };
    let from = usize::try_from(windows.start).unwrap_or(0);
    fill(strip, lead, input.get(from..).unwrap_or(&[]), windows.zero_point);
    let end: End = match rounding {
        Rounding::Double => picovae_strip_end_double,
        Rounding::Single => picovae_strip_end_single,
    };
    let arguments = Arguments {
        window: strip.as_ptr(),
        weights: matrix.weights().as_ptr(),
        out: out.as_mut_ptr(),
        step: windows.step * size_of::<Activation>(),
        skip: windows.skip,
        rows,
        positions: windows.count,
        end,
        columns,
    };
    // SAFETY: the strip holds every window and what is read behind the last one, aligned for its elements; the
    // matrix has `rows / 4` groups, at least one (the gate), and `out` room for all positions, as checked above.
    unsafe { picovae_strip(&raw const arguments) };
    true
}

/// `lead` zero points, the input as far as the strip goes, zero points.
#[inline(never)]
fn fill(strip: &mut [Activation], lead: usize, input: &[i8], zero_point: i8) {
    let (head, rest) = strip.split_at_mut(lead.min(strip.len()));
    let len = input.len().min(rest.len());
    let (body, tail) = rest.split_at_mut(len);
    head.fill(activation(zero_point));
    tail.fill(activation(zero_point));
    let input = input.get(..len).unwrap_or(&[]);
    // Four bytes at a time where activations are bytes and both are aligned.
    let mut done = 0;
    if size_of::<Activation>() == 1 {
        let whole = len & !3;
        let words = body.get_mut(..whole).map(bytemuck::try_cast_slice_mut::<Activation, u32>);
        let from = input.get(..whole).map(bytemuck::try_cast_slice::<i8, u32>);
        if let (Some(Ok(words)), Some(Ok(from))) = (words, from) {
            for (to, &word) in words.iter_mut().zip(from) {
                *to = word ^ 0x8080_8080;
            }
            done = whole;
        }
    }
    for (to, &value) in body.iter_mut().zip(input).skip(done) {
        *to = activation(value);
    }
}
