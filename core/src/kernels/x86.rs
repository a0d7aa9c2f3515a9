//! x86-64 with AVX2, for simulation: row-major weights, eight rows at a time.
//!
//! The input is widened to 16 bits once; `vpmaddwd` then multiplies sixteen
//! weights of a row and adds in pairs. |w * a| is at most 2^14, so no pair
//! leaves 32 bits. Asked once a process whether the machine has AVX2.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __cpuid, __cpuid_count, __m128i, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm_packs_epi16,
    _mm_packs_epi32, _mm_storel_epi64, _mm_storeu_si128, _mm256_add_epi32, _mm256_add_epi64,
    _mm256_and_si256, _mm256_blend_epi32, _mm256_castsi256_si128, _mm256_cmpgt_epi16,
    _mm256_cvtepi8_epi16, _mm256_cvtepi8_epi32, _mm256_extracti128_si256, _mm256_hadd_epi32,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_epi32, _mm256_permute2x128_si256,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setr_epi16,
    _mm256_setzero_si256, _mm256_slli_epi64, _mm256_srai_epi32, _mm256_srav_epi32,
    _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256, _xgetbv,
};
use core::sync::atomic::{AtomicU8, Ordering};

use super::{Element, OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::model::wire::{flags, packing};
use crate::model::{Matrix, Output, RowNumbers};

pub(super) const NAME: &str = "x86";
pub(super) const PACKING: u8 = packing::ROW_MAJOR;

/// Rows that share an activation load.
const ROWS: usize = 8;
/// Columns of a vector.
const LANES: usize = 16;

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
    if matrix.packing() != packing::ROW_MAJOR || inputs < LANES || !has_avx2() {
        return false;
    }
    let (Some(input), Some(wide)) = (input.get(..inputs), scratch.get_mut(..2 * inputs)) else {
        return false;
    };
    let Some((bias, multiplier, shift)) = matrix.row_major_numbers() else {
        return false;
    };
    let weights = matrix.weights();
    if weights.len() < inputs * outputs || out.len() < outputs {
        return false;
    }
    // SAFETY: `has_avx2` said so; both slices have `inputs` elements of their widths.
    unsafe { widen(input, wide) };
    let is_wide = matches!(out, OutputBuffer::Int16(_));
    let zero_point = match (output, is_wide) {
        (&Output::Int8 { zero_point, .. }, false) => i32::from(zero_point),
        (Output::Int16, true) => 0,
        _ => return false,
    };
    if matrix.flags() & flags::RIGHT_SHIFTS != 0 && outputs >= ROWS {
        let rows = Rows { bias, multiplier, shift, weights, len: inputs, rounding, zero_point };
        match out {
            OutputBuffer::Int8(out) => {
                // SAFETY: AVX2 is there; `weights` has all rows, `wide` twice their length, `out` an element a row.
                unsafe { all_rows(&rows, wide, out) };
                finish(output, out.get_mut(..outputs).unwrap_or_default());
            }
            // SAFETY: as above.
            OutputBuffer::Int16(out) => unsafe { all_rows(&rows, wide, out) },
        }
        return true;
    }
    for row in 0..outputs {
        let weights = weights.get(row * inputs..(row + 1) * inputs).unwrap_or(&[]);
        // SAFETY: AVX2 is there.
        let sum = unsafe { one_row(weights, wide) };
        let numbers = (bias.get(row), multiplier.get(row), shift.get(row));
        if let (Some(&bias), Some(&multiplier), Some(&shift)) = numbers {
            let numbers = RowNumbers { bias, multiplier, shift };
            write(output, rounding, numbers, bias.wrapping_add(sum), row, out);
        }
    }
    true
}

/// A row-major matrix and what its rows end with.
struct Rows<'a> {
    bias: &'a [i32],
    multiplier: &'a [i32],
    shift: &'a [i8],
    weights: &'a [u8],
    /// Columns.
    len: usize,
    rounding: Rounding,
    zero_point: i32,
}

