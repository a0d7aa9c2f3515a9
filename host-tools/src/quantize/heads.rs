//! Known states of a machine in integers: what a device names beside an alarm.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::IntLatentGaussian;
use super::k_means::k_means;
use crate::graph::LatentGaussian;

/// Known states by name; both arrays are `[class][latent]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntHeads {
    /// Names, in the order of the classes.
    pub names: Vec<String>,
    /// How they are told apart.
    pub kind: IntHead,
}

/// How known states are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntHead {
    /// The nearest of diagonal Gaussians, or of centers.
    Clusters {
        /// Means in `mu`'s format.
        mean: Vec<i16>,
        /// Reciprocal deviations.
        weights: Vec<i16>,
        /// Their right shifts to 12 fraction bits.
        shifts: Vec<u8>,
        /// Twice the sum of ln of each class's deviations, Q16.
        constant: Vec<i32>,
    },
    /// A linear classifier.
    Linear {
        /// Weights.
        weights: Vec<i16>,
        /// Biases, in units of 2^8 products.
        bias: Vec<i32>,
    },
}

/// Latents of one known state, `[window][latent]`.
#[derive(Debug, Clone)]
pub struct KnownState {
    /// Its name.
    pub name: String,
    /// The core's latent means.
    pub mu: Array2<f64>,
}

impl IntHeads {
    /// Diagonal Gaussians, one a state; `None` without states, or where one has no window.
    pub fn clusters(states: &[KnownState], mu_frac_bits: u8) -> Option<Self> {
        let (mut mean, mut weights, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
        let mut constant = Vec::new();
        for state in states {
            let fitted = LatentGaussian::fit(state.mu.view(), false, unit(mu_frac_bits))?;
            let ln: f64 = fitted.whitening.diag().iter().map(|w| -w.ln()).sum();
            // `as` saturates.
            constant.push((2.0 * 65_536.0 * ln).round() as i32);
            let int = IntLatentGaussian::of(&fitted, mu_frac_bits);
            mean.extend(int.mean);
            weights.extend(int.weights);
            shifts.extend(int.shifts);
        }
        let kind = IntHead::Clusters { mean, weights, shifts, constant };
        (!states.is_empty()).then(|| Self { names: names(states), kind })
    }

    /// The nearest of some centers, `count` a state, each as wide as the others: k-means of every state's latents,
    /// for states that are several ones by themselves. `None` without states, or where one has no window.
    pub fn k_means(
        states: &[KnownState],
        count: usize,
        seed: u64,
        mu_frac_bits: u8,
    ) -> Option<Self> {
        let (mut all, mut centers, mut squares, mut windows) = (Vec::new(), Vec::new(), 0.0, 0);
        for state in states {
            let found = k_means(state.mu.view(), count, seed)?;
            all.extend(std::iter::repeat_n(state.name.clone(), found.centers.nrows()));
            centers.push(found.centers);
            squares += found.squares;
            windows += state.mu.nrows();
        }
        let views: Vec<ArrayView2<'_, f64>> = centers.iter().map(|one| one.view()).collect();
        let centers = ndarray::concatenate(Axis(0), &views).ok()?;
        // One deviation for all: it only gives the margin its unit.
        let variance = squares / (windows * centers.ncols()).max(1) as f64;
        let weight = 1.0 / (variance + unit(mu_frac_bits).powi(2)).sqrt();
        let (mut mean, mut weights, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
        for center in centers.rows() {
            let whitening = Array2::from_diag(&Array1::from_elem(center.len(), weight));
            let normal = LatentGaussian { mean: center.to_owned(), whitening, full: false };
            let int = IntLatentGaussian::of(&normal, mu_frac_bits);
            mean.extend(int.mean);
            weights.extend(int.weights);
            shifts.extend(int.shifts);
        }
        let constant = vec![0; centers.nrows()];
        Some(Self { names: all, kind: IntHead::Clusters { mean, weights, shifts, constant } })
    }

    /// A linear discriminant (Fisher 1936): one covariance about every state's own mean, all states alike
    /// likely; `None` without states, or where one has no window.
    pub fn linear(states: &[KnownState], mu_frac_bits: u8) -> Option<Self> {
        let means = states
            .iter()
            .map(|state| state.mu.mean_axis(Axis(0)))
            .collect::<Option<Vec<Array1<f64>>>>()?;
        let residuals: Vec<Array2<f64>> =
            states.iter().zip(&means).map(|(state, mean)| &state.mu - mean).collect();
        let views: Vec<ArrayView2<'_, f64>> = residuals.iter().map(|one| one.view()).collect();
        let pooled = ndarray::concatenate(Axis(0), &views).ok()?;
        let white = LatentGaussian::fit(pooled.view(), true, unit(mu_frac_bits))?.whitening;
        let planes: Vec<(Array1<f64>, f64)> = means
            .iter()
            .map(|mean| {
                let white_mean = white.dot(mean);
                (white.t().dot(&white_mean), -0.5 * white_mean.dot(&white_mean))
            })
            .collect();
        let largest = planes.iter().flat_map(|(w, _)| w).fold(1e-9f64, |max, w| max.max(w.abs()));
        let bits = (32_767.0 / largest).log2().floor();
        let scale = bits.exp2();
        // A product is a weight times a latent in its format.
        let bias_scale = scale * f64::from(1u32 << mu_frac_bits) / 256.0;
        let weights =
            planes.iter().flat_map(|(w, _)| w.map(|w| (w * scale).round() as i16)).collect();
        let bias = planes.iter().map(|(_, b)| (b * bias_scale).round() as i32).collect();
        Some(Self { names: names(states), kind: IntHead::Linear { weights, bias } })
    }
}

/// The latent's unit: deviations below it mean nothing.
fn unit(mu_frac_bits: u8) -> f64 {
    1.0 / f64::from(1u32 << mu_frac_bits)
}

fn names(states: &[KnownState]) -> Vec<String> {
    states.iter().map(|state| state.name.clone()).collect()
}
