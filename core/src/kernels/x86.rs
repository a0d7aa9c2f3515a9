//! x86-64 with AVX2, for simulation: row-major weights, four rows at a time.
//!
//! The input is widened to 16 bits once; `vpmaddwd` then multiplies sixteen
//! weights of a row and adds in pairs. |w * a| is at most 2^14, so no pair
//! leaves 32 bits. Asked once a process whether the machine has AVX2.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __cpuid, __cpuid_count, __m128i, __m256i, _mm_add_epi32, _mm_loadu_si128, _mm_storeu_si128,
    _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256,
    _mm256_hadd_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_setzero_si256,
    _mm256_storeu_si256, _xgetbv,
};
use core::sync::atomic::{AtomicU8, Ordering};

use super::{OutputBuffer, write};
use crate::fixed::Rounding;
use crate::model::wire::packing;
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
    let mut rows = matrix.weights().chunks_exact(inputs);
    let mut row = 0;
    while row < matrix.outputs() {
        let block: [&[u8]; ROWS] = core::array::from_fn(|_| rows.next().unwrap_or(&[]));
        let mut sums = [0i32; ROWS];
        if block.iter().all(|weights| weights.len() == inputs) {
            // SAFETY: AVX2 is there; each row has `inputs` bytes and `wide` twice as many.
            sums = unsafe { four_rows(block, wide) };
        } else {
            for (sum, weights) in sums.iter_mut().zip(block) {
                *sum = weights
                    .iter()
                    .zip(input)
                    .map(|(&weight, &a)| i32::from(weight as i8) * i32::from(a))
                    .sum();
            }
        }
        for (index, sum) in (row..matrix.outputs()).zip(sums) {
            let numbers = (bias.get(index), multiplier.get(index), shift.get(index));
            if let (Some(&bias), Some(&multiplier), Some(&shift)) = numbers {
                let numbers = RowNumbers { bias, multiplier, shift };
                write(output, rounding, numbers, bias.wrapping_add(sum), index, out);
            }
        }
        row += ROWS;
    }
    true
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

/// The sums of four rows.
///
/// # Safety
/// AVX2; all rows equally long, at least [`LANES`]; `wide` has twice their bytes.
#[target_feature(enable = "avx2")]
unsafe fn four_rows(rows: [&[u8]; ROWS], wide: &[u8]) -> [i32; ROWS] {
    let len = rows[0].len();
    let mut acc = [_mm256_setzero_si256(); ROWS];
    let whole = len - len % LANES;
    for at in (0..whole).step_by(LANES) {
        // SAFETY: `at + 16 <= len` for rows and activations alike.
        unsafe {
            let activations = _mm256_loadu_si256(wide.as_ptr().add(2 * at).cast::<__m256i>());
            for (acc, row) in acc.iter_mut().zip(rows) {
                let weights = _mm_loadu_si128(row.as_ptr().add(at).cast::<__m128i>());
                let product = _mm256_madd_epi16(_mm256_cvtepi8_epi16(weights), activations);
                *acc = _mm256_add_epi32(*acc, product);
            }
        }
    }
    let [a, b, c, d] = acc;
    let folded = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let sum = _mm_add_epi32(_mm256_castsi256_si128(folded), _mm256_extracti128_si256(folded, 1));
    let mut sums = [0i32; ROWS];
    // SAFETY: `sums` has 16 bytes.
    unsafe { _mm_storeu_si128(sums.as_mut_ptr().cast::<__m128i>(), sum) };
    for (sum, row) in sums.iter_mut().zip(rows) {
        let rest = row.iter().zip(wide.chunks_exact(2)).skip(whole);
        for (&weight, activation) in rest {
            if let &[low, high] = activation {
                *sum += i32::from(weight as i8) * i32::from(i16::from_le_bytes([low, high]));
            }
        }
    }
    sums
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
