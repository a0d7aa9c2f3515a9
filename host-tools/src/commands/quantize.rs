//! `picovae quantize`: float weights and normal recordings to a calibrated blob.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::ScoreKind;
use picovae::quantize::{QuantizeOptions, RangeMethod, lower, observe};
use picovae::recording::WindowSet;
use picovae::simulate::{calibrate_set, real_score, score_set};
use picovae_core::fixed::Rounding;
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, open_float};
use crate::args::{file_name, window_set};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae quantize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae quantize fan.safetensors --calibrate normal.npy -o fan.pvae
  picovae quantize ecg.safetensors --calibrate beats.npy --rows 0..500 \\
      --labels labels.npy --keep-label 0 --range mse -o ecg.pvae
  picovae quantize vae.safetensors --calibrate train-images-idx3-ubyte.gz -o vae.pvae   # a PyTorch state dict

Exit code 1 where the int8 model's mean score drifts from the float model's by more than --max-drift.")]
pub struct QuantizeArgs {
    /// Float model: this tool's `.safetensors`, or a PyTorch state dict.
    #[arg(value_name = "MODEL.safetensors")]
    model: PathBuf,
    /// Recordings of normal operation.
    #[arg(long, value_name = "DATA", required = true, num_args = 1..)]
    calibrate: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Calibrate on windows with this label only.
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    /// Range of activations: minmax, percentile(P), mse.
    #[arg(long, default_value = "percentile(0.9999)")]
    range: RangeMethod,
    /// The features' range is what calibration saw, times this.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.25)]
    input_headroom: f32,
    /// Rounding of requantization.
    #[arg(long, value_enum, default_value_t = RoundingArg::Double)]
    rounding: RoundingArg,
    /// Core the weights are packed for.
    #[arg(long, value_name = "CORE", default_value = "portable")]
    target: String,
    /// Share of normal windows that may alarm; sets the threshold.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    false_alarm_rate: f64,
    /// Fail (exit 1) where the mean score drifts by more than this share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    max_drift: f64,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// Values of `--rounding`.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoundingArg {
    /// TensorFlow Lite's pair of roundings.
    Double,
    /// One rounding of the exact product.
    Single,
}

/// JSON of `picovae quantize --json`.
#[derive(Debug, Serialize)]
struct QuantizeReport {
    model: String,
    name: String,
    params: usize,
    macs: usize,
    float_bytes: usize,
    blob_bytes: usize,
    arena_bytes: usize,
    calibration_windows: u32,
    score: ScoreKind,
    mean_score_float: f64,
    mean_score_int8: f64,
    drift: f64,
    max_drift: f64,
    threshold: Option<f64>,
}

/// Runs the verb.
pub fn run(args: QuantizeArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let mut vae = open_float(&args.model, &args.foreign)?;
    if let Some(score) = args.foreign.score() {
        vae.score = score;
    }
    let loaded = args.recordings.load(&args.calibrate)?;
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let options = QuantizeOptions {
        range: args.range,
        input_headroom: args.input_headroom,
        rounding: match args.rounding {
            RoundingArg::Double => Rounding::Double,
            RoundingArg::Single => Rounding::Single,
        },
        ..QuantizeOptions::default()
    };
    let indices = spread(set.len(), options.max_windows);
    let features = set.features(&vae.frontend, &indices);
    let ranges = observe(&vae, features.view(), &options)?;
    let quantized = lower(&vae, &ranges, &options)?;
    let draft = write(&quantized, &args.target, Calibrated::default())?;
    let calibrated = calibrate_set(&draft.model()?, &set, args.false_alarm_rate)?;
    let blob = write(&quantized, &args.target, calibrated)?;
    blob.save(&args.out)?;

    let (float, int8) = mean_scores(&vae, &blob, &set, &indices)?;
    // A score near 0 drifts in absolute terms: a Gaussian NLL may cross it.
    let drift = (int8 - float) / float.abs().max(1e-9);
    let model = blob.model()?;
    let report = QuantizeReport {
        model: file_name(&args.out),
        name: vae.name.clone(),
        params: vae.params(),
        macs: vae.macs(),
        float_bytes: 4 * vae.params(),
        blob_bytes: blob.bytes().len(),
        arena_bytes: model.arena_len(),
        calibration_windows: calibrated.summary.windows,
        score: vae.score,
        mean_score_float: float,
        mean_score_int8: int8,
        drift,
        max_drift: args.max_drift,
        threshold: calibrated
            .threshold
            .map(|raw| real_score(picovae_core::Score(raw), model.score_kind())),
    };
    let ratio = report.float_bytes as f64 / report.blob_bytes as f64;
    let threshold = report.threshold.map_or("none".into(), |t| format!("{t:.5}"));
    let text = Listing::new()
        .row("blob", args.out.display())
        .row("size", format!("{} bytes ({ratio:.2} times smaller than float)", report.blob_bytes))
        .row("arena", format!("{} bytes of RAM", report.arena_bytes))
        .row("parameters", report.params)
        .row("calibration windows", report.calibration_windows)
        .row(&*format!("mean {} float", vae.score), format!("{float:.5}"))
        .row(&*format!("mean {} int8", vae.score), format!("{int8:.5} ({:+.3} %)", 100.0 * drift))
        .row("threshold", threshold)
        .to_string();
    printer.report(&report, &text)?;
    if drift.abs() > args.max_drift {
        eprintln!(
            "the int8 model's mean score drifts by {:+.2} %, more than --max-drift {}; try --range mse or minmax",
            100.0 * drift,
            args.max_drift
        );
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// At most `most` of `count` indices, evenly spread.
fn spread(count: usize, most: usize) -> Vec<usize> {
    (0..count).step_by(count.div_ceil(most.max(1)).max(1)).collect()
}

/// Mean score of the observed windows, float and int8.
fn mean_scores(
    vae: &picovae::graph::Vae,
    blob: &Blob,
    set: &WindowSet<'_>,
    indices: &[usize],
) -> miette::Result<(f64, f64)> {
    let subset = set.subset(indices);
    let features = set.features(&vae.frontend, indices);
    let count = indices.len().max(1) as f64;
    let float: f64 = vae.score_batch(features.view()).iter().sum();
    let model = blob.model()?;
    let scores = score_set(&model, &subset).into_diagnostic()?;
    let int8: f64 = scores.iter().map(|score| real_score(*score, model.score_kind())).sum();
    Ok((float / count, int8 / count))
}

