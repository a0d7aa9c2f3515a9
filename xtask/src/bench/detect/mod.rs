//! `cargo xtask bench detect`: detectors made by the command line from normal recordings, beside baselines on
//! the same features, on recordings with real anomalies.
//!
//! Models see normal data only, and nothing is tuned on the labels they are judged by: what `picovae fit` leaves
//! open it chooses by faults put into normal data. Part of each test runs on the emulated M4 as well.

mod datasets;
mod device;
mod false_alarms;
mod gates;
mod known_states;
mod page;
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
    /// Write the tables into docs/benchmarks.md; of datasets left out those of their last run here.
    #[arg(long, conflicts_with_all = ["no_device", "no_baselines"])]
    write: bool,
}

/// A row of the report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// What was judged, and where there are several the anomaly.
    #[serde(default)]
    pub dataset: String,
    /// `picovae` is the blob, `float` its float model, `teacher` what that was distilled from.
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
    /// The latter over the former.
    #[serde(default)]
    pub ratio: Option<f64>,
    /// Between these it would be with 90 % if there were more data.
    #[serde(default)]
    pub ratio_interval: Option<[f64; 2]>,
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
    let mut add = |dataset: &str, of_it: Vec<Row>| {
        rows.extend(of_it.iter().cloned());
        let whole = !args.no_device && !args.no_baselines;
        if whole { page::keep(dataset, &of_it) } else { Ok(()) }
    };
    for (name, dataset) in datasets::ALL.into_iter().filter(|(name, _)| wanted(name)) {
        eprintln!("{name}");
        add(name, judge(&cli, &dataset()?, args)?)?;
    }
    if wanted("skab") {
        eprintln!("skab");
        add("skab", pump::rows(&cli, args)?)?;
    }
    if args.write {
        page::write()?;
    }
    if args.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print!("{}", table::of(&rows));
    }
    Ok(conclude(&gates::of(&rows)))
}

/// Prints every gate; whether none is missed.
fn conclude(gates: &[gates::Gate]) -> bool {
    for gate in gates {
        let how = match gate.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "too few to tell",
        };
        eprintln!("{how}: {}", gate.what);
    }
    gates.iter().all(|gate| gate.met != Some(false))
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
        let teacher = dataset.teacher.as_ref().map(|teacher| ("teacher", teacher));
        for (method, model) in [("picovae", &blob), ("float", &float)].into_iter().chain(teacher) {
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
