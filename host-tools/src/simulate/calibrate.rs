//! The threshold: from the scores of normal windows and a stated false-alarm rate.

use picovae_core::model::wire;
use picovae_core::{Model, VaeError};

use super::{real_score, score_set};
use crate::emit::Calibrated;
use crate::recording::WindowSet;
use crate::threshold::{TailThreshold, Voting, tail_threshold};

/// How many false alarms are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FalseAlarms {
    /// Share of normal windows that may reach the threshold: a quantile of their scores.
    Share(f64),
    /// Alarms a window, counted as a person would ([`crate::threshold`]): by the tail of the
    /// scores, also where that is rarer than anything seen.
    Episodes(f64),
}

/// Why a threshold cannot be set.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum CalibrateError {
    /// There is no window.
    #[error("there is no calibration window")]
    #[diagnostic(help(
        "give a recording of normal operation that holds at least one whole window"
    ))]
    NoWindows,
    /// The rate is not a probability.
    #[error("the false-alarm rate {0} is not between 0 and 1")]
    #[diagnostic(help("it is the share of normal windows that may alarm, e.g. 0.001"))]
    Rate(f64),
    /// The windows do not fit.
    #[error(transparent)]
    Vae(#[from] VaeError),
}

/// Scores the calibration windows on the core and sets the threshold for the false alarms
/// asked for.
///
/// A share gives the score just above the empirical quantile (the greatest score where there are too few
/// windows to resolve it); episodes also say how well the threshold is known, and count `further` scores
/// in: of normal windows that another model of the same making was not trained on.
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate_set(
    model: &Model<'_>,
    windows: &WindowSet<'_>,
    false_alarms: FalseAlarms,
    voting: Voting,
    further: &[Vec<f64>],
) -> Result<(Calibrated, Option<TailThreshold>), CalibrateError> {
    let (FalseAlarms::Share(rate) | FalseAlarms::Episodes(rate)) = false_alarms;
    if !(0.0..=1.0).contains(&rate) {
        return Err(CalibrateError::Rate(rate));
    }
    let mut scores: Vec<i64> = score_set(model, windows)?.iter().map(|score| score.0).collect();
    let tail = match false_alarms {
        FalseAlarms::Share(_) => None,
        FalseAlarms::Episodes(rate) => {
            let kind = model.score_kind();
            let real = |raw: &i64| real_score(picovae_core::Score(*raw), kind);
            let mut clips = by_clip(windows, scores.iter().map(real));
            clips.extend_from_slice(further);
            tail_threshold(&clips, voting, rate)
        }
    };
    scores.sort_unstable();
    let Some(&max) = scores.last() else { return Err(CalibrateError::NoWindows) };
    let rank = |p: f64| {
        let rank = (p * scores.len() as f64).ceil() as usize;
        scores[rank.clamp(1, scores.len()) - 1]
    };
    let threshold = match &tail {
        // A score at the threshold alarms, so it lies one unit above the quantile.
        None => rank(1.0 - rate).saturating_add(1),
        // `as` saturates.
        Some(tail) => {
            let unit = (1u64 << model.score_kind().frac_bits()) as f64;
            (tail.threshold * unit).ceil() as i64
        }
    };
    let calibrated = Calibrated {
        threshold: Some(threshold),
        summary: wire::Calibration {
            windows: scores.len() as u32,
            min: scores[0],
            median: rank(0.5),
            p99: rank(0.99),
            max,
        },
    };
    Ok((calibrated, tail))
}

/// Scores of a set's windows, a clip each, in order of time.
pub fn by_clip(windows: &WindowSet<'_>, scores: impl Iterator<Item = f64>) -> Vec<Vec<f64>> {
    let mut clips: Vec<Vec<f64>> = Vec::new();
    let mut last = None;
    for (index, score) in scores.enumerate() {
        let group = windows.group(index);
        match clips.last_mut() {
            Some(clip) if last == Some(group) => clip.push(score),
            _ => clips.push(vec![score]),
        }
        last = Some(group);
    }
    clips
}
