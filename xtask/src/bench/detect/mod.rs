//! `cargo xtask bench detect`: detectors made by the command line from normal recordings, beside baselines on
//! the same features, on recordings with real anomalies.
//!
//! Models see normal data only, and nothing is tuned on the labels they are judged by: what `picovae fit` leaves
//! open it chooses by faults put into normal data. Part of each test runs on the emulated M4 as well.

mod datasets;
mod device;
mod false_alarms;
mod known_states;
mod pump;
mod table;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cli::Cli;
use crate::{setup, shell};
pub(super) use datasets::Dataset;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only these datasets: ecg5000, fan, toycar, toycar-search, skab, cwru.
    #[arg(long, value_delimiter = ',')]
    datasets: Vec<String>,
    /// Leave the emulated device out: instructions are then predicted, for the network alone.
    #[arg(long)]
    no_device: bool,
    /// Take the models of an earlier run where they are there.
    #[arg(long)]
    reuse: bool,
    /// Leave the baselines out.
    #[arg(long)]
    no_baselines: bool,
    /// Print a JSON row a line instead of a table.
    #[arg(long)]
    json: bool,
}

/// A row of the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// What was judged, and where there are several the anomaly.
    #[serde(default)]
    pub dataset: String,
    /// `picovae` is the blob, `float` its float model.
    pub method: String,
    /// Bytes of the blob.
    #[serde(default)]
    pub blob_bytes: Option<u64>,
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// At the detector's own threshold.
    pub f1: Option<f64>,
    /// Share of normal windows (SKAB: seconds) that alarm at it.
    pub false_alarm_rate: Option<f64>,
    /// From raw samples to verdict, counted; without the device predicted, for the network alone.
    #[serde(default)]
    pub m4_instructions_per_window: Option<u64>,
    /// On average over all frames.
    #[serde(default)]
    pub m4_instructions_per_frame: Option<f64>,
    /// Front-end, encoder, decoder, score, decision.
    #[serde(default)]
    pub m4_stages_percent: Option<[f64; 5]>,
    /// Whether scores and events on the emulated M4 are those of `simulate`: `equal`.
    #[serde(default)]
    pub device: Option<String>,
    /// Windows and events compared.
    #[serde(default)]
    pub device_windows: Option<u64>,
    #[serde(default)]
    pub device_events: Option<u64>,
    /// Of false alarms: those asked for, a window.
    #[serde(default)]
    pub asked: Option<f64>,
    /// Alarms that are so many of the held-back normal windows.
    #[serde(default)]
    pub expected_alarms: Option<f64>,
    /// Those that there are.
    #[serde(default)]
    pub false_alarms: Option<u64>,
    /// The latter over the former, where the former are enough to tell.
    #[serde(default)]
    pub ratio: Option<f64>,
    /// Of known states: share of other windows that are named rightly.
    #[serde(default)]
    pub accuracy: Option<f64>,
}

/// What is read of `picovae fit --json`; `quantize` gives no thresholds.
#[derive(Debug, Deserialize)]
struct Fitted {
    #[serde(default)]
    thresholds: Vec<false_alarms::Asked>,
}

/// What is read of `picovae eval --json`.
#[derive(Debug, Deserialize)]
struct Evaluated {
    judged: usize,
    anomalies: usize,
    roc_auc: Option<f64>,
    best_f1: Option<f64>,
    false_alarms: Option<usize>,
    false_alarm_rate: Option<f64>,
    recall: Option<f64>,
}

/// What is read of `picovae inspect --json`.
#[derive(Debug, Deserialize)]
struct Inspected {
    blob_bytes: u64,
    instructions: std::collections::BTreeMap<String, Option<u64>>,
}

/// Runs it; `false` where a requirement is missed.
pub fn run(args: &Args) -> Result<bool> {
    if !shell::data().is_dir() {
        eprintln!("SKIPPED: no data at {} (set PICOVAE_DATA)", shell::data().display());
        return Ok(true);
    }
    if !args.no_device {
        setup::everything()?;
    }
    let cli = Cli::build()?;
    let wanted = |name: &str| args.datasets.is_empty() || args.datasets.iter().any(|d| d == name);
    let mut rows = Vec::new();
    for dataset in datasets::all()? {
        if wanted(dataset.name) {
            eprintln!("{}", dataset.name);
            rows.extend(judge(&cli, &dataset, args)?);
        }
    }
    if wanted("skab") {
        eprintln!("skab");
        rows.extend(pump::rows(&cli, args)?);
    }
    if args.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print!("{}", table::of(&rows));
    }
    Ok(met(&rows))
}

