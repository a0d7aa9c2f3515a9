//! From an int32 accumulator to the next layer's grid: multiplier and shift.
//!
//! Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for
//! Efficient Integer-Arithmetic-Only Inference"; TensorFlow Lite's
//! `MultiplyByQuantizedMultiplier`, whose two roundings are both in the wild.

/// How [`requantize`] rounds. The blob names it, both are implemented everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Rounding {
    /// gemmlowp's pair of roundings (TensorFlow Lite's reference kernels):
    /// a doubling high multiply that rounds half up, then a right shift that
    /// rounds half away from zero.
    Double,
    /// One rounding, half up, of the exact 64-bit product.
    Single,
}

/// `acc * multiplier * 2^(shift - 31)`, rounded as `rounding` says.
///
/// | argument | range |
/// |---|---|
/// | `acc` | with [`Rounding::Double`] and `shift > 0`, `acc << shift` must fit i32 |
/// | `multiplier` | Q0.31 in `[2^30, 2^31)`, or 0 |
/// | `shift` | `-31..=15`, negative is to the right |
///
/// Infallible: [`Model::parse`](crate::Model::parse) proves the ranges, and
/// outside of them the result wraps or saturates, it never panics.
///
/// ```
/// use picovae_core::fixed::requantize::{requantize, Rounding};
/// // 100 * 0.75 * 2^-1 = 37.5
/// assert_eq!(requantize(100, 3 << 29, -1, Rounding::Double), 38);
/// assert_eq!(requantize(-100, 3 << 29, -1, Rounding::Double), -38); // away from zero
/// assert_eq!(requantize(-100, 3 << 29, -1, Rounding::Single), -37); // up
/// ```
#[inline]
pub fn requantize(acc: i32, multiplier: i32, shift: i8, rounding: Rounding) -> i32 {
    match rounding {
        Rounding::Double => requantize_double(acc, multiplier, shift),
        Rounding::Single => requantize_single(acc, multiplier, shift),
    }
}

/// [`requantize`] with [`Rounding::Double`].
#[inline]
pub fn requantize_double(acc: i32, multiplier: i32, shift: i8) -> i32 {
    let left = i32::from(shift).clamp(0, 15) as u32;
    let right = (-i32::from(shift)).clamp(0, 31) as u32;
    let product = i64::from(acc.wrapping_shl(left)) * i64::from(multiplier);
    // multiplier >= 0, so the one saturating case of gemmlowp (both -2^31) cannot arise.
    let high = (product.wrapping_add(1 << 30) >> 31) as i32;
    if right == 0 {
        return high;
    }
    // Half away from zero: a negative value is lowered by one before half is added, the last bit but one shifted out;
    // |high| is below 2^31 - 1, because the multiplier is.
    (high.wrapping_add(high >> 31) >> (right - 1)).wrapping_add(1) >> 1
}

/// [`requantize`] with [`Rounding::Single`]; saturates to i32.
#[inline]
pub fn requantize_single(acc: i32, multiplier: i32, shift: i8) -> i32 {
    let total = (31 - i32::from(shift)).clamp(16, 62) as u32;
    let product = i64::from(acc) * i64::from(multiplier);
    if total > 32 {
        // The low word has no part in it, and a product's high word is at most 2^30: no saturation.
        let (high, right) = ((product >> 32) as i32, total - 32);
        return high.wrapping_add(1 << (right - 1)) >> right;
    }
    let rounded = product.wrapping_add(1i64 << (total - 1)) >> total;
    saturate_i32(rounded)
}

/// [`requantize`] where `shift` is in `-31..=-1`, in a few instructions: `|x| < 2^31 - 1`, because the multiplier is.
#[inline]
pub fn requantize_right(acc: i32, multiplier: i32, shift: i8, rounding: Rounding) -> i32 {
    let product = i64::from(acc) * i64::from(multiplier);
    let (nudge, lowered) = match rounding {
        Rounding::Double => (1 << 30, -1),
        Rounding::Single => (0, 0),
    };
    let value = (product.wrapping_add(nudge) >> 31) as i32;
    // `-shift - 1`: the last bit is shifted out when half of it has been added.
    let right = u32::from(!shift as u8) & 31;
    (value.wrapping_add((value >> 31) & lowered) >> right).wrapping_add(1) >> 1
}

/// The nearest i32.
#[inline]
pub fn saturate_i32(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// The nearest i16.
#[inline]
pub fn saturate_i16(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// gemmlowp's text, literally, with truncating division.
    fn gemmlowp(acc: i32, multiplier: i32, shift: i32) -> i32 {
        let (left, right) = (shift.max(0), (-shift).max(0));
        let a = i64::from(acc) << left;
        let ab = a * i64::from(multiplier);
        let nudge = if ab >= 0 { 1 << 30 } else { 1 - (1 << 30) };
        let high = ((ab + nudge) / (1i64 << 31)) as i32;
        let mask = (1i64 << right) - 1;
        let remainder = i64::from(high) & mask;
        let threshold = (mask >> 1) + i64::from(high < 0);
        (high >> right.min(31)) + i32::from(remainder > threshold)
    }

    #[test]
    fn double_rounding_is_gemmlowp_on_edges_and_a_sweep() {
        let multipliers = [1 << 30, (1 << 30) + 1, 1_518_500_250, i32::MAX];
        let mut acc = 1i32;
        for step in 0..20_000i32 {
            acc = acc.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for multiplier in multipliers {
                for shift in [-31i8, -30, -17, -8, -2, -1, 0] {
                    for value in [acc, acc >> 12, step - 10_000, i32::MIN, i32::MAX] {
                        assert_eq!(
                            requantize_double(value, multiplier, shift),
                            gemmlowp(value, multiplier, shift.into()),
                            "{value} {multiplier} {shift}"
                        );
                        for rounding in [Rounding::Double, Rounding::Single] {
                            assert!(
                                shift == 0
                                    || requantize_right(value, multiplier, shift, rounding)
                                        == requantize(value, multiplier, shift, rounding),
                                "{value} {multiplier} {shift} {rounding:?}"
                            );
                        }
                    }
                }
                let small = acc >> 16;
                assert_eq!(requantize_double(small, multiplier, 7), gemmlowp(small, multiplier, 7));
            }
        }
    }

    #[test]
    fn single_rounding_is_the_exact_product_rounded_half_up() {
        assert_eq!(requantize_single(3, 1 << 30, 0), 2); // 1.5 up
        assert_eq!(requantize_single(-3, 1 << 30, 0), -1); // -1.5 up
        assert_eq!(requantize_single(i32::MAX, i32::MAX, 15), i32::MAX); // saturates
        assert_eq!(requantize_single(1000, 1 << 30, 3), 4000);
        let mut acc = 1i32;
        for _ in 0..20_000 {
            acc = acc.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for shift in -31..=-1i8 {
                for (acc, multiplier) in [
                    (acc, i32::MAX),
                    (acc >> 9, 1 << 30),
                    (i32::MIN, i32::MAX),
                    (i32::MAX, acc & i32::MAX),
                ] {
                    let total = 31 - i32::from(shift);
                    let exact =
                        (i128::from(acc) * i128::from(multiplier) + (1 << (total - 1))) >> total;
                    assert_eq!(i128::from(requantize_single(acc, multiplier, shift)), exact);
                }
            }
        }
    }
}
