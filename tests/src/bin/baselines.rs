//! Helper of `cargo xtask bench detect`: baselines on a model's own features, and recordings that the
//! command line does not make.
//!
//! `baselines judge` reads a [`Task`] from standard input and prints a list of `method`, `roc_auc`, `f1`,
//! `false_alarm_rate`; `baselines alarms` reads one with a blob and `thresholds`, and prints how many alarms its normal
//! windows raise; `baselines pumps` judges recordings whose first rows are normal; `baselines thin IN OUT FACTOR` writes every FACTOR-th sample of an array of
//! two axes behind an anti-alias filter.

use picovae::emit::Blob;
use picovae::evaluate::Labelled;
use picovae::import::read_safetensors;
use picovae::metrics;
use picovae::recording::{Labels, Recording, Rows, write_npy_f32};
use picovae::simulate::{frontend_of, real_score, score_all};
use picovae::threshold::{Episodes, Voting};
use picovae_tests::baselines::{Baseline, Standard, pumps};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;

/// Windows that are fitted to at most.
const FITTED: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["judge"] => judge(),
        ["alarms"] => alarms(),
        ["pumps"] => pumps::judge(),
        ["thin", from, to, factor] => thin(Path::new(from), Path::new(to), factor.parse()?),
        _ => Err("baselines judge|alarms|pumps < task.json | baselines thin IN.npy OUT.npy FACTOR"
            .into()),
    }
}

/// A recording of a task: `path`, and where given `rows`, `labels`, `keep` (only this label).
struct Part {
    recording: Recording,
    labels: Option<Labels>,
}

fn part(value: &Value) -> Result<Part, Box<dyn Error>> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let columns: Vec<String> =
        text("columns").map_or_else(Vec::new, |names| names.split(',').map(String::from).collect());
    let mut recording = Recording::read(text("path").ok_or("a part without a path")?, &columns)?;
    let mut labels = text("labels").map(|path| Labels::read(path, None)).transpose()?;
    if let Some(rows) = text("rows") {
        let rows: Rows = rows.parse()?;
        let all = recording.rows();
        recording = recording.select_rows(rows)?;
        labels = labels.map(|labels| labels.select_rows(rows, all)).transpose()?;
    }
    Ok(Part { recording, labels })
}

fn parts(task: &Value, key: &str) -> Result<Vec<Part>, Box<dyn Error>> {
    task.get(key).and_then(Value::as_array).into_iter().flatten().map(part).collect()
}

fn judge() -> Result<(), Box<dyn Error>> {
    let task: Value = serde_json::from_reader(std::io::stdin())?;
    let model = task.get("model").and_then(Value::as_str).ok_or("a task without a model")?;
    let vae = read_safetensors(Path::new(model), &Default::default())?;
    let frontend = &vae.frontend;
    let mut train = Vec::new();
    for Part { recording, labels } in parts(&task, "train")? {
        let clips = recording.clips(frontend)?;
        let keep = labels.map(|labels| labels.align(&clips)).transpose()?;
        let x = clips.features(frontend, 0..clips.window_count());
        let normal = |row: usize| keep.as_ref().is_none_or(|labels| labels.windows[row] == 0);
        train.extend((0..x.nrows()).filter(|row| normal(*row)).map(|row| x.row(row).to_owned()));
    }
    let step = train.len().div_ceil(FITTED).max(1);
    let views: Vec<_> = train.iter().step_by(step).map(|row| row.view()).collect();
    let train = ndarray::stack(ndarray::Axis(0), &views)?;
    let standard = Standard::fit(train.view());
    let train = standard.apply(train.view());
    let baselines = Baseline::all(train.view(), 1);
    let mut judged = vec![Labelled::default(); baselines.len()];
    for (key, known) in [("normal", Some(false)), ("anomalous", Some(true)), ("data", None)] {
        for Part { recording, labels } in parts(&task, key)? {
            let clips = recording.clips(frontend)?;
            let labels = labels.map(|labels| labels.align(&clips)).transpose()?;
            let x = standard.apply(clips.features(frontend, 0..clips.window_count()).view());
            for (baseline, judged) in baselines.iter().zip(&mut judged) {
                let scored: Vec<(usize, f64)> = x
                    .rows()
                    .into_iter()
                    .enumerate()
                    .map(|(at, row)| (clips.window(at).clip, baseline.score(row)))
                    .collect();
                match (known, &labels) {
                    (Some(anomalous), _) => {
                        scored.iter().for_each(|(_, score)| judged.push(*score, anomalous));
                    }
                    (None, Some(labels)) => judged.add(&scored, labels, 0),
                    (None, None) => return Err("data without labels".into()),
                }
            }
        }
    }
    let rows: Vec<Value> = baselines
        .iter()
        .zip(&judged)
        .map(|(baseline, judged)| {
            let mut normal: Vec<f64> =
                train.rows().into_iter().map(|r| baseline.score(r)).collect();
            normal.sort_by(f64::total_cmp);
            let threshold = normal[(normal.len() - 1) * 99 / 100];
            let alarms = metrics::alarms(&judged.scores, &judged.anomalous, threshold);
            let hits = judged.scores.iter().zip(&judged.anomalous);
            let hits =
                hits.filter(|(score, anomalous)| **anomalous && **score >= threshold).count();
            let anomalies = judged.anomalous.iter().filter(|anomalous| **anomalous).count();
            let f1 = 2.0 * hits as f64 / (hits + alarms.false_alarms + anomalies).max(1) as f64;
            json!({
                "method": baseline.name(),
                "roc_auc": judged.detection().roc_auc,
                "f1": f1,
                "false_alarm_rate": alarms.false_alarm_rate(),
            })
        })
        .collect();
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}

