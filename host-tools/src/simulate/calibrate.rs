//! The threshold: from the scores of normal windows and a stated false-alarm rate.

use picovae_core::model::wire;
use picovae_core::{Model, VaeError};

use super::score_set;
use crate::emit::Calibrated;
use crate::recording::WindowSet;

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

/// Scores the calibration windows on the core and sets the threshold just above
/// the empirical quantile `1 - false_alarm_rate` (the greatest score where there
/// are too few windows to resolve it).
///
/// # Errors
/// [`CalibrateError`].
pub fn calibrate_set(
    model: &Model<'_>,
    windows: &WindowSet<'_>,
    false_alarm_rate: f64,
) -> Result<Calibrated, CalibrateError> {
    if !(0.0..=1.0).contains(&false_alarm_rate) {
        return Err(CalibrateError::Rate(false_alarm_rate));
    }
    let mut scores: Vec<i64> = score_set(model, windows)?.iter().map(|score| score.0).collect();
    scores.sort_unstable();
    let Some(&max) = scores.last() else { return Err(CalibrateError::NoWindows) };
    let rank = |p: f64| {
        let rank = (p * scores.len() as f64).ceil() as usize;
        scores[rank.clamp(1, scores.len()) - 1]
    };
    Ok(Calibrated {
        // A score at the threshold alarms, so it lies one unit above the quantile.
        threshold: Some(rank(1.0 - false_alarm_rate).saturating_add(1)),
        summary: wire::Calibration {
            windows: scores.len() as u32,
            min: scores[0],
            median: rank(0.5),
            p99: rank(0.99),
            max,
        },
    })
}
