//! Scores of windows that the model scoring them was not trained on, for the windows of training as well: where
//! calibration data are few, each third of what trained is held back once more, and models of the same
//! making are trained on the rest.

use super::attempt::{train, training_set};
use super::candidate::Candidate;
use super::finish::{OBSERVED, real_scores, settings};
use super::split::{Parts, windows};
use super::{FitError, Signal};
use crate::graph::ScoreKind;
use crate::quantize::{lower, observe, spread};
use crate::recording::{Recording, Rows};
use crate::simulate::{DetectorOptions, FalseAlarms, assemble_apart, by_clip};
use indicatif::ProgressBar;

/// Parts of what trained; each is as large as the calibration part.
const FOLDS: usize = 3;

/// How the detector was made, to make others like it.
pub(super) struct Making<'f> {
    pub(super) signal: &'f Signal,
    /// Of one training.
    pub(super) seconds: f64,
    pub(super) seed: u64,
    pub(super) score: ScoreKind,
    pub(super) headroom: f32,
    pub(super) detector: &'f DetectorOptions,
}

impl Making<'_> {
    /// The scores, a clip each, in order of time.
    pub(super) fn scores(
        &self,
        candidate: &Candidate,
        parts: &Parts,
        window: usize,
        progress: &mut dyn FnMut(&str) -> ProgressBar,
    ) -> Result<Vec<Vec<f64>>, FitError> {
        let folds = folds(parts, window)?;
        let mut all = Vec::new();
        for (held, _) in folds.iter().enumerate().filter(|(_, fold)| !fold.is_empty()) {
            let bar =
                progress(&format!("{}, without part {} of {FOLDS}", candidate.about, held + 1));
            let others = folds.iter().enumerate().filter(|(other, _)| *other != held);
            let rest = || others.clone().flat_map(|(_, fold)| fold).chain(&parts.calibration);
            all.extend(self.of_fold(candidate, rest, &folds[held], &bar)?);
            bar.finish_and_clear();
        }
        Ok(all)
    }

    fn of_fold<'r, I: Iterator<Item = &'r Recording>>(
        &self,
        candidate: &Candidate,
        rest: impl Fn() -> I,
        held: &[Recording],
        bar: &ProgressBar,
    ) -> Result<Vec<Vec<f64>>, FitError> {
        let mut vae = train(candidate, rest(), self.signal, self.seconds, self.seed, bar)?.vae;
        vae.score = self.score;
        let normal = training_set(rest(), &vae.frontend)?;
        let features = normal.features(&vae.frontend, &spread(normal.len(), OBSERVED));
        let settings = settings(self.headroom);
        let quantized = lower(&vae, &observe(&vae, features.view(), &settings)?, &settings)?;
        let held = windows(held, &vae.frontend, usize::MAX)?;
        // Its threshold is of no interest.
        let detector =
            DetectorOptions { false_alarms: FalseAlarms::Share(0.01), ..self.detector.clone() };
        let assembled = assemble_apart(quantized, &normal, &held, &detector)?;
        let scores = real_scores(&assembled.blob.model()?, &held)?;
        Ok(by_clip(&held, scores.into_iter()))
    }
}

/// Thirds of training and validation data: each recording in time, whole ones in turn where they are too short.
fn folds(parts: &Parts, window: usize) -> Result<Vec<Vec<Recording>>, FitError> {
    let mut folds = vec![Vec::new(); FOLDS];
    // Validation lies behind training: it makes the last part's share full.
    let whole = parts.train.iter().chain(&parts.validation);
    let rows: usize = whole.map(Recording::rows).sum();
    let share = rows.div_ceil(FOLDS);
    for (at, recording) in parts.train.iter().enumerate() {
        let of_it = share * recording.rows()
            / parts.train.iter().map(Recording::rows).sum::<usize>().max(1);
        let least = if recording.shape.len() > 2 { 1 } else { 2 * window };
        if recording.rows().saturating_sub(2 * of_it) < least || of_it < least {
            folds[at % FOLDS].push(recording.clone());
            continue;
        }
        let cuts = [0, of_it, 2 * of_it, recording.rows()];
        for (fold, cut) in folds.iter_mut().zip(cuts.windows(2)) {
            let rows = Rows { start: cut[0], end: Some(cut[1]) };
            fold.push(recording.clone().select_rows(rows)?);
        }
    }
    if let Some(last) = folds.last_mut() {
        last.extend(parts.validation.iter().cloned());
    }
    Ok(folds)
}
