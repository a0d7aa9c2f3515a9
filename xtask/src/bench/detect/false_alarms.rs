//! False alarms asked for, and those that held-back normal data raise.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{Row, helper};

/// A threshold that `picovae fit --json` gives for a rate.
#[derive(Clone, Debug, Deserialize)]
pub struct Asked {
    false_alarms_per_window: f64,
    threshold: f64,
}

/// What `baselines alarms` counts.
#[derive(Debug, Default, Deserialize)]
struct Counted {
    windows: usize,
    /// One a threshold.
    alarms: Vec<usize>,
}

/// Alarms that must be expected of the data before their number says something.
const TELLING: f64 = 3.0;
/// Between what is asked for and what comes.
const FACTOR: f64 = 3.0;

/// A row for each rate.
pub fn rows(name: &str, blob: &str, asked: &[Asked], task: &Value) -> Result<Vec<Row>> {
    let mut task = task.clone();
    task["model"] = blob.into();
    task["thresholds"] = asked.iter().map(|asked| asked.threshold).collect();
    let counted: Counted = helper(&["alarms"], &task.to_string())?;
    let row = |(asked, &alarms): (&Asked, &usize)| {
        let rate = asked.false_alarms_per_window;
        let expected = rate * counted.windows as f64;
        Row {
            dataset: name.into(),
            method: "false alarms".into(),
            asked: Some(rate),
            expected_alarms: Some(expected),
            false_alarms: Some(alarms as u64),
            false_alarm_rate: Some(alarms as f64 / counted.windows.max(1) as f64),
            ratio: Some(alarms as f64 / expected).filter(|_| expected >= TELLING),
            ..Row::default()
        }
    };
    Ok(asked.iter().zip(&counted.alarms).map(row).collect())
}

/// Whether a row keeps to the factor; `None` where it cannot be told.
pub fn kept(row: &Row) -> Option<bool> {
    let ratio = row.ratio?;
    Some((1.0 / FACTOR..=FACTOR).contains(&ratio))
}
