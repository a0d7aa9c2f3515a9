//! `picovae calibrate`: another threshold for a finished blob.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::emit::with_threshold;
use picovae::simulate::{calibrate_set, frontend_of, real_score};
use picovae::threshold::Voting;
use picovae_core::Score;
use serde::Serialize;

use super::false_alarms::{FalseAlarmArgs, TailReport, describe};
use super::model_file::{ForeignArgs, RecordingArgs, open_blob};
use crate::args::{file_name, window_set};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae calibrate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae calibrate fan.pvae last_week.npy --false-alarms-per-day 0.2 --sample-rate 200 -o fan.pvae
  picovae calibrate pump.pvae monday.csv tuesday.csv --false-alarm-rate 0.001 -o pump2.pvae

Weights, front-end and decision stay as they are. Give recordings that nothing was trained on.")]
pub struct CalibrateArgs {
    /// The blob.
    #[arg(value_name = "MODEL.pvae")]
    model: PathBuf,
    /// Recordings of normal operation.
    #[arg(value_name = "DATA", required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Calibrate on windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    /// Share of the windows that may reach the threshold, instead of alarms a day.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.001,
        conflicts_with = "false_alarms_per_day"
    )]
    false_alarm_rate: f64,
    #[command(flatten)]
    false_alarms: FalseAlarmArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae calibrate --json`.
#[derive(Debug, Serialize)]
struct CalibrateReport {
    model: String,
    name: String,
    score: &'static str,
    calibration_windows: u32,
    threshold_before: Option<f64>,
    threshold: Option<f64>,
    tail: Option<TailReport>,
    blob_bytes: usize,
}

/// Runs the verb.
pub fn run(args: CalibrateArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let blob = open_blob(&args.model, &args.foreign)?;
    let model = blob.model()?;
    let frontend = frontend_of(&model);
    let loaded = args.recordings.load(&args.data)?;
    let set = window_set(&loaded, &frontend, args.keep_label)?;
    let known = loaded.iter().find_map(|loaded| loaded.recording.sample_rate);
    let wanted = args.false_alarms.wanted(args.false_alarm_rate, frontend.hop, known)?;
    let decision = model.decision();
    let voting = Voting::of(
        (decision.votes, decision.of),
        decision.hold_off,
        frontend.window_len,
        frontend.hop,
    );
    let (calibrated, tail) = calibrate_set(&model, &set, wanted, voting, &[])?;
    let changed = with_threshold(&blob, calibrated)?;
    changed.save(&args.out)?;
    let real = |raw: i64| real_score(Score(raw), model.score_kind());
    let report = CalibrateReport {
        model: file_name(&args.out),
        name: model.name().into(),
        score: model.score_kind().name(),
        calibration_windows: calibrated.summary.windows,
        threshold_before: model.threshold().map(|threshold| real(threshold.0)),
        threshold: calibrated.threshold.map(real),
        tail: tail.as_ref().map(TailReport::from),
        blob_bytes: changed.bytes().len(),
    };
    let figure = |value: Option<f64>| value.map_or("none".into(), |x| format!("{x:.5}"));
    let text = Listing::new()
        .row("blob", args.out.display())
        .row("calibration windows", report.calibration_windows)
        .row("score", report.score)
        .row(
            "threshold",
            format!("{}, before {}", figure(report.threshold), figure(report.threshold_before)),
        )
        .row("its tail", tail.as_ref().map_or("-".into(), describe))
        .row("size", format!("{} bytes", report.blob_bytes))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}
