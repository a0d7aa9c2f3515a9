//! Options that say how many false alarms are wanted, shared by the verbs that set thresholds.

use clap::Args;
use picovae::simulate::FalseAlarms;
use picovae::threshold::TailThreshold;
use serde::Serialize;

/// A share of windows, or alarms a day.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Threshold")]
pub struct FalseAlarmArgs {
    /// Alarms a day that normal operation may raise: overlapping windows that carry one alarm count once.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub false_alarms_per_day: Option<f64>,
    /// Frames a second of the recordings [default: a WAV header's, or that of a column of timestamps].
    #[arg(long, value_name = "HZ", value_parser = positive)]
    pub sample_rate: Option<f64>,
}

const SECONDS_A_DAY: f64 = 86_400.0;

impl FalseAlarmArgs {
    /// Alarms a window for a stream of this hop; `None` where no number a day was asked for. `known` is
    /// the recordings' own rate.
    pub fn per_window(&self, hop: usize, known: Option<f64>) -> miette::Result<Option<f64>> {
        let Some(per_day) = self.false_alarms_per_day else { return Ok(None) };
        let rate = self.sample_rate.or(known).ok_or_else(|| {
            miette::miette!(
                help = "give --sample-rate",
                "false alarms a day need the frames a second, which the recordings do not say"
            )
        })?;
        let windows_a_day = rate * SECONDS_A_DAY / hop.max(1) as f64;
        Ok(Some((per_day / windows_a_day).min(1.0)))
    }

    /// [`per_window`](Self::per_window), or else this share of the windows.
    pub fn wanted(
        &self,
        share: f64,
        hop: usize,
        known: Option<f64>,
    ) -> miette::Result<FalseAlarms> {
        Ok(match self.per_window(hop, known)? {
            Some(rate) => FalseAlarms::Episodes(rate),
            None => FalseAlarms::Share(share),
        })
    }
}

/// JSON of a threshold's tail.
#[derive(Debug, Serialize)]
pub struct TailReport {
    method: &'static str,
    threshold_low: f64,
    threshold_high: f64,
    tail_start: f64,
    episodes: usize,
    shape: f64,
    scale: f64,
    windows: usize,
    false_alarms_per_window: f64,
    extrapolation: f64,
}

impl From<&TailThreshold> for TailReport {
    fn from(tail: &TailThreshold) -> Self {
        Self {
            method: tail.method.name(),
            threshold_low: tail.interval[0],
            threshold_high: tail.interval[1],
            tail_start: tail.tail_start,
            episodes: tail.episodes,
            shape: tail.shape,
            scale: tail.scale,
            windows: tail.windows,
            false_alarms_per_window: tail.rate,
            extrapolation: tail.extrapolation,
        }
    }
}

/// How well a threshold is known, in a line.
pub fn describe(tail: &TailThreshold) -> String {
    let [low, high] = tail.interval;
    format!(
        "{low:.5} to {high:.5} at 90 %, by {} ({} episodes in {} windows, {:.1} times as rare as once in these)",
        tail.method.name(),
        tail.episodes,
        tail.windows,
        tail.extrapolation
    )
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}
