//! x86-64 with AVX2, for simulation: row-major weights, eight rows at a time.
//!
//! `x86_rows.rs` forms the sums, this file requantizes eight at once;
//! `x86_batch.rs` runs many windows on prepared weights. |w * a| is at most 2^14,
//! so no sum of two products leaves 32 bits, and any order gives the sum.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_loadl_epi64, _mm_packs_epi16, _mm_packs_epi32, _mm_storel_epi64, _mm_storeu_si128,
    _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi32, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256,
};

#[path = "x86_batch.rs"]
pub(super) mod batch;
#[path = "x86_detect.rs"]
mod detect;
#[path = "x86_requantize.rs"]
mod requantize;
#[path = "x86_rows.rs"]
mod rows;

use super::{Element, OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::model::wire::{flags, packing};
use crate::model::{Matrix, Output, RowNumbers};
use detect::has_avx2;
use requantize::{Scale, requantize_eight};
use rows::{Split, eight_rows, one_row};

pub(super) const NAME: &str = "x86";
pub(super) const PACKING: u8 = packing::ROW_MAJOR;

/// Rows of a vector of sums.
const ROWS: usize = 8;

/// See [`kernels::product`](super::product); `false` on another packing or without AVX2.
pub(super) fn product(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) -> bool {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    if matrix.packing() != packing::ROW_MAJOR || !has_avx2() || out.len() < outputs {
        return false;
    }
    let Some((bias, multiplier, shift)) = matrix.row_major_numbers() else {
        return false;
    };
    let Some(input) = input.get(..inputs) else {
        return false;
    };
    let is_wide = matches!(out, OutputBuffer::Int16(_));
    let zero_point = match (output, is_wide) {
        (&Output::Int8 { zero_point, .. }, false) => i32::from(zero_point),
        (Output::Int16, true) => 0,
        _ => return false,
    };
    // SAFETY: `has_avx2` said so.
    let Some(input) = (unsafe { Split::new(input, scratch) }) else {
        return false;
    };
    let rows = Rows { bias, multiplier, shift, weights: matrix.weights(), rounding, zero_point };
    if matrix.flags() & flags::RIGHT_SHIFTS != 0 && outputs >= ROWS {
        match out {
            OutputBuffer::Int8(out) => {
                // SAFETY: AVX2 is there.
                unsafe { all_rows(&rows, &input, out) };
                finish(output, out.get_mut(..outputs).unwrap_or_default());
            }
            // SAFETY: as above.
            OutputBuffer::Int16(out) => unsafe { all_rows(&rows, &input, out) },
        }
        return true;
    }
    let mut row = 0;
    while row < outputs {
        let mut sums = [0i32; ROWS];
        let count = if row + ROWS <= outputs { ROWS } else { 1 };
        // SAFETY: AVX2 is there; eight sums go where eight are.
        unsafe {
            if count == ROWS {
                let eight = eight_rows(rows.weights, row, &input);
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), eight);
            } else {
                sums[0] = one_row(rows.weights, row, &input);
            }
        }
        for (row, &sum) in (row..row + count).zip(&sums) {
            let numbers = (bias.get(row), multiplier.get(row), shift.get(row));
            if let (Some(&bias), Some(&multiplier), Some(&shift)) = numbers {
                let numbers = RowNumbers { bias, multiplier, shift };
                write(output, rounding, numbers, bias.wrapping_add(sum), row, out);
            }
        }
        row += count;
    }
    true
}

/// A row-major matrix and what its rows end with.
struct Rows<'a> {
    bias: &'a [i32],
    multiplier: &'a [i32],
    shift: &'a [i8],
    weights: &'a [u8],
    rounding: Rounding,
    zero_point: i32,
}

/// All rows, eight at a time; the last eight may overlap those before them. At least eight.
///
/// # Safety
/// AVX2.
#[target_feature(enable = "avx2")]
unsafe fn all_rows<T: Element>(rows: &Rows<'_>, input: &Split<'_>, out: &mut [T]) {
    let count = rows.bias.len();
    let mut row = 0;
    while row < count {
        let first = row.min(count.saturating_sub(ROWS));
        let (Some(bias), Some(multiplier), Some(shift), Some(out)) = (
            eight(rows.bias, first),
            eight(rows.multiplier, first),
            eight(rows.shift, first),
            out.get_mut(first..first + ROWS),
        ) else {
            return;
        };
        // SAFETY: AVX2 is there; eight elements of `out` are.
        unsafe {
            let sums = eight_rows(rows.weights, first, input);
            let acc = _mm256_add_epi32(sums, _mm256_loadu_si256(bias.as_ptr().cast()));
            let multiplier = _mm256_loadu_si256(multiplier.as_ptr().cast());
            let shift = _mm256_cvtepi8_epi32(_mm_loadl_epi64(shift.as_ptr().cast()));
            let scale = Scale::new(multiplier, shift, rows.rounding);
            let values = requantize_eight(acc, &scale);
            let values = _mm256_add_epi32(values, _mm256_set1_epi32(rows.zero_point));
            // Saturates to int16; int8 once more.
            let low = _mm256_castsi256_si128(values);
            let words = _mm_packs_epi32(low, _mm256_extracti128_si256(values, 1));
            let target = out.as_mut_ptr().cast::<__m128i>();
            if T::WIDE {
                _mm_storeu_si128(target, words);
            } else {
                _mm_storel_epi64(target, _mm_packs_epi16(words, words));
            }
        }
        row += ROWS;
    }
}

/// Eight numbers from `first` on.
#[inline]
fn eight<T>(numbers: &[T], first: usize) -> Option<&[T; ROWS]> {
    numbers.get(first..)?.first_chunk()
}

/// Calls `work`, compiled for AVX2 where the machine has it: nothing but the instructions chosen differs.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2")]
    fn on_avx2<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    if has_avx2() {
        // SAFETY: `has_avx2` said so.
        unsafe { on_avx2(work) }
    } else {
        work()
    }
}
