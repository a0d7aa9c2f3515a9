//! The loss over held-out windows, and what data a likelihood refuses.

use rayon::prelude::*;

use super::features::Features;
use super::gradient::{Arithmetic, Batch, Output, forward};
use super::sampler::normal;
use super::{FitConfig, Sigma, Stream, TrainError, stream};
use crate::graph::{Likelihood, Vae};
use crate::recording::WindowSet;

/// Windows validated at a time, a thread.
const VALIDATION_BATCH: usize = 256;

/// Mean `nll + beta * kl` of the held-out windows with the same noise at every
/// call, so that epochs are compared fairly. `None` without windows.
pub(super) fn validate(
    vae: &Vae,
    arithmetic: &dyn Arithmetic,
    data: &Features<'_, '_>,
    held_out: &[usize],
    config: &FitConfig,
) -> Option<f64> {
    if held_out.is_empty() {
        return None;
    }
    let mut rng = stream(config.seed, Stream::Validation);
    let noise = normal((held_out.len(), vae.latent_len()), &mut rng);
    let parts: Vec<(f64, f64, f64)> = held_out
        .par_chunks(VALIDATION_BATCH)
        .enumerate()
        .map(|(chunk, indices)| {
            let x = data.of(indices);
            let at = chunk * VALIDATION_BATCH;
            let noise = noise.slice(ndarray::s![at..at + indices.len(), ..]).to_owned();
            let batch = Batch { input: x.clone(), target: x, noise, teacher: None };
            let Output { mu, logvar, output } = forward(vae, &batch, arithmetic);
            let scores = vae.scores_of(batch.target.view(), &mu, logvar.as_ref(), &output);
            scores.iter().fold((0.0, 0.0, 0.0), |(nll, kl, mse), s| {
                (nll + s.nll, kl + s.kl_divergence, mse + s.reconstruction_error)
            })
        })
        .collect();
    let count = held_out.len() as f64;
    let (nll, kl, mse) =
        parts.iter().fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    let (nll, kl, mse) = (nll / count, kl / count, mse / count);
    let nll = match vae.likelihood {
        Likelihood::Bernoulli => nll,
        // Training's σ, not the precision that is learnt at the end.
        Likelihood::Gaussian { .. } => {
            let variance = match config.sigma {
                Sigma::Optimal => mse + 1e-8,
                Sigma::Fixed(sigma) => f64::from(sigma).powi(2),
            };
            let features = vae.input_len() as f64;
            0.5 * features * (mse / variance + variance.ln() + std::f64::consts::TAU.ln())
        }
    };
    Some(nll + f64::from(config.beta) * kl)
}

/// Windows of another length are not what a network reads.
pub(super) fn check_length(vae: &Vae, data: &WindowSet<'_>) -> Result<(), TrainError> {
    let expected = vae.frontend.input_len();
    let lengths = data.sources().iter().map(|clips| clips.window_len() * clips.channels());
    match lengths.into_iter().find(|found| *found != expected) {
        Some(found) => Err(TrainError::WindowLength { found, expected }),
        None => Ok(()),
    }
}

/// A Bernoulli likelihood of anything outside [0, 1] can be made arbitrarily
/// good: refused before it is tried.
pub(super) fn check_unit_range(vae: &Vae, data: &WindowSet<'_>) -> Result<(), TrainError> {
    if !matches!(vae.likelihood, Likelihood::Bernoulli) {
        return Ok(());
    }
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    let all: Vec<usize> = (0..data.len()).collect();
    for batch in all.chunks(VALIDATION_BATCH) {
        for x in &data.features(&vae.frontend, batch) {
            min = min.min(*x);
            max = max.max(*x);
        }
    }
    if min < 0.0 || max > 1.0 {
        return Err(TrainError::FeaturesOutOfUnit { min, max });
    }
    Ok(())
}
