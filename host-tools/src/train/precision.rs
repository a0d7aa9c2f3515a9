//! Precision of a Gaussian likelihood, learnt from residuals.

use super::TrainError;
use crate::graph::{Likelihood, Vae};
use crate::recording::WindowSet;
use ndarray::Array1;

/// Windows decoded at a time.
const BATCH: usize = 512;

/// Share of the mean residual variance that is added to every feature's own,
/// so that a feature which never moved does not dominate the score.
const FLOOR: f64 = 0.01;

/// `vae` as a training ends: where it is Gaussian, with the precision of its residuals over the windows.
pub(crate) fn with_residual_precision(vae: Vae, data: &WindowSet<'_>) -> Result<Vae, TrainError> {
    let vae = match vae.likelihood {
        Likelihood::Bernoulli => vae,
        Likelihood::Gaussian { .. } => refitted(vae, data),
    };
    vae.validate()?;
    Ok(vae)
}

fn refitted(vae: Vae, data: &WindowSet<'_>) -> Vae {
    let precision = Some(residual_precision(&vae, data));
    Vae { likelihood: Likelihood::Gaussian { precision }, ..vae }
}

/// `vae`, where it is Gaussian and knows no precision with that of its residuals over the windows.
///
/// A model of another tool has none, so that its likelihood is that of a deviation of 1, whatever its
/// features are: no measure for networks that are trained, which have their own.
pub fn known_precision(vae: Vae, data: &WindowSet<'_>) -> Vae {
    match vae.likelihood {
        Likelihood::Gaussian { precision: None } => refitted(vae, data),
        _ => vae,
    }
}

/// Per feature `1 / (mean squared residual + floor)` over the windows, decoded
/// from `mu`. The floor is 1 % of the mean over features, and at least 1e-8.
pub fn residual_precision(vae: &Vae, data: &WindowSet<'_>) -> Array1<f32> {
    let mut sum = Array1::<f64>::zeros(vae.input_len());
    let indices: Vec<usize> = (0..data.len()).collect();
    for batch in indices.chunks(BATCH) {
        let x = data.features(&vae.frontend, batch);
        let (mu, _) = vae.encode(x.view());
        let residual = x - vae.decode(mu.view());
        for row in residual.rows() {
            sum.zip_mut_with(&row, |s, r| *s += f64::from(*r) * f64::from(*r));
        }
    }
    let variance = sum / data.len().max(1) as f64;
    let floor = (FLOOR * variance.mean().unwrap_or(0.0)).max(1e-8);
    variance.mapv(|v| (1.0 / (v + floor)) as f32)
}
