//! x86-64 with AVX2, for simulation: row-major weights, four rows at a time.
//!
//! The input is widened to 16 bits once; `vpmaddwd` then multiplies sixteen
//! weights of a row and adds in pairs. |w * a| is at most 2^14, so no pair
//! leaves 32 bits. Asked once a process whether the machine has AVX2.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __cpuid, __cpuid_count, __m128i, __m256i, _mm_add_epi32, _mm_loadu_si128, _mm_set1_epi32,
    _mm_setr_epi32, _mm_srai_epi32, _mm_srav_epi32, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_add_epi64, _mm256_and_si256, _mm256_castsi256_si128, _mm256_cmpgt_epi16,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_epi64, _mm256_extracti128_si256, _mm256_hadd_epi32,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mul_epi32, _mm256_permutevar8x32_epi32,
    _mm256_set1_epi16, _mm256_set1_epi64x, _mm256_setr_epi16, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_srli_epi64, _mm256_storeu_si256, _xgetbv,
};
use core::sync::atomic::{AtomicU8, Ordering};

use super::{OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::fixed::requantize::saturate_i16;
use crate::model::wire::{flags, packing};
use crate::model::{Matrix, Output, RowNumbers};

pub(super) const NAME: &str = "x86";
pub(super) const PACKING: u8 = packing::ROW_MAJOR;

/// Rows that share an activation load.
const ROWS: usize = 4;
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
    let inputs = matrix.inputs();
    if matrix.packing() != packing::ROW_MAJOR || inputs < LANES || !has_avx2() {
        return false;
    }
    let (Some(input), Some(wide)) = (input.get(..inputs), scratch.get_mut(..2 * inputs)) else {
        return false;
    };
    let Some((bias, multiplier, shift)) = matrix.row_major_numbers() else {
        return false;
    };
    // SAFETY: `has_avx2` said so; both slices have `inputs` elements of their widths.
    unsafe { widen(input, wide) };
    let short = matrix.flags() & flags::RIGHT_SHIFTS != 0;
    let outputs = matrix.outputs();
    let weights = matrix.weights();
    // Rows done four at a time; where the short requantization did, clamp and table come last.
    let mut done = 0;
    for row in (0..outputs).step_by(ROWS) {
        let block = weights.get(row * inputs..(row + ROWS) * inputs);
        let numbers = (bias.get(row..), multiplier.get(row..), shift.get(row..));
        let (Some(block), (Some(bias), Some(multiplier), Some(shift))) = (block, numbers) else {
            break;
        };
        let (Some(bias), Some(multiplier), Some(shift)) =
            (bias.first_chunk(), multiplier.first_chunk(), shift.first_chunk())
        else {
            break;
        };
        // SAFETY: AVX2 is there; the block has `ROWS * inputs` bytes and `wide` twice `inputs`.
        let sums = unsafe { four_rows(block, inputs, wide) };
        done = row + ROWS;
        if !short {
            let mut four = [0i32; ROWS];
            // SAFETY: `four` has 16 bytes.
            unsafe { _mm_storeu_si128(four.as_mut_ptr().cast::<__m128i>(), sums) };
            let scales = bias.iter().zip(multiplier).zip(shift);
            for ((index, sum), ((&bias, &multiplier), &shift)) in (row..).zip(four).zip(scales) {
                let numbers = RowNumbers { bias, multiplier, shift };
                write(output, rounding, numbers, bias.wrapping_add(sum), index, out);
            }
            continue;
        }
        // SAFETY: AVX2 is there.
        let values = unsafe { requantize_four(sums, bias, multiplier, shift, rounding) };
        match (&mut *out, output) {
            (OutputBuffer::Int8(out), &Output::Int8 { zero_point, .. }) => {
                for (out, value) in out.iter_mut().skip(row).zip(values) {
                    *out = (value + i32::from(zero_point)).clamp(-128, 127) as i8;
                }
            }
            (OutputBuffer::Int16(out), _) => {
                for (out, value) in out.iter_mut().skip(row).zip(values) {
                    *out = saturate_i16(value);
                }
            }
            (OutputBuffer::Int8(_), Output::Int16) => return true,
        }
    }
    if let (true, OutputBuffer::Int8(out)) = (short, &mut *out) {
        finish(output, out.get_mut(..done).unwrap_or_default());
    }
    for row in done..outputs {
        let weights = weights.get(row * inputs..(row + 1) * inputs).unwrap_or(&[]);
        // SAFETY: AVX2 is there; `wide` has twice the bytes of the row.
        let sum = unsafe { one_row(weights, wide) };
        let numbers = (bias.get(row), multiplier.get(row), shift.get(row));
        if let (Some(&bias), Some(&multiplier), Some(&shift)) = numbers {
            let numbers = RowNumbers { bias, multiplier, shift };
            write(output, rounding, numbers, bias.wrapping_add(sum), row, out);
        }
    }
    true
}

