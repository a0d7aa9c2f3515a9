//! From recordings of normal operation to a detector, with nothing to decide: windows,
//! front-end, network, score and threshold.
//!
//! ```text
//! recordings ─► clips without gaps ─► train │ validation │ calibration   (apart in time)
//!                 candidates trained on train, compared on validation windows with faults put in,
//!                 the best one trained on both, quantized, its threshold set on calibration
//! ```
//! No label is used anywhere; columns that look like labels are left out by the reader.

mod attempt;
mod candidate;
mod clips;
mod compare;
mod cross_fit;
mod error;
mod faults;
mod finish;
mod period;
mod signal;
mod split;

pub use attempt::Separation;
pub use candidate::Candidate;
pub use compare::{compare_scores, scores_of_kinds};
pub use error::FitError;
pub use faults::Fault;
pub use finish::{Fitted, Rate};
pub use signal::Signal;

use crate::graph::{Provenance, ScoreKind};
use crate::recording::Recording;
use crate::simulate::DecisionOptions;
use clips::Clips;
use indicatif::ProgressBar;
use split::Parts;

/// What can be asked for; everything else is chosen.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Name of the model.
    pub name: String,
    /// Frames a window.
    pub window: Option<usize>,
    /// Frames from window to window.
    pub hop: Option<usize>,
    /// Values a frame, where the recordings' shapes leave it open.
    pub channels: Option<usize>,
    /// Whether a window's mean is subtracted.
    pub remove_mean: Option<bool>,
    /// Whether the device will learn its normalization anew at each start: then every recording is
    /// normalized by itself.
    pub renormalize: bool,
    /// The score.
    pub score: Option<ScoreKind>,
    /// Core the weights are packed for.
    pub target: String,
    /// Bytes the blob may take.
    pub flash: usize,
    /// Alarms a day that normal operation may raise.
    pub false_alarms_per_day: f64,
    /// Frames a second, where the recordings do not say.
    pub frames_per_second: Option<f64>,
    /// From scores to an alarm.
    pub decision: DecisionOptions,
    /// Minutes of training that are planned, on two cores.
    pub minutes: f64,
    /// Seed of everything random.
    pub seed: u64,
}

/// A candidate with what came of it.
#[derive(Debug, Clone)]
pub struct Tried {
    /// The candidate.
    pub candidate: Candidate,
    /// Its scores, the best one first; empty where its training failed.
    pub separations: Vec<Separation>,
}

/// Shares of the time: comparing all candidates, and training the best one.
const COMPARING: f64 = 0.65;
const REFITTING: f64 = 0.35;
/// Frames that anything can be told from, and the shortest window that is chosen.
const LEAST: usize = 72;
const LEAST_WINDOW: usize = 4;
/// By so much must a network be better that does not hear states: faults of the states it would not tell.
const STATES: f64 = 0.02;
/// Windows that faults are put into.
const DAMAGED: usize = 48;

/// Fits a detector to recordings of normal operation, in which NaN stands for a missing sample.
///
/// # Errors
/// [`FitError`].
pub fn fit(
    recordings: Vec<Recording>,
    options: &FitOptions,
    provenance: &Provenance,
    progress: &mut dyn FnMut(&str) -> ProgressBar,
) -> Result<Fitted, FitError> {
    let known = recordings.iter().find_map(|recording| recording.sample_rate);
    let rate = options.frames_per_second.or(known);
    let mut clips = Clips::new(recordings, options.channels, options.window)?;
    if options.renormalize {
        clips.renormalize();
    }
    if clips.frames() < LEAST {
        let (frames, window) = (clips.frames(), options.window.unwrap_or(LEAST_WINDOW));
        return Err(FitError::TooShort { frames, window, needed: LEAST.max(18 * window) });
    }
    let mut signal = Signal::of(&clips, rate);
    if signal.constant.len() == signal.channels {
        return Err(FitError::Constant);
    }
    let mut notes = clips.notes.clone();
    if !signal.constant.is_empty() {
        let count = signal.constant.len();
        notes.push(format!("{count} of {} channels never move", signal.channels));
    }
    if options.remove_mean == Some(true) {
        signal.wandering.clear();
    }
    if !signal.wandering.is_empty() {
        let names: Vec<String> = signal.wandering.iter().map(|c| clips.name(*c)).collect();
        notes.push(format!(
            "the level of {} goes on moving away within the normal recordings: not listened to \
             (--remove-mean true listens to what is left without levels)",
            names.join(", ")
        ));
    }
    let frames = clips.frames();
    let window = options.window.unwrap_or_else(|| match clips.rows {
        Some(row) if row * signal.channels <= 2_048 => row,
        Some(row) => signal.window(frames).min(row),
        None => signal.window(frames),
    });
    let hop = options.hop.unwrap_or_else(|| match clips.rows {
        Some(row) if row == window => window,
        _ => signal.hop(window),
    });
    let remove_mean = options.remove_mean.unwrap_or(signal.swings);
    let rate = Rate::new(rate, hop, options.false_alarms_per_day, &mut notes);
    let parts = Parts::new(clips, window)?;
    let candidates = candidate::candidates(
        &signal,
        window,
        hop,
        remove_mean,
        &options.target,
        options.flash,
        &options.name,
    )?;

    let plain = crate::graph::Frontend::identity(window, window, signal.channels);
    let normal = split::windows(&parts.validation, &plain, DAMAGED)?;
    let normal: Vec<&[f32]> = (0..normal.len()).map(|i| normal.window(i).samples).collect();
    let damaged = faults::damage(&normal, &signal, options.seed)?;
    let seconds = 60.0 * options.minutes;
    let share = COMPARING * seconds / candidates.len() as f64;
    let mut tried = Vec::new();
    let mut failure = None;
    for candidate in candidates {
        let bar = progress(&candidate.about);
        let trained = attempt::train(&candidate, &parts.train, &signal, share, options.seed, &bar);
        bar.finish_and_clear();
        let separations = match trained {
            Ok(trained) => attempt::judge(&trained, &parts.validation, &damaged, window)?,
            Err(error) => {
                notes.push(format!("{}: {error}", candidate.about));
                failure = Some(error);
                Vec::new()
            }
        };
        tried.push(Tried { candidate, separations });
    }
    let best_of = |tried: &Tried| {
        let wanted = tried.separations.iter().find(|s| options.score.is_none_or(|k| k == s.score));
        let worth = if tried.candidate.without_states { STATES } else { 0.0 };
        wanted.or(tried.separations.first()).map_or(-1.0, |s| s.mean - worth)
    };
    tried.sort_by(|a, b| best_of(b).total_cmp(&best_of(a)));
    let Some(best) = tried.first().filter(|tried| !tried.separations.is_empty()) else {
        return Err(failure.unwrap_or(FitError::Constant));
    };
    if best.candidate.without_states {
        notes.push(format!(
            "{} channels of states or commands are not listened to: what is measured tells more without them",
            signal.states.len()
        ));
    }
    let bar = progress(&format!("{}, on all", best.candidate.about));
    let both = parts.train.iter().chain(&parts.validation);
    let mut trained =
        attempt::train(&best.candidate, both, &signal, REFITTING * seconds, options.seed, &bar)?;
    bar.finish_and_clear();
    trained.vae.provenance = provenance.clone();
    finish::finish(trained, tried, &parts, &damaged, signal, window, rate, options, notes, progress)
}
