//! `picovae quantize`: a model and normal recordings to a calibrated blob.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::compress::Sensitivity;
use picovae::graph::ScoreKind;
use picovae::import::{Int8Model, read_settled};
use picovae::quantize::{
    AdaRound, PostTraining, QuantizeError, QuantizeOptions, RangeMethod, Settled, WeightBits,
    observe, spread,
};
use picovae::simulate::{Assembled, DetectorOptions, FalseAlarms, assemble, real_score, score_set};
use picovae_core::fixed::Rounding;
use serde::Serialize;

use super::budget::bytes;
use super::decision::DecisionArgs;
use super::drift::{mean_scores, relative_drift};
use super::false_alarms::{FalseAlarmArgs, TailReport, describe};
use super::mixed_bits::{self, BitsArg};
use super::model_file::{ForeignArgs, RecordingArgs, Source, open_source};
use super::progress;
use crate::args::{Loaded, file_name, window_set};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae quantize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae quantize fan.safetensors --calibrate normal.npy -o fan.pvae
  picovae quantize ecg.safetensors --calibrate beats.npy --rows 0..500 \\
      --labels labels.npy --keep-label 0 --range mse -o ecg.pvae
  picovae quantize vae.safetensors --calibrate train-images-idx3-ubyte.gz -o vae.pvae   # a PyTorch state dict

  picovae quantize vae.safetensors --calibrate train.npy --weight-bits 4,encoder.0=8 -o vae4.pvae
  picovae quantize vae.safetensors --calibrate train.npy --weight-bits 4 --adaround -o vae4.pvae
  picovae quantize vae.safetensors --calibrate train.npy --weight-bits auto --flash 64K --adaround -o vae.pvae

Exit code 1 where the int8 model's mean score drifts from the float model's by more than --max-drift.")]
pub struct QuantizeArgs {
    /// Model of any format; one in int8 already keeps its integers, and is given a threshold.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Recordings of normal operation.
    #[arg(long, value_name = "DATA", required = true)]
    calibrate: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Calibrate on windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    /// Range of activations: minmax, percentile(P), mse [default: percentile(0.99999)].
    #[arg(long)]
    range: Option<RangeMethod>,
    /// Bits of the weights: 8 or 4, then exceptions by layer, e.g. 4,encoder.0=8; auto: 4 where that
    /// costs least, until --flash is kept [default: 8; of a model from `finetune --qat`, what it was trained with].
    #[arg(long, value_name = "BITS")]
    weight_bits: Option<BitsArg>,
    /// Bytes of the blob at most, for --weight-bits auto, e.g. 64K.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    flash: Option<usize>,
    /// The features' range is what calibration saw, times this [default: 3].
    #[arg(long, value_name = "FACTOR")]
    input_headroom: Option<f32>,
    /// Rounding of requantization [default: double].
    #[arg(long, value_enum)]
    rounding: Option<RoundingArg>,
    /// Take the mean error of rounded weights back with the biases, layer by layer.
    #[arg(long, conflicts_with = "adaround")]
    correct_bias: bool,
    /// Even out how loud the channels of a layer are, where activations let that pass; outputs stay the same.
    #[arg(long)]
    equalize: bool,
    /// Learn for every weight whether to round up or down, on 1,000 of the calibration windows; biases follow.
    #[arg(long)]
    adaround: bool,
    /// Seed of what --adaround draws.
    #[arg(long, default_value_t = 0, requires = "adaround")]
    seed: u64,
    /// Core the weights are packed for.
    #[arg(long, value_name = "CORE", default_value = "portable", value_parser = TARGETS)]
    target: String,
    /// Share of normal windows that may alarm; sets the threshold.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.01,
        conflicts_with = "false_alarms_per_day"
    )]
    false_alarm_rate: f64,
    #[command(flatten)]
    false_alarms: FalseAlarmArgs,
    /// Fail (exit 1) where the mean score drifts by more than this share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    max_drift: f64,
    #[command(flatten)]
    decision: DecisionArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// Values of `--target`.
