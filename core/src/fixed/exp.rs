//! Exponential, softplus and sigmoid in fixed point, from two 65-entry tables.
//!
//! All of them are exact functions of integers, the same on every target; how
//! far they lie from the real functions is stated with each and asserted in
//! `tests/tests/numerics.rs`.

use super::tables::{EXP2, LN1P};

/// log2(e) in Q30.
const LOG2_E_Q30: i64 = 1_549_082_005;

/// `e^x`: `x` in Q16, result in Q24; error at most 1.6e-5 relative plus 2^-24.
///
/// `x` is clamped to `[-17, 17]`: the result lies between one unit (6e-8) and 2.4e7.
pub fn exp_q24(x_q16: i32) -> u64 {
    let x = x_q16.clamp(-(17 << 16), 17 << 16);
    let log2 = ((i64::from(x) * LOG2_E_Q30) >> 30) as i32;
    let exponent = log2 >> 16;
    let fraction = (log2 & 0xffff) as u32;
    // [1, 2) in Q24, linear between entries: the difference is below 2^18, so the product fits u32.
    let (low, high) = pair(&EXP2, fraction >> 10);
    let mantissa = low + (((high - low) * (fraction & 0x3ff)) >> 10);
    if exponent >= 0 {
        u64::from(mantissa) << (exponent as u32).min(31)
    } else {
        let right = exponent.unsigned_abs().min(31);
        u64::from((mantissa + (1 << (right - 1))) >> right)
    }
}

/// `ln(1 + t)` for `t` in `[0, 1]`, both Q24; absolute error at most 3.44e-5.
pub fn ln_1p_q24(t_q24: u32) -> u32 {
    let t = t_q24.min(1 << 24);
    let (low, high) = pair(&LN1P, t >> 18);
    let fraction = (t & 0x3_ffff) >> 6;
    low + (((high - low) * fraction) >> 12)
}

/// `softplus(x) = ln(1 + e^x)`: `x` in Q8, result in Q24; absolute error at most 5e-5.
///
/// ```
/// use picovae_core::fixed::exp::softplus_q24;
/// let half = softplus_q24(0) as f64 / f64::from(1 << 24);
/// assert!((half - 2f64.ln()).abs() < 5e-5);
/// ```
pub fn softplus_q24(x_q8: i16) -> u32 {
    let magnitude = i32::from(x_q8).unsigned_abs();
    let tail = ln_1p_q24(exp_q24(-((magnitude as i32) << 8)) as u32);
    if x_q8 > 0 { (magnitude << 16) + tail } else { tail }
}

/// `sigmoid(x)` on the grid `[0, 255 * 64]`: `x` in Q8, 1.0 is 16,320.
///
/// This is the reconstruction of a Bernoulli decoder on the grid of the input
/// (u8 pixels with six fraction bits); within 1 of the real value.
pub fn sigmoid_grid(x_q8: i16) -> i16 {
    let magnitude = i32::from(x_q8).unsigned_abs();
    let tail_q16 = (exp_q24(-((magnitude as i32) << 8)) as u32 + 128) >> 8;
    let denominator = (1 << 16) + tail_q16;
    let numerator = (16_320u32 << 16) + denominator / 2;
    let upper = numerator.checked_div(denominator).unwrap_or(0) as i16;
    if x_q8 >= 0 { upper } else { 16_320 - upper }
}

/// Entries `index` and `index + 1` of a table, the last pair repeated at the end.
#[inline]
fn pair(table: &[u32; 65], index: u32) -> (u32, u32) {
    let index = index as usize;
    let low = table.get(index).copied().unwrap_or(0);
    (low, table.get(index + 1).copied().unwrap_or(low))
}
