//! The binary logarithm of a 64-bit integer, from the table of `ln(1 + t)`.

use super::exp::ln_1p_q24;

/// log2(e) in Q16.
const LOG2_E_Q16: u64 = 94_548;

/// `log2(x)` in Q16; 0 for `x = 0`. Absolute error at most 7e-5.
///
/// ```
/// use picovae_core::fixed::log2::log2_q16;
/// assert_eq!(log2_q16(1), 0);
/// assert_eq!(log2_q16(1 << 40), 40 << 16);
/// ```
pub fn log2_q16(x: u64) -> i32 {
    let Some(exponent) = x.checked_ilog2() else { return 0 };
    // The bits below the leading one, as a fraction in Q24.
    let fraction = (x << (63 - exponent) << 1) >> 40;
    let ln = u64::from(ln_1p_q24(fraction as u32));
    ((exponent << 16) + ((ln * LOG2_E_Q16 + (1 << 23)) >> 24) as u32) as i32
}