/// Fits, evaluates float and blob on every test, and the baselines on the float model's features.
fn judge(cli: &Cli, dataset: &Dataset, args: &Args) -> Result<Vec<Row>> {
    let folder = shell::scratch("detect")?;
    let float = path(&folder, dataset.name, "safetensors");
    let blob = path(&folder, dataset.name, "pvae");
    let fill = |text: &String| text.replace("{float}", &float).replace("{blob}", &blob);
    if !(args.reuse && Path::new(&blob).is_file()) {
        for verb in &dataset.before {
            cli.run(verb.iter().map(fill))?;
        }
    }
    let fitted = fit(cli, dataset.name, &blob, dataset.fit.iter().map(fill), args)?;
    let inspected: Inspected = cli.json(["inspect", &blob])?;
    let instructions = inspected.instructions.get("cortex-m4").copied().flatten();
    let (mut rows, mut known) = (Vec::new(), Vec::new());
    for test in &dataset.tests {
        for (method, model) in [("picovae", &blob), ("float", &float)] {
            let is_blob = method == "picovae";
            let evaluate =
                ["eval".to_string(), model.clone()].into_iter().chain(test.arguments.clone());
            let found: Evaluated = match cli.json(evaluate) {
                Ok(found) => found,
                // A float model has no Mahalanobis distance: its row is left out.
                Err(error) if !is_blob => {
                    eprintln!("{}: no float row: {error:#}", test.name);
                    continue;
                }
                Err(error) => return Err(error),
            };
            rows.push(Row {
                dataset: test.name.clone(),
                method: method.into(),
                blob_bytes: is_blob.then_some(inspected.blob_bytes),
                roc_auc: found.roc_auc,
                f1: if is_blob { found.f1() } else { found.best_f1 },
                false_alarm_rate: found.false_alarm_rate,
                m4_instructions_per_window: instructions.filter(|_| is_blob),
                ..Row::default()
            });
        }
        if !args.no_baselines {
            let mut task = test.task.clone();
            task["model"] = float.clone().into();
            task["train"] = dataset.train.clone();
            for row in helper::<Vec<Row>>(&["judge"], &task.to_string())? {
                rows.push(Row { dataset: test.name.clone(), ..row });
            }
        }
    }
    if let (Some(row), Some(test)) = (rows.first_mut(), dataset.tests.first()) {
        if let Some(states) = &dataset.states {
            known.extend(known_states::rows(dataset.name, &blob, states, cli)?);
        }
        if !args.no_device {
            device::measure(row, dataset.name, &blob, &dataset.streamed, cli)?;
        }
        if !fitted.thresholds.is_empty() {
            rows.extend(false_alarms::rows(dataset.name, &blob, &fitted.thresholds, &test.task)?);
        }
    }
    rows.extend(known);
    Ok(rows)
}

/// Runs a `fit`, or takes what it made before; what it prints as JSON is kept beside the blob.
fn fit(
    cli: &Cli,
    name: &str,
    blob: &str,
    arguments: impl Iterator<Item = String>,
    args: &Args,
) -> Result<Fitted> {
    let kept = shell::scratch("detect")?.join(format!("{name}.json"));
    if args.reuse && kept.is_file() && Path::new(blob).is_file() {
        return Ok(serde_json::from_str(&std::fs::read_to_string(&kept)?)?);
    }
    let printed: serde_json::Value = cli.json(arguments)?;
    std::fs::write(&kept, printed.to_string())?;
    Ok(serde_json::from_value(printed)?)
}

impl Evaluated {
    /// F1 at the blob's own threshold.
    fn f1(&self) -> Option<f64> {
        debug_assert!(self.anomalies <= self.judged);
        let hits = self.recall? * self.anomalies as f64;
        let missed = self.anomalies as f64 - hits;
        Some(2.0 * hits / (2.0 * hits + missed + self.false_alarms? as f64))
    }
}

/// Runs `baselines` of the tests; nothing printed is nothing.
pub(super) fn helper<T: DeserializeOwned + Default>(arguments: &[&str], input: &str) -> Result<T> {
    let mut command =
        shell::cargo(["run", "--quiet", "-p", "picovae-tests", "--bin", "baselines", "--"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("starting baselines")?;
    if let Some(stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut { stdin }, input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    anyhow::ensure!(output.status.success(), "baselines {arguments:?} failed");
    let text = String::from_utf8(output.stdout)?;
    if text.trim().is_empty() { Ok(T::default()) } else { Ok(serde_json::from_str(&text)?) }
}

fn path(folder: &Path, name: &str, extension: &str) -> String {
    let path: PathBuf = folder.join(format!("{name}.{extension}"));
    path.display().to_string()
}

/// Dataset, and what is required of the blob: size, ROC AUC.
const REQUIRED: [(&str, u64, f64); 4] = [
    ("toycar", 65_536, 0.87),
    ("toycar-search", 49_152, 0.86),
    ("ecg5000", 16_384, 0.988),
    ("fan", 16_384, 0.92),
];
/// Required of every bearing fault.
const BEARING: f64 = 0.99;

/// Compares with what is required, and says so.
fn met(rows: &[Row]) -> bool {
    let mut all = true;
    let mut check = |what: &str, met: bool| {
        eprintln!("{}: {what}", if met { "met" } else { "MISSED" });
        all &= met;
    };
    for row in rows.iter().filter(|row| row.method == "picovae") {
        let (auc, bytes) = (row.roc_auc.unwrap_or(0.0), row.blob_bytes.unwrap_or(u64::MAX));
        for (name, most, least) in REQUIRED {
            if row.dataset == name {
                let what =
                    format!("{name}: ROC AUC {auc:.4} of {least} in {bytes} of {most} bytes");
                check(&what, auc >= least && bytes <= most);
            }
        }
        if row.dataset.starts_with("cwru") {
            check(&format!("{}: ROC AUC {auc:.4} of {BEARING}", row.dataset), auc >= BEARING);
        }
        if let Some(device) = &row.device {
            check(&format!("{}: device {device}", row.dataset), device == "equal");
        }
        if row.dataset == "skab" {
            let (f1, false_alarms) = (row.f1.unwrap_or(0.0), row.false_alarm_rate.unwrap_or(1.0));
            let what = format!(
                "skab: F1 {f1:.3} of 0.80, false alarms {:.1} % of 15 % in {bytes} of 24576 bytes",
                100.0 * false_alarms
            );
            check(&what, f1 >= 0.8 && false_alarms < 0.15 && bytes <= 24_576);
        }
    }
    for row in rows {
        if let (Some(kept), Some(ratio), Some(asked)) =
            (false_alarms::kept(row), row.ratio, row.asked)
        {
            let what = format!(
                "{}: {ratio:.2} times the false alarms asked for, 1 in {:.0} windows",
                row.dataset,
                1.0 / asked
            );
            check(&what, kept);
        }
    }
    all
}
