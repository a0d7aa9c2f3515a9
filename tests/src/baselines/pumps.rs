//! Recordings whose first rows are normal, each fitted to and judged by itself: what the published leaderboard of such
//! data does. Beside the baselines the float model, brought to each recording's level as a device would be.

use std::error::Error;
use std::path::Path;

use picovae::evaluate::{Labelled, float_scores};
use picovae::graph::{ScoreKind, Vae};
use picovae::import::read_safetensors;
use picovae::recording::{Labels, Recording, Rows};
use serde_json::{Value, json};

use super::{Baseline, Standard};

/// Scores, truth and alarms of one method over all files.
#[derive(Debug, Default)]
struct Judged {
    labelled: Labelled,
    hits: usize,
    false_alarms: usize,
}

/// Column of the truth, a row each.
const TRUTH: &str = "anomaly";
/// Quantile of the normal windows' scores beyond which a baseline alarms.
const QUANTILE: f64 = 0.99;

/// Reads `model`, `files`, `normal_rows` from standard input; prints a row a method.
///
/// # Errors
/// Where the task or a file cannot be read.
pub fn judge() -> Result<(), Box<dyn Error>> {
    let task: Value = serde_json::from_reader(std::io::stdin())?;
    let text = |key: &str| task.get(key).and_then(Value::as_str).ok_or(format!("no {key}"));
    let normal_rows = task.get("normal_rows").and_then(Value::as_u64).ok_or("no normal_rows")?;
    let files = task.get("files").and_then(Value::as_array).ok_or("no files")?;
    let mut vae = read_safetensors(Path::new(text("model")?), &Default::default())?;
    vae.frontend.hop = 1;
    let normal_rows = normal_rows as usize;
    let mut recordings = Vec::new();
    for file in files.iter().filter_map(Value::as_str) {
        let labels = Labels::read(file, Some(TRUTH))?;
        recordings.push((Recording::read(file, &[])?, labels));
    }
    let mut found: Vec<(String, Judged)> = Vec::new();
    for (recording, labels) in &recordings {
        let window_len = vae.frontend.window_len;
        // A row is judged by the window that ends with it.
        let truth = |window: usize| labels.values[window + window_len - 1] != 0;
        let clips = recording.clips(&vae.frontend)?;
        let x = clips.features(&vae.frontend, 0..clips.window_count());
        let normal = normal_rows + 1 - window_len;
        let standard = Standard::fit(x.slice(ndarray::s![..normal, ..]));
        let x = standard.apply(x.view());
        let train = x.slice(ndarray::s![..normal, ..]);
        for baseline in Baseline::all(train, 1) {
            let scores: Vec<f64> = x.rows().into_iter().map(|row| baseline.score(row)).collect();
            add(&mut found, baseline.name(), &scores, normal, truth);
        }
        if vae.score != ScoreKind::Mahalanobis {
            let level = levelled(recording, &recordings, normal_rows)?;
            let clips = level.clips(&vae.frontend)?;
            let scores: Vec<f64> = scores(&vae, &clips);
            add(&mut found, "float", &scores, normal, truth);
        }
    }
    let rows: Vec<Value> = found
        .iter()
        .map(|(method, judged)| {
            let detection = judged.labelled.detection();
            let anomalies = detection.anomalies;
            let quiet = detection.judged - anomalies;
            let at_own = 2.0 * judged.hits as f64
                / (judged.hits + judged.false_alarms + anomalies).max(1) as f64;
            // Thresholds of its own only baselines have.
            let own = method != "float";
            json!({
                "method": method,
                "roc_auc": detection.roc_auc,
                "f1": if own { Some(at_own) } else { detection.best_f1 },
                "false_alarm_rate":
                    own.then(|| judged.false_alarms as f64 / quiet.max(1) as f64),
            })
        })
        .collect();
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}

fn scores(vae: &Vae, clips: &picovae::recording::Clips<'_>) -> Vec<f64> {
    float_scores(vae, clips, vae.score, 0).0.into_iter().map(|(_, score)| score).collect()
}

/// Adds a recording's windows behind the normal ones to a method.
fn add(
    found: &mut Vec<(String, Judged)>,
    method: &str,
    scores: &[f64],
    normal: usize,
    truth: impl Fn(usize) -> bool,
) {
    let at = found.iter().position(|(known, _)| known == method).unwrap_or_else(|| {
        found.push((method.into(), Judged::default()));
        found.len() - 1
    });
    let judged = &mut found[at].1;
    let mut quiet = scores[..normal].to_vec();
    quiet.sort_by(f64::total_cmp);
    let threshold = quiet[((normal - 1) as f64 * QUANTILE) as usize];
    for (window, &score) in scores.iter().enumerate().skip(normal) {
        let anomalous = truth(window);
        judged.labelled.push(score, anomalous);
        if score > threshold {
            *(if anomalous { &mut judged.hits } else { &mut judged.false_alarms }) += 1;
        }
    }
}

/// Moved and scaled so that the channels' normal rows have the mean and deviation that they have over all files.
fn levelled(
    recording: &Recording,
    all: &[(Recording, Labels)],
    normal_rows: usize,
) -> Result<Recording, Box<dyn Error>> {
    let channels = recording.row_len();
    let moments = |recording: &Recording| -> Vec<(f64, f64)> {
        let of = |channel: usize| {
            let rows = recording.samples.iter().skip(channel).step_by(channels).take(normal_rows);
            let values: Vec<f64> = rows.map(|x| f64::from(*x)).collect();
            let count = values.len().max(1) as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        };
        (0..channels).map(of).collect()
    };
    let every: Vec<Vec<(f64, f64)>> = all.iter().map(|(one, _)| moments(one)).collect();
    let count = every.len() as f64;
    let own = moments(recording);
    let mut level = recording.clone().select_rows(Rows::default())?;
    for (at, x) in level.samples.iter_mut().enumerate() {
        let channel = at % channels;
        let mean = every.iter().map(|one| one[channel].0).sum::<f64>() / count;
        let spread = (every.iter().map(|one| one[channel].1.powi(2)).sum::<f64>() / count).sqrt();
        let (own_mean, own_spread) = own[channel];
        let gain = if own_spread > 0.0 { spread / own_spread } else { 1.0 };
        *x = (mean + gain * (f64::from(*x) - own_mean)) as f32;
    }
    Ok(level)
}
