//! Eight sums to the next layer's grid at once, where every shift is to the right.

use core::arch::asm;
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_add_epi64, _mm256_and_si256, _mm256_blend_epi32,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srai_epi32, _mm256_srav_epi32,
    _mm256_srli_epi64, _mm256_xor_si256,
};

use crate::fixed::Rounding;

/// Multipliers and shifts of eight rows, as [`requantize_eight`] takes them.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// Of rows 0, 2, 4, 6 in the lower halves of the lanes.
    even: __m256i,
    /// Of rows 1, 3, 5, 7.
    odd: __m256i,
    /// Shifts to the right, less one.
    right: __m256i,
    /// Half of the first rounding's divisor.
    nudge: __m256i,
    /// All bits where a negative value is lowered before the second rounding.
    lowered: __m256i,
}

impl Scale {
    /// Of eight multipliers and eight shifts in `-31..=-1`, as the blob states them.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(multiplier: __m256i, shift: __m256i, rounding: Rounding) -> Self {
        let double = i32::from(rounding == Rounding::Double);
        Self {
            even: multiplier,
            odd: _mm256_srli_epi64(multiplier, 32),
            // `-shift - 1` is the shift with all bits turned.
            right: _mm256_xor_si256(shift, _mm256_set1_epi32(-1)),
            nudge: _mm256_set1_epi64x(i64::from(double) << 30),
            lowered: _mm256_set1_epi32(-double),
        }
    }
}

/// [`requantize`](crate::fixed::requantize::requantize) of eight sums:
/// `((x >> (right - 1)) + 1) >> 1` never leaves 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn requantize_eight(acc: __m256i, scale: &Scale) -> __m256i {
    let even = _mm256_add_epi64(products(acc, scale.even), scale.nudge);
    let odd = products(_mm256_srli_epi64(acc, 32), scale.odd);
    let odd = _mm256_add_epi64(odd, scale.nudge);
    // Bits 31 to 62 of each product, in its own lane.
    let (even, odd) = (_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1));
    let value = _mm256_blend_epi32(even, odd, 0b1010_1010);
    let sign = _mm256_and_si256(_mm256_srai_epi32(value, 31), scale.lowered);
    let value = _mm256_srav_epi32(_mm256_add_epi32(value, sign), scale.right);
    _mm256_srai_epi32(_mm256_add_epi32(value, _mm256_set1_epi32(1)), 1)
}

/// 64-bit products of the signed lower halves of the lanes: `_mm256_mul_epi32`, which the compiler takes for a product
/// of whole lanes, and three instructions, once it has moved an operand's sign extension out of a loop.
#[inline]
#[target_feature(enable = "avx2")]
fn products(a: __m256i, b: __m256i) -> __m256i {
    let product;
    // SAFETY: AVX2 is there; registers alone are read and written.
    unsafe {
        asm!(
            "vpmuldq {product}, {a}, {b}",
            product = lateout(ymm_reg) product,
            a = in(ymm_reg) a,
            b = in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}
