//! Which score of a trained model to take, told by normal recordings alone.

use super::attempt::{Separation, separations};
use super::clips::Clips;
use super::{DAMAGED, FitError, Signal, faults, split};
use crate::graph::{LatentGaussian, LikelihoodKind, ScoreKind, Vae};
use crate::recording::Recording;

/// Windows that the latents are fitted to, and that are judged, at most.
const WINDOWS: usize = 2_000;

/// How well each score that fits the model tells faults put into the later half of these
/// normal recordings from that half as it is, the best one first; the latents' Gaussian, fitted to the
/// earlier half, is given back for the Mahalanobis distance.
///
/// # Errors
/// [`FitError`]: recordings that do not fit the model, or that are too short.
pub fn compare_scores(
    vae: &Vae,
    normal: &[Recording],
    seed: u64,
) -> Result<(Vec<Separation>, Option<LatentGaussian>), FitError> {
    let frontend = &vae.frontend;
    let window = frontend.window_len;
    let clips = Clips::new(normal.to_vec(), Some(frontend.channels), Some(window))?;
    let signal = Signal::of(&clips, normal.iter().find_map(|r| r.sample_rate));
    let set = split::windows(normal, frontend, usize::MAX)?;
    let half = set.len() / 2;
    if half < 8 {
        let needed = 16 * window;
        return Err(FitError::TooShort { frames: clips.frames(), window, needed });
    }
    let spread = |range: std::ops::Range<usize>| -> Vec<usize> {
        let step = range.len().div_ceil(WINDOWS).max(1);
        range.step_by(step).collect()
    };
    let (earlier, later) = (set.subset(&spread(0..half)), set.subset(&spread(half..set.len())));
    let all: Vec<usize> = (0..earlier.len()).collect();
    let mu = vae.encode(earlier.features(frontend, &all).view()).0.mapv(f64::from);
    let latents = LatentGaussian::fit(mu.view(), true, 1e-6);

    let count = later.len().min(DAMAGED);
    let raw: Vec<&[f32]> =
        (0..count).map(|i| later.window(i * later.len() / count).samples).collect();
    let damaged = faults::damage(&raw, &signal, seed)?;
    let kinds: Vec<ScoreKind> =
        ScoreKind::ALL.into_iter().filter(|kind| fits(*kind, vae)).collect();
    let mut found = separations(vae, latents.as_ref(), &kinds, &later, &damaged, window)?;
    found.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok((found, latents))
}

/// Every score of a recording's windows: (clip, score), a list a kind.
pub fn scores_of_kinds(
    vae: &Vae,
    latents: Option<&LatentGaussian>,
    kinds: &[ScoreKind],
    recording: &Recording,
) -> Result<Vec<Vec<(usize, f64)>>, FitError> {
    let clips = recording.clips(&vae.frontend)?;
    let mut all = vec![Vec::new(); kinds.len()];
    for range in clips.batches(512) {
        let x = clips.features(&vae.frontend, range.clone());
        let scores = super::attempt::scores(vae, latents, kinds, x.view());
        for (all, scores) in all.iter_mut().zip(scores) {
            let placed = range.clone().zip(scores);
            all.extend(placed.map(|(index, score)| (clips.window(index).clip, score)));
        }
    }
    Ok(all)
}

/// Whether a score is defined for the model.
fn fits(kind: ScoreKind, vae: &Vae) -> bool {
    let bernoulli = vae.likelihood.kind() == LikelihoodKind::Bernoulli;
    match kind {
        ScoreKind::BernoulliNll | ScoreKind::BernoulliExcess => bernoulli,
        ScoreKind::GaussianNll => !bernoulli,
        ScoreKind::KlDivergence | ScoreKind::ReconstructionProbability => vae.logvar.is_some(),
        ScoreKind::ReconstructionError | ScoreKind::NegativeElbo | ScoreKind::Mahalanobis => true,
    }
}
