//! What a detector has beside its network, in integers; most of it is fitted to
//! what the core itself says of the calibration windows.

use picovae_core::model::wire::sections::{Decision, Sampling};

use crate::graph::LatentGaussian;

/// Sections a blob may hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// How the latents of normal windows lie.
    pub latent_gaussian: Option<IntLatentGaussian>,
    /// Samples of the reconstruction probability.
    pub sampling: Option<Sampling>,
    /// From scores to an alarm; the default where absent.
    pub decision: Option<IntDecision>,
    /// Where the features of normal windows lie: a device may then learn its own normalization.
    pub normal_features: Option<IntNormalFeatures>,
}

/// Mean and deviation of each group of features, on the int8 grid, Q8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntNormalFeatures {
    /// Means.
    pub mean: Vec<i16>,
    /// Deviations.
    pub deviation: Vec<u16>,
}

/// A decision and the numbers it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntDecision {
    /// The section; its `range` is set when the blob is written.
    pub section: Decision,
    /// Least and greatest sample of each channel, where they are watched.
    pub range: Option<Vec<[i16; 2]>>,
}

/// A [`LatentGaussian`] in integers, see `docs/numerics.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntLatentGaussian {
    /// Mean in `mu`'s format.
    pub mean: Vec<i16>,
    /// Lower triangle row by row, or the diagonal.
    pub weights: Vec<i16>,
    /// Right shift of each row to 12 fraction bits.
    pub shifts: Vec<u8>,
    /// Whether `weights` is a triangle.
    pub full: bool,
}

/// Fraction bits of a whitened dimension.
const WHITE_FRAC_BITS: i32 = 12;

impl IntLatentGaussian {
    /// Rounds: every row to 15 bits of its own scale.
    pub fn of(normal: &LatentGaussian, mu_frac_bits: u8) -> Self {
        let unit = f64::from(1u32 << mu_frac_bits);
        let mut weights = Vec::new();
        let mut shifts = Vec::new();
        for (i, row) in normal.whitening.rows().into_iter().enumerate() {
            let first = if normal.full { 0 } else { i };
            let row: Vec<f64> = row.iter().copied().take(i + 1).skip(first).collect();
            let largest = row.iter().fold(0f64, |max, w| max.max(w.abs()));
            // Fraction bits of the row's weights: the largest fills 15 bits.
            let fill = |bits: i32| (largest * 2f64.powi(bits)).round() <= 32_767.0;
            let limit = 47 - i32::from(mu_frac_bits) + WHITE_FRAC_BITS;
            let least = WHITE_FRAC_BITS - i32::from(mu_frac_bits);
            let bits = (least..=limit).rev().find(|bits| fill(*bits)).unwrap_or(least);
            let scale = 2f64.powi(bits);
            // `as` saturates.
            weights.extend(row.iter().map(|w| (w * scale).round() as i16));
            shifts.push((bits + i32::from(mu_frac_bits) - WHITE_FRAC_BITS) as u8);
        }
        let mean = normal.mean.iter().map(|m| (m * unit).round() as i16).collect();
        Self { mean, weights, shifts, full: normal.full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};
    use picovae_core::score::mahalanobis::LatentGaussian as Device;

    /// The integer distance is within 2 in 10,000 of the real one, plus 1/1,000.
    #[test]
    fn the_integer_distance_is_the_real_one() {
        let mut seed = 7u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        for (len, spread) in [(1, 1.0), (4, 0.02), (20, 1.0), (20, 3.0)] {
            let mixing = Array2::from_shape_simple_fn((len, len), &mut draw) * spread;
            let mu = Array2::from_shape_simple_fn((400, len), &mut draw).dot(&mixing);
            for full in [false, true] {
                let normal = LatentGaussian::fit(mu.view(), full, 1.0 / 4096.0).unwrap();
                let int = IntLatentGaussian::of(&normal, 12);
                let device = Device {
                    mean: &int.mean,
                    weights: &int.weights,
                    shifts: &int.shifts,
                    full: int.full,
                };
                for reach in [0.1, 1.0, 8.0] {
                    let at = Array1::from_shape_simple_fn(len, &mut draw) * reach * spread;
                    let raw: Vec<i16> = at.iter().map(|m| (m * 4096.0).round() as i16).collect();
                    let at: Array1<f64> = raw.iter().map(|m| f64::from(*m) / 4096.0).collect();
                    // The mean as it was rounded: one unit may be many deviations.
                    let mean = int.mean.iter().map(|m| f64::from(*m) / 4096.0).collect();
                    let real =
                        LatentGaussian { mean, ..normal.clone() }.squared_distance(at.view());
                    let got = device.squared_distance(&raw) as f64 / 65_536.0;
                    let error = (got - real).abs();
                    assert!(error < 2e-4 * real + 1e-3, "{len} {full} {reach}: {got} {real}");
                }
            }
        }
    }
}