/// All rows, eight at a time; the last eight may overlap those before them.
///
/// # Safety
/// AVX2; at least [`ROWS`] rows, `weights` has all of them, `wide` has twice `len` bytes, `out` an element a row.
#[target_feature(enable = "avx2")]
unsafe fn all_rows<T: Element>(rows: &Rows<'_>, wide: &[u8], out: &mut [T]) {
    let count = rows.bias.len();
    let mut row = 0;
    while row < count {
        let first = row.min(count - ROWS);
        let (Some(bias), Some(multiplier), Some(shift)) = (
            rows.bias.get(first..).and_then(<[i32]>::first_chunk),
            rows.multiplier.get(first..).and_then(<[i32]>::first_chunk),
            rows.shift.get(first..).and_then(<[i8]>::first_chunk),
        ) else {
            return;
        };
        // SAFETY: rows `first..first + 8` and elements `first..first + 8` are there, by the caller's promise.
        unsafe {
            let sums = eight_rows(rows.weights.as_ptr().add(first * rows.len), rows.len, wide);
            let values = requantize_eight(sums, bias, multiplier, shift, rows.rounding);
            let values = _mm256_add_epi32(values, _mm256_set1_epi32(rows.zero_point));
            // Saturates to int16; int8 once more.
            let low = _mm256_castsi256_si128(values);
            let words = _mm_packs_epi32(low, _mm256_extracti128_si256(values, 1));
            let target = out.as_mut_ptr().add(first).cast::<__m128i>();
            if T::WIDE {
                _mm_storeu_si128(target, words);
            } else {
                _mm_storel_epi64(target, _mm_packs_epi16(words, words));
            }
        }
        row += ROWS;
    }
}

/// Eight sums with shifts in `-31..=-1`: `((x >> (right - 1)) + 1) >> 1` never leaves 32 bits.
///
/// # Safety
/// AVX2.
#[target_feature(enable = "avx2")]
unsafe fn requantize_eight(
    sums: __m256i,
    bias: &[i32; ROWS],
    multiplier: &[i32; ROWS],
    shift: &[i8; ROWS],
    rounding: Rounding,
) -> __m256i {
    // SAFETY: all three arrays have the bytes loaded.
    let (bias, multiplier, shift) = unsafe {
        (
            _mm256_loadu_si256(bias.as_ptr().cast()),
            _mm256_loadu_si256(multiplier.as_ptr().cast()),
            _mm_loadl_epi64(shift.as_ptr().cast()),
        )
    };
    // As stored in packings: right - 1 is the shift with all bits turned.
    let right = _mm256_xor_si256(_mm256_cvtepi8_epi32(shift), _mm256_set1_epi32(-1));
    let acc = _mm256_add_epi32(sums, bias);
    let double = rounding == Rounding::Double;
    let nudge = _mm256_set1_epi64x(if double { 1 << 30 } else { 0 });
    let upper = |lanes| _mm256_srli_epi64(lanes, 32);
    let even = _mm256_add_epi64(_mm256_mul_epi32(acc, multiplier), nudge);
    let odd = _mm256_add_epi64(_mm256_mul_epi32(upper(acc), upper(multiplier)), nudge);
    // Bits 31 to 62 of each product, in its own lane.
    let (even, odd) = (_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1));
    let mut value = _mm256_blend_epi32(even, odd, 0b1010_1010);
    if double {
        value = _mm256_add_epi32(value, _mm256_srai_epi32(value, 31));
    }
    value = _mm256_srav_epi32(value, right);
    _mm256_srai_epi32(_mm256_add_epi32(value, _mm256_set1_epi32(1)), 1)
}

