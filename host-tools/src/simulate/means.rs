//! The mean negative ELBO of a set of windows, by the core.

use picovae_core::{Model, ScoreKind, VaeError};
use rayon::prelude::*;

use super::{CHUNK, MeanScores, Scorer, ScorerWeights, real_score, window_noise};
use crate::recording::WindowSet;

/// Mean scores of the windows of a set, on all cores; the likelihood is taken at one
/// seeded sample of the posterior a window, as the ELBO is defined.
///
/// # Errors
/// [`VaeError`] where the windows do not fit the model.
pub fn mean_scores(
    model: &Model<'_>,
    set: &WindowSet<'_>,
    seed: u32,
) -> Result<MeanScores, VaeError> {
    let mut weights = ScorerWeights::new(model);
    let scorer = Scorer::new(model, &mut weights)?;
    let starts: Vec<usize> = (0..set.len()).step_by(CHUNK).collect();
    let sums: Result<Vec<MeanScores>, VaeError> = starts
        .into_par_iter()
        .map(|start| {
            let windows = start..(start + CHUNK).min(set.len());
            let mut sum = MeanScores::default();
            let samples = windows.map(|index| set.window(index).samples);
            scorer.run(samples, |batch, scores, first| {
                for at in 0..scores.len() {
                    let kl = batch.window(at).kl_divergence();
                    sum.kl_divergence += real_score(kl, ScoreKind::KlDivergence);
                    let error = batch.reconstruction_error(at);
                    sum.reconstruction_error += real_score(error, ScoreKind::ReconstructionError);
                }
                batch.decode_samples(scores.len(), |at| window_noise(seed, start + first + at));
                for at in 0..scores.len() {
                    sum.nll += real_score(batch.window(at).nll(), ScoreKind::NegativeElbo);
                }
            })?;
            Ok(sum)
        })
        .collect();
    Ok(MeanScores::mean(&sums?, set.len()))
}
