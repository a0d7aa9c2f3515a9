//! A Gaussian over the latents of normal windows, and how far a latent lies from it.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Share of the mean variance added to every dimension's own, so that a latent
/// that hardly moves does not decide alone.
const RIDGE: f64 = 1e-3;

/// Mean and whitening of the latents of normal windows.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentGaussian {
    /// `mean[latent]`.
    pub mean: Array1<f64>,
    /// `whitening[latent][latent]`, lower triangular: the inverse of the covariance's Cholesky factor.
    pub whitening: Array2<f64>,
    /// Whether the covariance is full; else only its diagonal counts.
    pub full: bool,
}

impl LatentGaussian {
    /// Fits `mu[window][latent]`; `None` without windows. `full` takes ten windows a
    /// dimension at least, fewer give a diagonal. `floor` is the least deviation.
    pub fn fit(mu: ArrayView2<'_, f64>, full: bool, floor: f64) -> Option<Self> {
        let (count, len) = mu.dim();
        let mean = mu.mean_axis(Axis(0))?;
        let centered = &mu - &mean;
        let mut covariance = centered.t().dot(&centered) / count as f64;
        let ridge = RIDGE * covariance.diag().mean()? + floor * floor;
        covariance.diag_mut().mapv_inplace(|variance| variance + ridge);
        let full = full && count >= 10 * len;
        let whitening = if full {
            invert_lower(&cholesky(&covariance)?)
        } else {
            Array2::from_diag(&covariance.diag().mapv(|variance| 1.0 / variance.sqrt()))
        };
        Some(Self { mean, whitening, full })
    }

    /// Squared Mahalanobis distance.
    pub fn squared_distance(&self, mu: ArrayView1<'_, f64>) -> f64 {
        let white = self.whitening.dot(&(&mu - &self.mean));
        white.dot(&white)
    }
}

/// The lower triangular factor of a symmetric positive definite matrix.
fn cholesky(matrix: &Array2<f64>) -> Option<Array2<f64>> {
    let len = matrix.nrows();
    let mut factor = Array2::<f64>::zeros((len, len));
    for i in 0..len {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| factor[[i, k]] * factor[[j, k]]).sum();
            let rest = matrix[[i, j]] - known;
            factor[[i, j]] = if i == j {
                if rest <= 0.0 {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / factor[[j, j]]
            };
        }
    }
    Some(factor)
}

/// Inverse of a lower triangle, by forward substitution.
fn invert_lower(factor: &Array2<f64>) -> Array2<f64> {
    let len = factor.nrows();
    let mut inverse = Array2::<f64>::zeros((len, len));
    for column in 0..len {
        for i in column..len {
            let known: f64 = (column..i).map(|k| factor[[i, k]] * inverse[[k, column]]).sum();
            let unit = if i == column { 1.0 } else { 0.0 };
            inverse[[i, column]] = (unit - known) / factor[[i, i]];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_mean_distance_of_what_was_fitted_is_the_dimension() {
        let mut seed = 1u64;
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f64 / f64::from(1 << 24) - 0.5
        };
        let mu = Array2::from_shape_simple_fn((500, 3), &mut draw);
        // Correlated dimensions of unlike sizes.
        let mu = mu.dot(&array![[1.0, 2.0, 0.0], [0.0, 0.1, 5.0], [0.3, 0.0, 40.0]]);
        for full in [false, true] {
            let normal = LatentGaussian::fit(mu.view(), full, 0.0).unwrap();
            assert_eq!(normal.full, full);
            let rows = mu.rows().into_iter();
            let mean = rows.map(|row| normal.squared_distance(row)).sum::<f64>() / 500.0;
            // The ridge takes a little of the small dimensions.
            assert!((1.8..=3.001).contains(&mean), "{full} {mean}");
        }
        assert!(!LatentGaussian::fit(mu.slice(ndarray::s![..20, ..]), true, 0.0).unwrap().full);
    }
}