/// Alarms of a blob's normal windows at some thresholds, counted as `picovae::threshold` does.
fn alarms() -> Result<(), Box<dyn Error>> {
    let task: Value = serde_json::from_reader(std::io::stdin())?;
    let path = task.get("model").and_then(Value::as_str).ok_or("a task without a model")?;
    let blob = Blob::read(Path::new(path))?;
    let model = blob.model()?;
    let frontend = frontend_of(&model);
    let mut clips_of_scores: Vec<Vec<f64>> = Vec::new();
    for key in ["normal", "data"] {
        for Part { recording, labels } in parts(&task, key)? {
            let clips = recording.clips(&frontend)?;
            let labels = labels.map(|labels| labels.align(&clips)).transpose()?;
            let mut last = None;
            for window in score_all(&model, &clips, 0)?.windows {
                if labels.as_ref().is_some_and(|labels| labels.windows[window.index] != 0) {
                    continue;
                }
                let score = real_score(window.score, model.score_kind());
                match clips_of_scores.last_mut().filter(|_| last == Some(window.clip)) {
                    Some(clip) => clip.push(score),
                    None => clips_of_scores.push(vec![score]),
                }
                last = Some(window.clip);
            }
        }
    }
    let decision = model.decision();
    let votes = (decision.votes, decision.of);
    let voting = Voting::of(votes, decision.hold_off, frontend.window_len, frontend.hop);
    let series = Episodes::new(&clips_of_scores, voting);
    let thresholds = task.get("thresholds").and_then(Value::as_array).into_iter().flatten();
    let counts: Vec<usize> = thresholds
        .filter_map(Value::as_f64)
        .map(|threshold| series.peaks_above(threshold).len())
        .collect();
    let windows = clips_of_scores.iter().map(Vec::len).sum::<usize>();
    println!("{}", json!({ "windows": windows, "alarms": counts }));
    Ok(())
}

/// Windowed sinc, 24 taps a sample kept and one.
fn thin(from: &Path, to: &Path, factor: usize) -> Result<(), Box<dyn Error>> {
    let recording = Recording::read(from, &[])?;
    let [frames, channels] = recording.shape[..] else { return Err("two axes are wanted".into()) };
    let half = 12 * factor as i64;
    let tap = |k: i64| {
        let x = std::f64::consts::PI * k as f64 * 0.85 / factor as f64;
        let sinc = if k == 0 { 1.0 } else { x.sin() / x };
        sinc * (0.5 + 0.5 * (std::f64::consts::PI * k as f64 / (half + 1) as f64).cos())
    };
    let taps: Vec<f64> = (-half..=half).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    let mut samples = Vec::new();
    let mut center = half as usize;
    while center + (half as usize) < frames {
        for channel in 0..channels {
            let first = center - half as usize;
            let products = taps.iter().enumerate().map(|(k, tap)| {
                tap * f64::from(recording.samples[(first + k) * channels + channel])
            });
            samples.push((products.sum::<f64>() / sum) as f32);
        }
        center += factor;
    }
    write_npy_f32(to, &[samples.len() / channels, channels], &samples)?;
    Ok(())
}