/// Four sums with shifts in `-31..=-1`: `((x >> (right - 1)) + 1) >> 1` never leaves 32 bits.
///
/// # Safety
/// AVX2.
#[target_feature(enable = "avx2")]
unsafe fn requantize_four(
    sums: __m128i,
    bias: &[i32; ROWS],
    multiplier: &[i32; ROWS],
    shift: &[i8; ROWS],
    rounding: Rounding,
) -> [i32; ROWS] {
    // SAFETY: all three arrays have the bytes loaded.
    let (bias, multiplier) = unsafe {
        (_mm_loadu_si128(bias.as_ptr().cast()), _mm_loadu_si128(multiplier.as_ptr().cast()))
    };
    // As stored in packings: right - 1 is the shift with all bits turned.
    let right = shift.map(|shift| i32::from(!shift));
    let right = _mm_setr_epi32(right[0], right[1], right[2], right[3]);
    let acc = _mm_add_epi32(sums, bias);
    let product = _mm256_mul_epi32(_mm256_cvtepi32_epi64(acc), _mm256_cvtepi32_epi64(multiplier));
    let double = rounding == Rounding::Double;
    let nudge = _mm256_set1_epi64x(if double { 1 << 30 } else { 0 });
    // The low word of a logical shift is that of an arithmetic one.
    let high = _mm256_srli_epi64(_mm256_add_epi64(product, nudge), 31);
    let even = _mm256_permutevar8x32_epi32(high, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    let mut value = _mm256_castsi256_si128(even);
    if double {
        value = _mm_add_epi32(value, _mm_srai_epi32(value, 31));
    }
    value = _mm_srav_epi32(value, right);
    value = _mm_srai_epi32(_mm_add_epi32(value, _mm_set1_epi32(1)), 1);
    let mut values = [0i32; ROWS];
    // SAFETY: `values` has 16 bytes.
    unsafe { _mm_storeu_si128(values.as_mut_ptr().cast::<__m128i>(), value) };
    values
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

/// The sums of four rows of `len` bytes, one behind the other.
///
/// # Safety
/// AVX2; `rows` has `4 * len` bytes and `wide` `2 * len`, `len` at least [`LANES`].
#[target_feature(enable = "avx2")]
unsafe fn four_rows(rows: &[u8], len: usize, wide: &[u8]) -> __m128i {
    let mut acc = [_mm256_setzero_si256(); ROWS];
    let (rows, activations) = (rows.as_ptr(), wide.as_ptr());
    let mut at = 0;
    while at + LANES <= len {
        // SAFETY: `at + 16 <= len` for rows and activations alike.
        unsafe {
            let a = _mm256_loadu_si256(activations.add(2 * at).cast::<__m256i>());
            for (row, acc) in acc.iter_mut().enumerate() {
                let weights = _mm_loadu_si128(rows.add(row * len + at).cast::<__m128i>());
                let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(weights), a);
                *acc = _mm256_add_epi32(*acc, product);
            }
        }
        at += LANES;
    }
    if at < len {
        // The last vector, moved back inside: its first lanes are done already, so they meet zeros.
        let back = len - LANES;
        // SAFETY: `back + 16 == len`.
        unsafe {
            let a = _mm256_loadu_si256(activations.add(2 * back).cast::<__m256i>());
            let lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let done = _mm256_set1_epi16((at - back) as i16 - 1);
            let a = _mm256_and_si256(a, _mm256_cmpgt_epi16(lane, done));
            for (row, acc) in acc.iter_mut().enumerate() {
                let weights = _mm_loadu_si128(rows.add(row * len + back).cast::<__m128i>());
                let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(weights), a);
                *acc = _mm256_add_epi32(*acc, product);
            }
        }
    }
    let [a, b, c, d] = acc;
    let folded = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(folded), _mm256_extracti128_si256(folded, 1))
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
