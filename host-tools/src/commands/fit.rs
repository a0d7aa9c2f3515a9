//! `picovae fit`: normal recordings to a detector, in one step.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::fit::{FitOptions, Fitted, Rate, fit};
use picovae::graph::{Provenance, ScoreKind, TOOL};
use picovae::import::write_safetensors;
use picovae::recording::{Headerless, Labels, ReadOptions, Recording, Rows};
use picovae::simulate::real_score;
use serde::Serialize;

use super::budget::bytes;
use super::decision::DecisionArgs;
use super::false_alarms::{TailReport, describe};
use super::quantize::TARGETS;
use super::{fit_report, progress};
use crate::args::{ArgsError, command_line, file_name, sha256_of};
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae fit`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae fit normal.csv -o pump.pvae --report pump.html
  picovae fit monday.wav tuesday.wav -o fan.pvae --target cortex-m4 --flash 32K --false-alarms-per-day 1
  picovae fit accel.npy -o fan.pvae --window 200 --hop 100 --sample-rate 200

Everything that is not given is chosen: window, hop, front-end, network, score. No label is used.
The normal data are split in time: trained on, chosen by (with faults put in), calibrated on.")]
pub struct FitArgs {
    /// Recordings of normal operation: CSV, NPY, NPZ, WAV or IDX, gzipped or not; gaps are allowed.
    #[arg(value_name = "NORMAL", required = true)]
    normal: Vec<PathBuf>,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    /// Frames a window [default: by the signal's rate and period; a whole row of [n, frames, channels]].
    #[arg(long, value_name = "FRAMES")]
    window: Option<usize>,
    /// Frames from window to window [default: a half of it for vibrations, else an eighth].
    #[arg(long, value_name = "FRAMES")]
    hop: Option<usize>,
    /// Core the weights are packed for.
    #[arg(long, value_name = "CORE", default_value = "portable", value_parser = TARGETS)]
    target: String,
    /// Bytes the blob may take; K and M are 1024 and its square.
    #[arg(long, value_name = "BYTES", default_value = "64K", value_parser = bytes)]
    flash: usize,
    /// Alarms a day that normal operation may raise: overlapping windows that carry one alarm count once.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive)]
    false_alarms_per_day: f64,
    /// Frames a second [default: a WAV header's, or that of a column of timestamps, else 1].
    #[arg(long, value_name = "HZ", value_parser = positive)]
    sample_rate: Option<f64>,
    /// Report to write: one HTML file.
    #[arg(long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    /// The float model to write as well.
    #[arg(long, value_name = "MODEL.safetensors")]
    float: Option<PathBuf>,
    /// Use these rows (first axis) of each recording, e.g. 0..400.
    #[arg(long, value_name = "A..B")]
    rows: Option<Rows>,
    /// Use these columns of CSV recordings, or this array of NPZ ones.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Labels of the recordings, one file each, a label a row: other rows than normal ones are left out.
    #[arg(long, value_name = "FILE")]
    labels: Vec<PathBuf>,
    /// The label of normal rows.
    #[arg(
        long,
        value_name = "INT",
        default_value_t = 0,
        requires = "labels",
        allow_negative_numbers = true
    )]
    keep_label: i64,
    /// Values a frame [default: told from the recordings' shape].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// The recordings are little-endian samples without a header: i16 or f32, and the channels, e.g. i16x3.
    #[arg(long, value_name = "TYPExCHANNELS")]
    raw_input: Option<Headerless>,
    /// Whether each window's mean is subtracted [default: for vibrations].
    #[arg(long, value_name = "BOOL")]
    remove_mean: Option<bool>,
    /// Score [default: the one that tells faults put into normal data best].
    #[arg(long, value_name = "NAME")]
    score: Option<ScoreKind>,
    /// Of recordings larger than this, stretches that it holds are read (CSV, NPY, WAV, samples without a header).
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = bytes)]
    memory: usize,
    /// Minutes of training to plan with, on two cores.
    #[arg(long, value_name = "MINUTES", default_value_t = 3.0, value_parser = positive)]
    minutes: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Name of the model [default: the output's file name].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    decision: DecisionArgs,
}

/// JSON of `picovae fit --json`.
#[derive(Debug, Serialize)]
struct FitReport {
    model: String,
    name: String,
    recordings: Vec<String>,
    window_len: usize,
    hop: usize,
    channels: usize,
    remove_mean: bool,
    front_end: String,
    params: usize,
    macs: usize,
    blob_bytes: usize,
    arena_bytes: usize,
    flash: usize,
    score: ScoreKind,
    headroom: f32,
    train_windows: usize,
    validation_windows: usize,
    calibration_windows: usize,
    separation: f64,
    separation_float: f64,
    faults: Vec<FaultReport>,
    candidates: Vec<CandidateReport>,
    threshold: Option<f64>,
    rate: Rate,
    tail: Option<TailReport>,
    cross_fitted_windows: usize,
    thresholds: Vec<OtherRate>,
    notes: Vec<String>,
}

/// The threshold that another rate would have.
#[derive(Debug, Serialize)]
struct OtherRate {
    false_alarms_per_day: f64,
    false_alarms_per_window: f64,
    threshold: f64,
    method: &'static str,
}

#[derive(Debug, Serialize)]
struct FaultReport {
    fault: &'static str,
    roc_auc: f64,
}

#[derive(Debug, Serialize)]
struct CandidateReport {
    about: String,
    blob_bytes: usize,
    score: Option<ScoreKind>,
    separation: Option<f64>,
}

/// Runs the verb.
pub fn run(args: FitArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let read =
        ReadOptions { columns: args.columns.clone(), gaps: true, headerless: args.raw_input };
    if !args.labels.is_empty() && args.labels.len() != args.normal.len() {
        let (labels, data) = (args.labels.len(), args.normal.len());
        return Err(ArgsError::LabelFiles { labels, data }.into());
    }
    let mut recordings = Vec::with_capacity(args.normal.len());
    let mut thinned = Vec::new();
    for (at, path) in args.normal.iter().enumerate() {
        // Labels are a row each: what they leave out is known of whole recordings only.
        let memory = if args.labels.is_empty() { args.memory as u64 } else { u64::MAX };
        if let Some(parts) = Recording::read_stretches(path, &read, args.rows, memory)? {
            let rows: usize = parts.iter().map(Recording::rows).sum();
            thinned.push(format!(
                "{}: larger than --memory, {rows} rows of it were read, in {} stretches evenly spread",
                file_name(path),
                parts.len()
            ));
            recordings.extend(parts);
            continue;
        }
        let mut recording = Recording::read_with(path, &read)?;
        let mut labels = args.labels.get(at).map(|path| Labels::read(path, None)).transpose()?;
        if let Some(rows) = args.rows {
            let all = recording.rows();
            recording = recording.select_rows(rows)?;
            labels = labels.map(|labels| labels.select_rows(rows, all)).transpose()?;
        }
        if let Some(labels) = labels {
            leave_out(&mut recording, &labels, args.keep_label)?;
        }
        recordings.push(recording);
    }
    let stem = || args.out.file_stem().map_or("model".into(), |stem| stem.to_string_lossy().into());
    let options = FitOptions {
        name: args.name.clone().unwrap_or_else(stem),
        window: args.window,
        hop: args.hop,
        channels: args.channels,
        remove_mean: args.remove_mean,
        renormalize: args.decision.renormalize,
        score: args.score,
        target: args.target.clone(),
        flash: args.flash,
        false_alarms_per_day: args.false_alarms_per_day,
        frames_per_second: args.sample_rate,
        decision: args.decision.options()?,
        minutes: args.minutes,
        seed: args.seed,
    };
    let provenance = Provenance {
        source: args.normal.iter().map(|path| file_name(path)).collect::<Vec<_>>().join(" "),
        sha256: sha256_of(&args.normal)?,
        tool: TOOL.into(),
        command: command_line(),
    };
    let mut fitted = fit(recordings, &options, &provenance, &mut |about| {
        let bar = progress::steps();
        bar.println(about);
        bar
    })?;
    fitted.notes.splice(0..0, thinned);
    fitted.notes.iter().for_each(|note| eprintln!("note: {note}"));
    fitted.assembled.blob.save(&args.out)?;
    if let Some(path) = &args.float {
        fitted.vae.provenance = provenance;
        write_safetensors(path, &fitted.vae)?;
    }
    if let Some(path) = &args.report {
        fit_report::page(&fitted, &options)?.save(path)?;
    }
    let report = report(&args, &fitted)?;
    let mut table = Table::new(["candidate", "bytes", "score", "separation"]);
    for candidate in &report.candidates {
        table.row([
            candidate.about.clone(),
            candidate.blob_bytes.to_string(),
            candidate.score.map_or("-", ScoreKind::name).to_string(),
            candidate.separation.map_or("failed".into(), |s| format!("{s:.4}")),
        ]);
    }
    let further = match report.cross_fitted_windows {
        0 => String::new(),
        count => format!(", {count} of the others by models that were not trained on them"),
    };
    let windows = format!(
        "{} trained on, {} chosen by, {} calibrated on{further}",
        report.train_windows, report.validation_windows, report.calibration_windows
    );
    let text = Listing::new()
        .row("blob", args.out.display())
        .row("size", format!("{} of {} bytes", report.blob_bytes, report.flash))
        .row("arena", format!("{} bytes of RAM", report.arena_bytes))
        .row(
            "window",
            format!("{} frames of {}, hop {}", report.window_len, report.channels, report.hop),
        )
        .row("front-end", &report.front_end)
        .row("windows", windows)
        .row("score", report.score)
        .row(
            "damaged from normal",
            format!("ROC AUC {:.4}, float {:.4}", report.separation, report.separation_float),
        )
        .row("threshold", report.threshold.map_or("none".into(), |t| format!("{t:.5}")))
        .row("its tail", fitted.assembled.tail.as_ref().map_or("-".into(), describe))
        .row(
            "false alarms",
            format!(
                "{} a day ({:.3e} a window)",
                report.rate.false_alarms_per_day, report.rate.per_window
            ),
        )
        .to_string();
    printer.report(&report, &format!("{table}\n{text}"))?;
    Ok(ExitCode::SUCCESS)
}

fn report(args: &FitArgs, fitted: &Fitted) -> miette::Result<FitReport> {
    let model = fitted.assembled.blob.model()?;
    let frontend = &fitted.vae.frontend;
    let best = fitted.tried.first();
    Ok(FitReport {
        model: file_name(&args.out),
        name: fitted.vae.name.clone(),
        recordings: args.normal.iter().map(|path| file_name(path)).collect(),
        window_len: frontend.window_len,
        hop: frontend.hop,
        channels: frontend.channels,
        remove_mean: frontend.remove_mean,
        front_end: best.map_or(String::new(), |best| best.candidate.about.clone()),
        params: fitted.vae.params(),
        macs: fitted.vae.macs(),
        blob_bytes: fitted.assembled.blob.bytes().len(),
        arena_bytes: model.arena_len(),
        flash: args.flash,
        score: fitted.vae.score,
        headroom: fitted.headroom,
        train_windows: fitted.windows[0],
        validation_windows: fitted.windows[1],
        calibration_windows: fitted.windows[2],
        separation: fitted.separation,
        separation_float: best
            .and_then(|best| best.separations.first())
            .map_or(0.0, |separation| separation.mean),
        faults: fitted
            .faults
            .iter()
            .map(|(fault, roc_auc)| FaultReport { fault: fault.name(), roc_auc: *roc_auc })
            .collect(),
        candidates: fitted
            .tried
            .iter()
            .map(|tried| CandidateReport {
                about: tried.candidate.about.clone(),
                blob_bytes: tried.candidate.blob_bytes,
                score: tried.separations.first().map(|s| s.score),
                separation: tried.separations.first().map(|s| s.mean),
            })
            .collect(),
        threshold: model.threshold().map(|raw| real_score(raw, model.score_kind())),
        rate: fitted.rate,
        tail: fitted.assembled.tail.as_ref().map(TailReport::from),
        cross_fitted_windows: fitted.cross_fitted,
        thresholds: fitted
            .thresholds
            .iter()
            .map(|tail| OtherRate {
                false_alarms_per_day: tail.rate * fitted.rate.windows_per_day,
                false_alarms_per_window: tail.rate,
                threshold: tail.threshold,
                method: tail.method.name(),
            })
            .collect(),
        notes: fitted.notes.clone(),
    })
}

/// Takes rows with another label for missing.
fn leave_out(recording: &mut Recording, labels: &Labels, keep: i64) -> miette::Result<()> {
    let (rows, row_len) = (recording.rows(), recording.row_len());
    if labels.values.len() != rows {
        return Err(miette::miette!(
            help = "give a label for each row (first axis) of the recording",
            "{}: {} labels for {rows} rows",
            labels.path.display(),
            labels.values.len()
        ));
    }
    for (row, _) in labels.values.iter().enumerate().filter(|(_, label)| **label != keep) {
        recording.samples[row * row_len..][..row_len].fill(f32::NAN);
    }
    Ok(())
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("`{text}` is not a positive number")),
    }
}
