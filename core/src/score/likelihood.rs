//! Negative log likelihoods of a window under the decoder's output.

use super::reconstruction_error::difference;
use crate::fixed::exp::softplus_q24;
use crate::fixed::tables::ENTROPY;
use crate::fixed::wide::Factor;

/// Bernoulli: `sum(softplus(l) - x * l)` in nats, Q16.
///
/// | argument | shape | format |
/// |---|---|---|
/// | `features` | `[n]` | int8, `x = (q + 128) / 255` |
/// | `logits` | `[n]` | int16, Q8 |
///
/// Within 5e-5 nats a feature of the real formula (the softplus table).
/// Infallible.
pub fn bernoulli_nll(features: &[i8], logits: &[i16]) -> i64 {
    let mut softplus = 0u64; // Q24
    let mut products = 0i64; // u * l, Q8, times 255
    for (&feature, &logit) in features.iter().zip(logits) {
        softplus += u64::from(softplus_q24(logit));
        products += i64::from((i32::from(feature) + 128) * i32::from(logit));
    }
    // 2^8 / 255 in Q39: the quotient of the exact sum, to Q16.
    const PER_255: Factor = Factor { multiplier: 2_155_905_152 / 2, shift: 30 };
    let magnitude = PER_255.scale(products.unsigned_abs());
    let explained = if products < 0 { -magnitude } else { magnitude };
    (((softplus + 128) >> 8) as i64).saturating_sub(explained)
}

/// Entropy of the features read as Bernoulli means, nats, Q16: the least NLL any
/// decoder could reach on them. Within 1e-5 nats a feature. Infallible.
///
/// ```
/// use picovae_core::score::likelihood::bernoulli_entropy;
/// assert_eq!(bernoulli_entropy(&[-128, 127]), 0); // black and white are certain
/// ```
pub fn bernoulli_entropy(features: &[i8]) -> i64 {
    features.iter().fold(0, |sum, &q| {
        // u and 255 - u have the same entropy.
        let u = (q as u8 ^ 0x80).min(!(q as u8 ^ 0x80));
        sum + i64::from(ENTROPY.get(usize::from(u)).copied().unwrap_or(0))
    })
}

/// Gaussian with a fixed precision a feature:
/// `1/2 * sum(p * (x - y)^2 + ln 2 pi - ln p)` in nats, Q16.
///
/// | argument | shape | format |
/// |---|---|---|
/// | `features` | `[n]` | int8, the features' grid |
/// | `reconstruction` | `[n]` | int16, the same grid with six fraction bits |
/// | `precision` | `[n]` | u16, relative precisions |
/// | `factor` | | from the weighted sum of squares to half its nats in Q16 |
/// | `constant` | | the data-independent terms, Q16 |
///
/// The weighted sum is exact; `factor` rounds once. Infallible.
pub fn gaussian_nll(
    features: &[i8],
    reconstruction: &[i16],
    precision: &[u16],
    factor: Factor,
    constant: i64,
) -> i64 {
    // Two 32-bit products a feature instead of one of 64 bits: no library call on M0.
    let (mut high, mut low) = (0u64, 0u64);
    for ((&x, &y), &p) in features.iter().zip(reconstruction).zip(precision) {
        let square = difference(x, y);
        high += u64::from((square >> 16) * u32::from(p));
        low += u64::from((square & 0xffff) * u32::from(p));
    }
    factor.scale((high << 16).wrapping_add(low)).saturating_add(constant)
}
