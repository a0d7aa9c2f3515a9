//! Options that choose a decision, shared by the verbs that write blobs.

use clap::Args;
use picovae::simulate::DecisionOptions;

/// From scores to an alarm, and what is watched of the sensor.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Decision")]
pub struct DecisionArgs {
    /// Windows that are scored but not judged at first.
    #[arg(long, value_name = "WINDOWS", default_value_t = 0)]
    pub warm_up: u32,
    /// Alarm where N of the last M windows (at most 32) reach the threshold.
    #[arg(long, value_name = "N/M", default_value = "1/1", value_parser = votes)]
    pub votes: (u8, u8),
    /// How far below the threshold an alarm goes on: a share of its distance from the normal median.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub hysteresis: f64,
    /// Windows after an alarm in which no new one is raised.
    #[arg(long, value_name = "WINDOWS", default_value_t = 0)]
    pub hold_off: u32,
    /// A channel that does not move over a window is a fault of the sensor, not an anomaly.
    #[arg(long)]
    pub stuck: bool,
    /// More samples a window and channel at the converter's ends are a fault of the sensor.
    #[arg(long, value_name = "SAMPLES")]
    pub saturated: Option<u16>,
    /// The converter's ends, in its counts.
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',', num_args = 1, allow_negative_numbers = true,
        allow_hyphen_values = true, requires = "saturated", default_values_t = [i16::MIN, i16::MAX])]
    pub rails: Vec<i16>,
    /// Samples outside of the calibrated range, stretched by this factor, are a fault of the sensor.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub margin: Option<f64>,
    /// Say in the blob where normal features lie, so that a device can learn its own normalization.
    #[arg(long)]
    pub renormalize: bool,
}

impl DecisionArgs {
    /// The decision asked for.
    pub fn options(&self) -> miette::Result<DecisionOptions> {
        let [low, high] = self.rails[..] else {
            return Err(miette::miette!(
                help = "give both ends, e.g. --rails -2048,2047",
                "--rails has {} numbers",
                self.rails.len()
            ));
        };
        Ok(DecisionOptions {
            warm_up: self.warm_up,
            votes: self.votes.0,
            of: self.votes.1,
            hysteresis: self.hysteresis,
            hold_off: self.hold_off,
            stuck: self.stuck,
            saturated: self.saturated,
            rails: (low, high),
            margin: self.margin,
            renormalize: self.renormalize,
        })
    }
}

fn votes(text: &str) -> Result<(u8, u8), String> {
    let parsed = text.split_once('/').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    match parsed {
        Some((n, m)) if (1..=m).contains(&n) && m <= 32 => Ok((n, m)),
        _ => Err(format!("`{text}` is not N/M with 1 <= N <= M <= 32")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("`{text}` is not between 0 and 1")),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor >= 1.0 => Ok(factor),
        _ => Err(format!("`{text}` is not a number of at least 1")),
    }
}
