//! `KL(q(z | x) || N(0, 1))` of a diagonal Gaussian posterior.

use crate::fixed::exp::exp_q24;

/// `1/2 * sum(mu^2 + e^logvar - 1 - logvar)` in nats, Q16.
///
/// | argument | shape | format |
/// |---|---|---|
/// | `mu` | `[latent]` | int16, `mu_frac_bits` |
/// | `logvar` | `[latent]` | int16, `logvar_frac_bits`, ln of the variance |
///
/// The sum is exact in Q30 but for the table of [`exp_q24`] (1.6e-5 relative);
/// the last step rounds half up. Infallible. Source: Kingma and Welling 2014,
/// appendix B.
///
/// ```
/// use picovae_core::score::kl_divergence::kl_divergence;
/// // mu = 1, sigma = 1: half a nat.
/// assert_eq!(kl_divergence(&[1 << 12], &[0], 12, 12), 1 << 15);
/// ```
pub fn kl_divergence(mu: &[i16], logvar: &[i16], mu_frac_bits: u8, logvar_frac_bits: u8) -> i64 {
    let (mu_bits, logvar_bits) =
        (u32::from(mu_frac_bits.min(15)), u32::from(logvar_frac_bits.min(15)));
    let mut twice_q30 = 0i64;
    for (&mu, &logvar) in mu.iter().zip(logvar) {
        let (mu, logvar) = (i32::from(mu), i32::from(logvar));
        let square = i64::from(mu * mu) << (30 - 2 * mu_bits);
        let logvar_q30 = i64::from(logvar) << (30 - logvar_bits);
        let variance = exp_q24(shift_to_q16(logvar, logvar_bits)) << 6;
        // Only a hostile blob (no fraction bits, hundreds of dimensions) reaches the limits.
        twice_q30 = twice_q30.saturating_add(square + variance as i64 - (1 << 30) - logvar_q30);
    }
    twice_q30.saturating_add(1 << 14) >> 15
}

/// An integer with `frac_bits` (at most 16) fraction bits, in Q16.
pub(crate) fn shift_to_q16(value: i32, frac_bits: u32) -> i32 {
    value << (16 - frac_bits.min(16))
}
