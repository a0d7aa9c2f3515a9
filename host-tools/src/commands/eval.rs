//! `picovae eval`: how well a model, float or blob, tells anomalies from normal data.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::Blob;
use picovae::evaluate::{Labelled, float_scores, real_scores};
use picovae::graph::{Frontend, ScoreKind, Vae};
use picovae::metrics;
use picovae::recording::{Clips, Recording, RecordingError};
use picovae::simulate::{MeanScores, frontend_of, real_score, score_all};
use serde::Serialize;

use super::model_file::{ForeignArgs, ModelFile, RecordingArgs, open};
use super::{eval_scores, progress};
use crate::args::{Loaded, file_name};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae eval toycar.pvae --data test_clips.npy --labels test_labels.csv
  picovae eval fan.pvae --normal low.npy --anomalous low_with_coin.npy --rows 300..
  picovae eval fan.safetensors --all-scores --validation normal.npy --normal low.npy --anomalous coin.npy
  picovae eval vae.safetensors --data t10k-images-idx3-ubyte.gz     # negative ELBO only

Labels may be given a clip (judged by the mean score of its windows), a window or a frame.
MODEL is a float .safetensors or a .pvae; the figures of both are comparable.")]
pub struct EvalArgs {
    /// The model: `.safetensors` or `.pvae`.
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// A recording; may be repeated.
    #[arg(long, value_name = "D", required_unless_present = "normal")]
    data: Vec<PathBuf>,
    /// A recording of normal operation only; may be repeated.
    #[arg(long, value_name = "FILE", requires = "anomalous", conflicts_with = "labels")]
    normal: Vec<PathBuf>,
    /// A recording of anomalies only; may be repeated.
    #[arg(long, value_name = "FILE", requires = "normal")]
    anomalous: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// The label of normal data; every other one is an anomaly.
    #[arg(long, value_name = "INT", default_value_t = 0, allow_negative_numbers = true)]
    pub(super) normal_label: i64,
    /// Compare all scores of a float model, and pick one by faults put into --validation recordings.
    #[arg(long, requires = "validation")]
    all_scores: bool,
    /// Normal recordings that --all-scores picks by; never those of the test.
    #[arg(long, value_name = "NORMAL", requires = "all_scores")]
    validation: Vec<PathBuf>,
    /// Seed of the posterior samples of the negative ELBO.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u32,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae eval --json`.
#[derive(Debug, Serialize)]
struct EvalReport {
    model: String,
    kind: &'static str,
    score: &'static str,
    windows: usize,
    judged: usize,
    anomalies: usize,
    roc_auc: Option<f64>,
    pr_auc: Option<f64>,
    best_f1: Option<f64>,
    threshold: Option<f64>,
    model_threshold: Option<f64>,
    false_alarms: Option<usize>,
    false_alarm_rate: Option<f64>,
    recall: Option<f64>,
    negative_elbo: f64,
    nll: f64,
    kl_divergence: f64,
    reconstruction_error: f64,
    saturated_samples: u64,
}

/// Either kind of model, ready to score.
enum Judge {
    Float(Box<Vae>),
    Blob(Blob),
}

impl Judge {
    fn frontend(&self) -> miette::Result<Frontend> {
        Ok(match self {
            Self::Float(vae) => vae.frontend.clone(),
            Self::Blob(blob) => frontend_of(&blob.model()?),
        })
    }

    /// (clip, score) of every window, and the sums behind the mean ELBO.
    fn score(&self, clips: &Clips<'_>, seed: u32) -> miette::Result<Judged> {
        match self {
            Self::Float(vae) => {
                let (scores, means) = float_scores(vae, clips, vae.score, seed);
                Ok(Judged { scores, means, saturated: 0 })
            }
            Self::Blob(blob) => {
                let model = blob.model()?;
                let scored = score_all(&model, clips, seed).into_diagnostic()?;
                Ok(Judged {
                    scores: real_scores(&scored.windows, model.score_kind()),
                    means: scored.means,
                    saturated: scored.saturated,
                })
            }
        }
    }
}

/// What a model says of a recording.
struct Judged {
    /// (clip, score) of every window.
    scores: Vec<(usize, f64)>,
    /// Mean negative ELBO and its parts.
    means: MeanScores,
    /// Samples beyond the device's i16.
    saturated: u64,
}

/// Runs the verb.
pub fn run(args: EvalArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let data = args.recordings.load(&args.data)?;
    let normal = args.recordings.load(&args.normal)?;
    let anomalous = args.recordings.load(&args.anomalous)?;
    let judge = match open(&args.model, &args.foreign)? {
        ModelFile::Float { mut vae, foreign } => {
            if foreign {
                let all = data.iter().chain(&normal).chain(&anomalous);
                args.foreign.adapt(&mut vae, all.map(|loaded| &loaded.recording))?;
            }
            if let Some(score) = args.foreign.score() {
                vae.score = score;
                vae.validate()?;
            }
            if vae.score == ScoreKind::Mahalanobis && !args.all_scores {
                return Err(miette::miette!(
                    help = "quantize it with `--score mahalanobis` and judge the blob",
                    "a float model does not know how the latents of normal windows lie"
                ));
            }
            Judge::Float(vae)
        }
        ModelFile::Blob(blob) => Judge::Blob(blob),
    };
    if args.all_scores {
        let Judge::Float(vae) = &judge else {
            return Err(miette::miette!(
                help = "give the float model it was made of",
                "a blob has one score; --all-scores compares those of a float model"
            ));
        };
        let validation = args.recordings.load(&args.validation)?;
        let tests = [(data, None), (normal, Some(false)), (anomalous, Some(true))];
        return eval_scores::run(&args, vae, validation, &tests, printer);
    }
    let (kind, score, model_threshold) = match &judge {
        Judge::Float(vae) => ("float", vae.score.name(), None),
        Judge::Blob(blob) => {
            let model = blob.model()?;
            refuse_other_score(args.foreign.score(), model.score_kind())?;
            let threshold = model.threshold().map(|t| real_score(t, model.score_kind()));
            ("blob", model.score_kind().name(), threshold)
        }
    };
    let frontend = judge.frontend()?;
    let mut labelled = Labelled::default();
    let (mut sum, mut windows, mut saturated) = (MeanScores::default(), 0, 0);
    let mut add = |recording: &Recording, labels: &Truth<'_>| -> miette::Result<()> {
        let clips = recording.clips(&frontend)?;
        let Judged { scores: scored, means, saturated: beyond } = judge.score(&clips, args.seed)?;
        if let Some(window) = scored.iter().position(|(_, score)| !score.is_finite()) {
            return Err(miette::miette!(
                help = "the samples or the weights are extreme; check the recording's unit and the export",
                "{}: the score of window {window} is not a number",
                recording.path.display()
            ));
        }
        saturated += beyond;
        let count = clips.window_count();
        windows += count;
        sum.nll += means.nll * count as f64;
        sum.kl_divergence += means.kl_divergence * count as f64;
        sum.reconstruction_error += means.reconstruction_error * count as f64;
        labels.add(&mut labelled, &clips, &scored, args.normal_label)?;
        Ok(())
    };
    for Loaded { recording, labels } in data {
        add(&recording, &labels.as_ref().map_or(Truth::Unknown, Truth::Labels))?;
    }
    for (paths, anomalous) in [(normal, false), (anomalous, true)] {
        for Loaded { recording, .. } in paths {
            add(&recording, &Truth::All(anomalous))?;
        }
    }