/// int8 to int16, little-endian bytes.
///
/// # Safety
/// AVX2; `wide` has twice the bytes of `input`, at least [`LANES`] elements.
#[target_feature(enable = "avx2")]
unsafe fn widen(input: &[i8], wide: &mut [u8]) {
    let len = input.len();
    for at in (0..len).step_by(LANES) {
        // The last vector overlaps the one before, so nothing lies outside.
        let at = at.min(len - LANES);
        // SAFETY: `at + 16 <= len`.
        unsafe {
            let bytes = _mm_loadu_si128(input.as_ptr().add(at).cast::<__m128i>());
            let target = wide.as_mut_ptr().add(2 * at).cast::<__m256i>();
            _mm256_storeu_si256(target, _mm256_cvtepi8_epi16(bytes));
        }
    }
}

/// The sums of eight rows of `len` bytes, one behind the other.
///
/// # Safety
/// AVX2; `rows` has `8 * len` bytes and `wide` `2 * len`, `len` at least [`LANES`].
#[target_feature(enable = "avx2")]
unsafe fn eight_rows(rows: *const u8, len: usize, wide: &[u8]) -> __m256i {
    let mut acc = [_mm256_setzero_si256(); ROWS];
    let activations = wide.as_ptr();
    let mut add = |at: usize, a: __m256i| {
        for (row, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `at + 16 <= len` at both calls.
            let weights = unsafe { _mm_loadu_si128(rows.add(row * len + at).cast::<__m128i>()) };
            let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(weights), a);
            *acc = _mm256_add_epi32(*acc, product);
        }
    };
    let mut at = 0;
    while at + LANES <= len {
        // SAFETY: `at + 16 <= len`.
        add(at, unsafe { _mm256_loadu_si256(activations.add(2 * at).cast::<__m256i>()) });
        at += LANES;
    }
    if at < len {
        // The last vector, moved back inside: its first lanes are done already, so they meet zeros.
        let back = len - LANES;
        // SAFETY: `back + 16 == len`.
        let a = unsafe { _mm256_loadu_si256(activations.add(2 * back).cast::<__m256i>()) };
        let lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let done = _mm256_set1_epi16((at - back) as i16 - 1);
        add(back, _mm256_and_si256(a, _mm256_cmpgt_epi16(lane, done)));
    }
    let [a, b, c, d, e, f, g, h] = acc;
    let low = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let high = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    _mm256_add_epi32(
        _mm256_permute2x128_si256(low, high, 0x20),
        _mm256_permute2x128_si256(low, high, 0x31),
    )
}

/// The sum of one row.
///
/// # Safety
/// AVX2, for speed alone.
#[target_feature(enable = "avx2")]
unsafe fn one_row(row: &[u8], wide: &[u8]) -> i32 {
    let activations = wide.chunks_exact(2).map(|pair| match pair {
        &[low, high] => i32::from(i16::from_le_bytes([low, high])),
        _ => 0,
    });
    row.iter().zip(activations).map(|(&weight, a)| i32::from(weight as i8) * a).sum()
}

/// Whether the processor has AVX2 and the system keeps its registers.
fn has_avx2() -> bool {
    /// 0 unknown, 1 no, 2 yes.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let found = detect_avx2();
            KNOWN.store(1 + u8::from(found), Ordering::Relaxed);
            found
        }
        known => known == 2,
    }
}

#[allow(unused_unsafe)]
fn detect_avx2() -> bool {
    const OSXSAVE_AVX: u32 = 1 << 27 | 1 << 28;
    /// SSE and AVX state.
    const STATE: u64 = 0b110;
    // SAFETY: every x86-64 has CPUID; XGETBV is there when OSXSAVE is.
    unsafe {
        __cpuid(0).eax >= 7
            && __cpuid(1).ecx & OSXSAVE_AVX == OSXSAVE_AVX
            && enabled_state() & STATE == STATE
            && __cpuid_count(7, 0).ebx & (1 << 5) != 0
    }
}

/// # Safety
/// The processor has XSAVE.
#[target_feature(enable = "xsave")]
unsafe fn enabled_state() -> u64 {
    // SAFETY: the caller's promise.
    unsafe { _xgetbv(0) }
}
