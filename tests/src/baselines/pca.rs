//! Reconstruction from principal components.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of the variance that the components are to explain, and how many there may be.
const EXPLAINED: f64 = 0.9;
const MOST: usize = 32;
/// Turns of the subspace iteration.
const TURNS: usize = 30;

/// A mean and an orthonormal basis.
#[derive(Debug)]
pub struct Pca {
    mean: Array1<f32>,
    /// `[component][feature]`.
    basis: Array2<f32>,
}

impl Pca {
    /// The leading components of `x[window][feature]`, by orthogonal iteration.
    pub fn fit(x: ArrayView2<'_, f32>, seed: u64) -> Self {
        let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let centered = &x - &mean;
        let covariance = centered.t().dot(&centered) / x.nrows().max(1) as f32;
        let total: f64 = covariance.diag().iter().map(|v| f64::from(*v)).sum();
        let most = MOST.min(x.ncols());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut basis =
            Array2::from_shape_simple_fn((most, x.ncols()), || rng.random_range(-1.0f32..1.0));
        orthonormalize(&mut basis);
        for _ in 0..TURNS {
            basis = basis.dot(&covariance);
            orthonormalize(&mut basis);
        }
        let mut explained = 0.0;
        let mut kept = 0;
        for component in basis.rows() {
            if explained >= EXPLAINED * total {
                break;
            }
            explained += f64::from(component.dot(&covariance.dot(&component)));
            kept += 1;
        }
        let basis = basis.slice(ndarray::s![..kept.max(1), ..]).to_owned();
        Self { mean, basis }
    }

    /// Mean squared distance from the subspace.
    pub fn score(&self, x: ArrayView1<'_, f32>) -> f64 {
        let centered = &x - &self.mean;
        let inside = self.basis.dot(&centered);
        let rest = centered.dot(&centered) - inside.dot(&inside);
        f64::from(rest) / x.len().max(1) as f64
    }
}

/// Gram and Schmidt, row by row.
fn orthonormalize(basis: &mut Array2<f32>) {
    for i in 0..basis.nrows() {
        for j in 0..i {
            let (done, mut rest) = basis.view_mut().split_at(Axis(0), i);
            let product = rest.row(0).dot(&done.row(j));
            rest.row_mut(0).scaled_add(-product, &done.row(j));
        }
        let norm = basis.row(i).dot(&basis.row(i)).sqrt();
        if norm > 0.0 {
            basis.row_mut(i).mapv_inplace(|v| v / norm);
        }
    }
}