    let detection = labelled.detection();
    let alarms = model_threshold
        .filter(|_| detection.judged > 0)
        .map(|threshold| metrics::alarms(&labelled.scores, &labelled.anomalous, threshold));
    let mean = |sum: f64| sum / windows.max(1) as f64;
    let report = EvalReport {
        model: file_name(&args.model),
        kind,
        score,
        windows,
        judged: detection.judged,
        anomalies: detection.anomalies,
        roc_auc: detection.roc_auc,
        pr_auc: detection.pr_auc,
        best_f1: detection.best_f1,
        threshold: detection.threshold,
        model_threshold,
        false_alarms: alarms.map(|alarms| alarms.false_alarms),
        false_alarm_rate: alarms.and_then(|alarms| alarms.false_alarm_rate()),
        recall: alarms.and_then(|alarms| alarms.recall()),
        negative_elbo: mean(sum.negative_elbo()),
        nll: mean(sum.nll),
        kl_divergence: mean(sum.kl_divergence),
        reconstruction_error: mean(sum.reconstruction_error),
        saturated_samples: saturated,
    };
    progress::warn_saturated(saturated);
    let figure = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.4}"));
    let text = Listing::new()
        .row("model", format!("{} ({kind})", report.model))
        .row("score", score)
        .row("windows", windows)
        .row("judged", format!("{}, {} anomalies", report.judged, report.anomalies))
        .row("ROC AUC", figure(report.roc_auc))
        .row("PR AUC", figure(report.pr_auc))
        .row("best F1", format!("{} at {}", figure(report.best_f1), figure(report.threshold)))
        .row(
            "at the blob's threshold",
            match alarms {
                Some(alarms) => format!(
                    "{} of {} normal alarm ({}), recall {}",
                    alarms.false_alarms,
                    alarms.false_alarms + alarms.quiet,
                    figure(report.false_alarm_rate),
                    figure(report.recall)
                ),
                None => "-".into(),
            },
        )
        .row(
            "negative ELBO",
            format!(
                "{:.4} (NLL {:.4}, KL {:.4}) nats",
                report.negative_elbo, report.nll, report.kl_divergence
            ),
        )
        .row("reconstruction error", format!("{:.6}", report.reconstruction_error))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of a recording.
pub(super) enum Truth<'a> {
    Unknown,
    All(bool),
    Labels(&'a picovae::recording::Labels),
}

impl Truth<'_> {
    /// Takes the scores of a recording's windows.
    pub(super) fn add(
        &self,
        labelled: &mut Labelled,
        clips: &Clips<'_>,
        scored: &[(usize, f64)],
        normal: i64,
    ) -> Result<(), RecordingError> {
        match self {
            Self::Unknown => {}
            Self::All(anomalous) => {
                scored.iter().for_each(|(_, score)| labelled.push(*score, *anomalous));
            }
            Self::Labels(labels) => labelled.add(scored, &labels.align(clips)?, normal),
        }
        Ok(())
    }
}

/// A blob carries one score; another one needs another blob.
fn refuse_other_score(
    asked: Option<ScoreKind>,
    has: picovae_core::ScoreKind,
) -> miette::Result<()> {
    match asked {
        Some(asked) if picovae::emit::core_score(asked) != has => Err(miette::miette!(
            help = format!("quantize the float model again with `--score {asked}`"),
            "the blob was calibrated for {}, not for {asked}",
            has.name()
        )),
        _ => Ok(()),
    }
}
