//! Sums of row-major rows on AVX2, one vector of activations at a time.
//!
//! A vector of 32 weights is read as sixteen words, whose low bytes are the even
//! columns and whose high bytes are the odd ones. Activations are split alike,
//! once a layer, so that `vpmaddwd` sums two columns of either in a 32-bit lane:
//! |w * a| is at most 2^14.

use core::arch::x86_64::{
    __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_hadd_epi32, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_permute2x128_si256, _mm256_setzero_si256, _mm256_slli_epi16,
    _mm256_srai_epi16, _mm256_storeu_si256,
};

/// Columns of a vector of weights.
pub(super) const LANES: usize = 32;

/// The input of a layer, split into even and odd columns.
pub(super) struct Split<'s> {
    /// For each whole vector 16 even columns as int16, then 16 odd ones.
    whole: &'s [u8],
    /// The columns behind the last whole vector, then zeros.
    tail: [i8; LANES],
    /// Columns.
    len: usize,
}

impl<'s> Split<'s> {
    /// Splits `input`; `None` where `scratch` is shorter than twice the input.
    ///
    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn new(input: &[i8], scratch: &'s mut [u8]) -> Option<Self> {
        let vectors = input.chunks_exact(LANES);
        let mut tail = [0; LANES];
        for (to, &from) in tail.iter_mut().zip(vectors.remainder()) {
            *to = from;
        }
        let whole = scratch.get_mut(..vectors.len() * 2 * LANES)?;
        for (vector, target) in vectors.zip(whole.chunks_exact_mut(2 * LANES)) {
            // SAFETY: 32 bytes are read from a chunk of 32, two vectors of 32 written to one of 64.
            unsafe {
                let (even, odd) = split(_mm256_loadu_si256(vector.as_ptr().cast()));
                _mm256_storeu_si256(target.as_mut_ptr().cast(), even);
                _mm256_storeu_si256(target.as_mut_ptr().add(LANES).cast(), odd);
            }
        }
        Some(Self { whole, tail, len: input.len() })
    }

    /// Columns of whole vectors.
    fn whole_len(&self) -> usize {
        self.whole.len() / 2
    }
}

/// Even and odd bytes as int16.
#[inline]
#[target_feature(enable = "avx2")]
fn split(bytes: __m256i) -> (__m256i, __m256i) {
    (_mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), _mm256_srai_epi16(bytes, 8))
}

/// The sums of rows `first..first + 8` of `weights`; zero where they are not there.
///
/// # Safety
/// AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn eight_rows(weights: &[u8], first: usize, input: &Split<'_>) -> __m256i {
    // SAFETY: AVX2 is there.
    let [a, b, c, d, e, f, g, h] = unsafe { rows::<8>(weights, first, input) };
    let low = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let high = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    _mm256_add_epi32(
        _mm256_permute2x128_si256(low, high, 0x20),
        _mm256_permute2x128_si256(low, high, 0x31),
    )
}

/// The sum of row `row`; zero where it is not there.
///
/// # Safety
/// AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn one_row(weights: &[u8], row: usize, input: &Split<'_>) -> i32 {
    // SAFETY: AVX2 is there.
    let [sum] = unsafe { rows::<1>(weights, row, input) };
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    let sum = _mm_hadd_epi32(sum, sum);
    _mm_cvtsi128_si32(_mm_hadd_epi32(sum, sum))
}

/// Eight partial sums of each of `N` rows.
///
/// # Safety
/// AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn rows<const N: usize>(weights: &[u8], first: usize, input: &Split<'_>) -> [__m256i; N] {
    let mut sums = [_mm256_setzero_si256(); N];
    let len = input.len;
    let Some(block) = weights.get(first * len..(first + N) * len) else {
        return sums;
    };
    let mut at = 0;
    while at < input.whole_len() {
        // SAFETY: `at + 32 <= whole_len <= len`, so row r of the block, from `r * len + at` on, and `whole` from
        // `2 * at` on have the 32 and 64 bytes read.
        unsafe {
            let vectors = input.whole.as_ptr().add(2 * at);
            let even = _mm256_loadu_si256(vectors.cast());
            let odd = _mm256_loadu_si256(vectors.add(LANES).cast());
            multiply(&mut sums, block.as_ptr().add(at), len, even, odd);
        }
        at += LANES;
    }
    if at == len {
        return sums;
    }
    // SAFETY: the tail has 32 bytes.
    let (even, odd) = unsafe { split(_mm256_loadu_si256(input.tail.as_ptr().cast())) };
    // A row's vector ends behind the row, where the tail is zero: any bytes will do, but they must be there.
    let start = first * len + at;
    if weights.len() >= start + (N - 1) * len + LANES {
        // SAFETY: the last of the vectors, of row N - 1, ends inside `weights`.
        unsafe { multiply(&mut sums, weights.as_ptr().add(start), len, even, odd) };
    } else {
        let mut copy = [[0u8; LANES]; N];
        for (row, copy) in copy.iter_mut().enumerate() {
            let from = block.get(row * len + at..(row + 1) * len).unwrap_or_default();
            for (to, &from) in copy.iter_mut().zip(from) {
                *to = from;
            }
        }
        // SAFETY: the copy has N rows of 32 bytes.
        unsafe { multiply(&mut sums, copy.as_ptr().cast(), LANES, even, odd) };
    }
    sums
}

/// Adds the products of a vector of each row.
///
/// # Safety
/// AVX2; from `weights + r * stride` on there are 32 bytes for each r below N.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply<const N: usize>(
    sums: &mut [__m256i; N],
    weights: *const u8,
    stride: usize,
    even: __m256i,
    odd: __m256i,
) {
    for (row, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let weights = unsafe { split(_mm256_loadu_si256(weights.add(row * stride).cast())) };
        let evens = _mm256_madd_epi16(weights.0, even);
        let odds = _mm256_madd_epi16(weights.1, odd);
        *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(evens, odds));
    }
}
