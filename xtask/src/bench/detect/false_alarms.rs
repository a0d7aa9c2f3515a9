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

/// Between what is asked for and what comes.
const FACTOR: f64 = 3.0;
/// Alarms that must be expected of the data before their number says that a rate is kept.
const TELLING: f64 = 3.0;
/// Share of the intervals of a Poisson mean that miss it, on each side.
const OUTSIDE: f64 = 0.05;

/// A row for each rate.
pub fn rows(name: &str, blob: &str, asked: &[Asked], task: &Value) -> Result<Vec<Row>> {
    let mut task = task.clone();
    task["model"] = blob.into();
    task["thresholds"] = asked.iter().map(|asked| asked.threshold).collect();
    let counted: Counted = helper(&["alarms"], &task.to_string())?;
    let rows = asked.iter().zip(&counted.alarms);
    let rows = rows.map(|(asked, &alarms)| {
        row(name, asked.false_alarms_per_window, counted.windows as u64, alarms as u64)
    });
    Ok(rows.collect())
}

/// So many alarms in so many windows of normal operation.
pub fn row(dataset: &str, asked: f64, windows: u64, alarms: u64) -> Row {
    let expected = asked * windows as f64;
    let ratio = |alarms: f64| alarms / expected.max(f64::MIN_POSITIVE);
    Row {
        dataset: dataset.into(),
        method: "false alarms".into(),
        asked: Some(asked),
        expected_alarms: Some(expected),
        false_alarms: Some(alarms),
        false_alarm_rate: Some(alarms as f64 / windows.max(1) as f64),
        ratio: Some(ratio(alarms as f64)),
        ratio_interval: Some(poisson_interval(alarms).map(ratio)),
        ..Row::default()
    }
}

/// What alarms say of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They come as often as asked for, up to the factor.
    Kept,
    /// They do not, and chance does not explain it.
    Missed,
    /// They are too few to tell.
    Untold,
}

/// Of a row of false alarms.
pub fn verdict(row: &Row) -> Option<Verdict> {
    let (ratio, [low, high]) = (row.ratio?, row.ratio_interval?);
    let within = 1.0 / FACTOR..=FACTOR;
    Some(if low > FACTOR || high < 1.0 / FACTOR {
        Verdict::Missed
    } else if within.contains(&ratio) && row.expected_alarms? >= TELLING {
        Verdict::Kept
    } else {
        Verdict::Untold
    })
}

/// Means that would give `count` or more, and `count` or fewer, with a probability of [`OUTSIDE`] each (Garwood 1936).
fn poisson_interval(count: u64) -> [f64; 2] {
    let low = match count.checked_sub(1) {
        Some(fewer) => mean_with(|mean| at_most(fewer, mean) > 1.0 - OUTSIDE, count),
        None => 0.0,
    };
    [low, mean_with(|mean| at_most(count, mean) > OUTSIDE, count)]
}

/// The mean up to which `holds` holds.
fn mean_with(holds: impl Fn(f64) -> bool, count: u64) -> f64 {
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * count as f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        *(if holds(middle) { &mut low } else { &mut high }) = middle;
    }
    low
}

/// The probability of `count` or fewer where `mean` are expected.
fn at_most(count: u64, mean: f64) -> f64 {
    // In logarithms: e^-mean is nothing for large means.
    let (mut log, mut sum) = (-mean, (-mean).exp());
    for k in 1..=count {
        log += (mean / k as f64).ln();
        sum += log.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Of 90 %: half of the quantiles of chi-square with 2 count and 2 count + 2 degrees of freedom.
        for (count, expected) in
            [(0, [0.0, 2.9957]), (3, [0.8177, 7.7537]), (20, [13.2547, 29.0620])]
        {
            for (found, expected) in poisson_interval(count).into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "{count}: {found} for {expected}");
            }
        }
        let [low, high] = poisson_interval(2_000);
        assert!((1_900.0..2_000.0).contains(&low) && (2_000.0..2_100.0).contains(&high));
    }

    #[test]
    fn chance_is_no_verdict() {
        let of = |expected: u64, alarms| verdict(&row("a", 1e-3, 1_000 * expected, alarms));
        assert_eq!(of(10, 12), Some(Verdict::Kept));
        assert_eq!(of(10, 60), Some(Verdict::Missed));
        assert_eq!(of(30, 2), Some(Verdict::Missed));
        // One where a third is expected, none where two are.
        assert_eq!(of(2, 0), Some(Verdict::Untold));
        assert_eq!(of(1, 4), Some(Verdict::Untold));
        assert_eq!(verdict(&Row::default()), None);
    }
}
