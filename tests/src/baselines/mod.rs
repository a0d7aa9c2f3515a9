//! What a detector is measured beside: isolation forest, Mahalanobis distance and PCA reconstruction,
//! on the features that the detector reads.

mod isolation_forest;
mod pca;
pub mod pumps;

pub use isolation_forest::IsolationForest;
pub use pca::Pca;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use picovae::graph::LatentGaussian;

/// A detector that is fitted to normal windows.
#[derive(Debug)]
pub enum Baseline {
    /// Liu et al. 2008.
    IsolationForest(IsolationForest),
    /// Squared Mahalanobis distance, the covariance full where there are windows enough.
    Mahalanobis(LatentGaussian),
    /// Squared distance from the principal subspace.
    Pca(Pca),
}

/// Features with zero mean and unit deviation.
#[derive(Debug)]
pub struct Standard {
    mean: Array1<f32>,
    deviation: Array1<f32>,
}

impl Standard {
    /// Fits `x[window][feature]`.
    pub fn fit(x: ArrayView2<'_, f32>) -> Self {
        let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let deviation = x.std_axis(Axis(0), 0.0).mapv(|d| if d > 1e-6 { d } else { 1.0 });
        Self { mean, deviation }
    }

    /// `(x - mean) / deviation`.
    pub fn apply(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        (&x - &self.mean) / &self.deviation
    }
}

impl Baseline {
    /// All of them, fitted to standardized normal windows.
    pub fn all(x: ArrayView2<'_, f32>, seed: u64) -> Vec<Self> {
        let forest = Self::IsolationForest(IsolationForest::fit(x, seed));
        let double = x.mapv(f64::from);
        let distance = LatentGaussian::fit(double.view(), true, 1e-3).map(Self::Mahalanobis);
        [Some(forest), distance, Some(Self::Pca(Pca::fit(x, seed)))].into_iter().flatten().collect()
    }

    /// The name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::IsolationForest(_) => "isolation-forest",
            Self::Mahalanobis(_) => "mahalanobis",
            Self::Pca(_) => "pca",
        }
    }

    /// How unusual a standardized window is.
    pub fn score(&self, x: ArrayView1<'_, f32>) -> f64 {
        match self {
            Self::IsolationForest(forest) => forest.score(x),
            Self::Mahalanobis(normal) => normal.squared_distance(x.mapv(f64::from).view()),
            Self::Pca(pca) => pca.score(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn each_baseline_finds_what_lies_outside() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        // Features that agree with each other, two by two.
        let mut draw = |agree: f32| {
            let (a, b): (f32, f32) = (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
            [a, agree * a + 0.05 * b, b, b - 0.1 * a]
        };
        let normal: Vec<f32> = (0..800).flat_map(|_| draw(1.0)).collect();
        let strange: Vec<f32> = (0..100).flat_map(|_| draw(-1.0).map(|x| 1.5 * x)).collect();
        let normal = Array2::from_shape_vec((800, 4), normal).unwrap();
        let strange = Array2::from_shape_vec((100, 4), strange).unwrap();
        let standard = Standard::fit(normal.view());
        let (normal, strange) = (standard.apply(normal.view()), standard.apply(strange.view()));
        for baseline in Baseline::all(normal.view(), 1) {
            let of = |x: &Array2<f32>| x.rows().into_iter().map(|r| baseline.score(r)).collect();
            let (quiet, loud): (Vec<f64>, Vec<f64>) = (of(&normal), of(&strange));
            let scores: Vec<f64> = quiet.iter().chain(&loud).copied().collect();
            let labels: Vec<bool> = (0..scores.len()).map(|i| i >= quiet.len()).collect();
            let auc = picovae::metrics::roc_auc(&scores, &labels).unwrap();
            assert!(auc > 0.8, "{}: {auc}", baseline.name());
        }
    }
}
