//! How far the integers' mean score is from the float model's.

use miette::IntoDiagnostic;
use picovae::graph::{Likelihood, ScoreKind, Vae};
use picovae::recording::WindowSet;
use picovae::simulate::{Assembled, real_score, score_set};

/// Drift over the score's size. A Gaussian NLL may be near 0, where its own size
/// says nothing: half a nat a feature is the least it is compared with.
pub fn relative_drift(vae: &Vae, float: f64, int8: f64) -> f64 {
    let floor = match (vae.score, &vae.likelihood) {
        (ScoreKind::GaussianNll | ScoreKind::NegativeElbo, Likelihood::Gaussian { .. }) => {
            0.5 * vae.input_len() as f64
        }
        _ => 1e-9,
    };
    (int8 - float) / float.abs().max(floor)
}

/// Mean score of the observed windows, float and int8.
pub fn mean_scores(
    vae: &Vae,
    assembled: &Assembled,
    features: ndarray::ArrayView2<'_, f32>,
    set: &WindowSet<'_>,
) -> miette::Result<(f64, f64)> {
    let count = set.len().max(1) as f64;
    let float: f64 = match &assembled.latent_gaussian {
        Some(normal) => {
            let mu = vae.encode(features).0.mapv(f64::from);
            mu.rows().into_iter().map(|mu| normal.squared_distance(mu)).sum()
        }
        None => vae.score_batch(features).iter().sum(),
    };
    let model = assembled.blob.model()?;
    let scores = score_set(&model, set).into_diagnostic()?;
    let int8: f64 = scores.iter().map(|score| real_score(*score, model.score_kind())).sum();
    Ok((float / count, int8 / count))
}
