//! Squared Mahalanobis distance of a latent from those of normal windows.

use crate::fixed::requantize::saturate_i32;

/// Fraction bits of a whitened dimension.
const WHITE_FRAC_BITS: u32 = 12;

/// A Gaussian fitted to the latents of normal windows.
#[derive(Clone, Copy, Debug)]
pub struct LatentGaussian<'a> {
    /// Mean, `mu_frac_bits`, one a dimension.
    pub mean: &'a [i16],
    /// Inverse of the covariance's Cholesky factor: its lower triangle row by
    /// row where `full`, else its diagonal.
    pub weights: &'a [i16],
    /// Right shift of each row to 12 fraction bits, at most 47.
    pub shifts: &'a [u8],
    /// Whether `weights` is a triangle.
    pub full: bool,
}

impl LatentGaussian<'_> {
    /// `sum_i((sum_j(W[i][j] * (mu[j] - mean[j])))^2)`, Q16.
    ///
    /// Inner sums are exact in 64 bits and rounded once, half up, to 12 fraction bits
    /// (saturated to int32); the sum of their squares is exact, saturated, and
    /// rounded once. Infallible. Source: Mahalanobis 1936.
    ///
    /// ```
    /// use picovae_core::score::mahalanobis::LatentGaussian;
    /// // One dimension, mean 1, deviation 1/2 (weight 2 in Q12), mu = 2: two deviations away.
    /// let normal = LatentGaussian { mean: &[1 << 12], weights: &[2 << 12], shifts: &[12], full: false };
    /// assert_eq!(normal.squared_distance(&[2 << 12]), 4 << 16);
    /// ```
    pub fn squared_distance(&self, mu: &[i16]) -> i64 {
        let mut sum = 0u64;
        let mut weights = self.weights.iter();
        for (row, &shift) in self.shifts.iter().enumerate() {
            let first = if self.full { 0 } else { row };
            let pairs = mu.iter().zip(self.mean).take(row + 1).skip(first);
            let dot = pairs.zip(&mut weights).fold(0i64, |dot, ((&mu, &mean), &weight)| {
                dot + i64::from(i32::from(mu) - i32::from(mean)) * i64::from(weight)
            });
            let shift = u32::from(shift.min(47));
            let half = (1i64 << shift) >> 1;
            let white = i64::from(saturate_i32((dot + half) >> shift));
            sum = sum.saturating_add((white * white) as u64);
        }
        const DOWN: u32 = 2 * WHITE_FRAC_BITS - 16;
        (sum.saturating_add(1 << (DOWN - 1)) >> DOWN) as i64
    }
}