pub(crate) const TARGETS: [&str; 8] = [
    "portable",
    "cortex-m0",
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m55",
];

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
    mean_score_float: Option<f64>,
    mean_score_int8: f64,
    drift: Option<f64>,
    max_drift: f64,
    threshold: Option<f64>,
    tail: Option<TailReport>,
    weight_bits: Option<String>,
    sensitivities: Option<Vec<Sensitivity>>,
}

/// Runs the verb.
pub fn run(args: QuantizeArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let default = QuantizeOptions::default();
    let headroom = args.input_headroom.unwrap_or(default.input_headroom);
    if !(headroom >= 1.0 && headroom.is_finite()) {
        return Err(QuantizeError::Headroom(headroom).into());
    }
    let flash = mixed_bits::wanted(args.weight_bits.as_ref(), args.flash)?;
    let loaded = args.recordings.load(&args.calibrate)?;
    let mut vae = match open_source(&args.model, &args.foreign)?.0 {
        Source::Float { mut vae, foreign } => {
            if foreign {
                args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
            }
            vae
        }
        Source::Int8(model) => return calibrate(&args, *model, &loaded, printer),
    };
    if let Some(score) = args.foreign.score() {
        vae.score = score;
    }
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let mut options = QuantizeOptions {
        range: args.range.unwrap_or(default.range),
        input_headroom: headroom,
        weight_bits: match &args.weight_bits {
            Some(BitsArg::Given(bits)) => bits.clone(),
            Some(BitsArg::Auto) | None => WeightBits::default(),
        },
        rounding: match args.rounding {
            Some(RoundingArg::Single) => Rounding::Single,
            Some(RoundingArg::Double) | None => Rounding::Double,
        },
        ..default
    };
    let indices = spread(set.len(), options.max_windows);
    let features = set.features(&vae.frontend, &indices);
    let detector = DetectorOptions {
        target: args.target.clone(),
        false_alarms: wanted(&args, vae.frontend.hop, &loaded)?,
        decision: args.decision.options()?,
    };
    let mut sensitivities = None;
    let quantized = match args.settled()? {
        Some(settled) => {
            let quantized = settled.lower(&vae)?;
            options = settled.options;
            quantized
        }
        None => {
            let passes = args.passes();
            let prepared = passes.prepare(&vae, features.view(), &options);
            let ranges = observe(&prepared, features.view(), &options)?;
            if let Some(flash) = flash {
                let chosen =
                    mixed_bits::choose(&prepared, &ranges, &options, &set, &detector, flash)?;
                options.weight_bits = chosen.0;
                sensitivities = Some(chosen.1);
            }
            let bar = progress::steps();
            let quantized = passes.lower(&prepared, &ranges, &options, features.view(), &bar)?;
            bar.finish_and_clear();
            quantized
        }
    };
    let assembled = assemble(quantized, &set, &detector)?;
    let (blob, calibrated) = (&assembled.blob, assembled.calibrated);
    blob.save(&args.out)?;

    let (float, int8) = mean_scores(&vae, &assembled, features.view(), &set.subset(&indices))?;
    let drift = relative_drift(&vae, float, int8);
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
        mean_score_float: Some(float),
        mean_score_int8: int8,
        drift: Some(drift),
        max_drift: args.max_drift,
        threshold: calibrated
            .threshold
            .map(|raw| real_score(picovae_core::Score(raw), model.score_kind())),
        tail: assembled.tail.as_ref().map(TailReport::from),
        weight_bits: Some(options.weight_bits.to_string()),
        sensitivities,
    };
    let ratio = report.float_bytes as f64 / report.blob_bytes as f64;
    let threshold = report.threshold.map_or("none".into(), |t| format!("{t:.5}"));
    let text = Listing::new()
        .row("blob", args.out.display())
        .row("size", format!("{} bytes ({ratio:.2} times smaller than float)", report.blob_bytes))
        .row("arena", format!("{} bytes of RAM", report.arena_bytes))
        .row("parameters", report.params)
        .row("weight bits", &options.weight_bits)
        .row("calibration windows", report.calibration_windows)
        .row(&*format!("mean {} float", vae.score), format!("{float:.5}"))
        .row(&*format!("mean {} int8", vae.score), format!("{int8:.5} ({:+.3} %)", 100.0 * drift))
        .row("threshold", threshold)
        .row("its tail", assembled.tail.as_ref().map_or("-".into(), describe))
        .to_string();
    let table = report.sensitivities.as_deref().map(mixed_bits::table);
    printer.report(&report, &table.map_or(text.clone(), |table| format!("{table}\n{text}")))?;
    // A drift that is not a number is beyond every budget.
    if drift.is_nan() || drift.abs() > args.max_drift {
        eprintln!(
            "the int8 model's mean score drifts by {:+.2} %, more than --max-drift {}; try --range mse or minmax",
            100.0 * drift,
            args.max_drift
        );
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

impl QuantizeArgs {
    fn passes(&self) -> PostTraining {
        PostTraining {
            equalize: self.equalize,
            correct_bias: self.correct_bias,
            adaround: self.adaround.then(|| AdaRound { seed: self.seed, ..AdaRound::default() }),
        }
    }

    /// What quantization-aware training settled on, unless other options are asked for.
    fn settled(&self) -> miette::Result<Option<Settled>> {
        let settled = read_settled(&self.model)?;
        let asked = self.range.is_some()
            || self.weight_bits.is_some()
            || self.input_headroom.is_some()
            || self.rounding.is_some()
            || self.correct_bias
            || self.equalize
            || self.adaround;
        if settled.is_some() && asked {
            eprintln!(
                "note: the ranges and weight bits of quantization-aware training are not used, for options ask for others"
            );
            return Ok(None);
        }
        Ok(settled)
    }
}

/// A model in int8 already: its integers are kept, its threshold is new.
fn calibrate(
    args: &QuantizeArgs,
    model: Int8Model,
    loaded: &[Loaded],
    printer: &mut Printer,
) -> miette::Result<ExitCode> {
    let mut quantized = model.vae;
    if let Some(score) = args.foreign.score() {
        quantized.score = score;
    }
    let set = window_set(loaded, &quantized.frontend.float, args.keep_label)?;
    let (name, params, score) = (quantized.name.clone(), quantized.params(), quantized.score);
    let detector = DetectorOptions {
        target: args.target.clone(),
        false_alarms: wanted(args, quantized.frontend.float.hop, loaded)?,
        decision: args.decision.options()?,
    };
    let Assembled { blob, calibrated, tail, .. } = assemble(quantized, &set, &detector)?;
    blob.save(&args.out)?;
    let model = blob.model()?;
    let scores = score_set(&model, &set).into_diagnostic()?;
    let sum: f64 = scores.iter().map(|score| real_score(*score, model.score_kind())).sum();
    let report = QuantizeReport {
        model: file_name(&args.out),
        name,
        params,
        macs: (0..model.layer_count()).filter_map(|i| model.layer(i)).map(|l| l.macs()).sum(),
        float_bytes: 4 * params,
        blob_bytes: blob.bytes().len(),
        arena_bytes: model.arena_len(),
        calibration_windows: calibrated.summary.windows,
        score,
        mean_score_float: None,
        mean_score_int8: sum / set.len().max(1) as f64,
        drift: None,
        max_drift: args.max_drift,
        threshold: calibrated
            .threshold
            .map(|raw| real_score(picovae_core::Score(raw), model.score_kind())),
        tail: tail.as_ref().map(TailReport::from),
        weight_bits: None,
        sensitivities: None,
    };
    let threshold = report.threshold.map_or("none".into(), |t| format!("{t:.5}"));
    let text = Listing::new()
        .row("blob", args.out.display())
        .row("size", format!("{} bytes, the file's own integers", report.blob_bytes))
        .row("arena", format!("{} bytes of RAM", report.arena_bytes))
        .row("parameters", report.params)
        .row("calibration windows", report.calibration_windows)
        .row(&*format!("mean {}", report.score), format!("{:.5}", report.mean_score_int8))
        .row("threshold", threshold)
        .row("its tail", tail.as_ref().map_or("-".into(), describe))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// The false alarms asked for, over the recordings' own rate.
fn wanted(args: &QuantizeArgs, hop: usize, loaded: &[Loaded]) -> miette::Result<FalseAlarms> {
    let known = loaded.iter().find_map(|loaded| loaded.recording.sample_rate);
    args.false_alarms.wanted(args.false_alarm_rate, hop, known)
}
