//! `picovae search`: a smaller network under hard budgets.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};

use clap::Args;
use miette::IntoDiagnostic;
use picovae::compress::Yardstick;
use picovae::graph::{Activation, LikelihoodKind, Op, Provenance, ScoreKind, TOOL, Vae};
use picovae::import::write_safetensors;
use picovae::quantize::QuantizeOptions;
use picovae::search::{Rules, Space, Study, Task, Trial, best, pareto, work};
use picovae::simulate::{DecisionOptions, DetectorOptions, FalseAlarms};
use picovae::train::{Architecture, FitConfig, Image, Sigma, hold_out};

use super::budget::BudgetArgs;
use super::model_file::{ForeignArgs, open_float};
use super::progress;
use super::search_report::{SearchReport, TrialReport, page};
use crate::args::{DataArgs, command_line, file_name, sha256_of, window_set};
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae search`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae search mnist.safetensors train-images-idx3-ubyte.gz --flash 28K --image 28x28 --trials 60 -o small.safetensors
  picovae search ad01_fp32.tflite train_normal_clips.npy --flash 48K --instructions 45K --jobs 2 -o car.safetensors
  picovae search fan.safetensors normal.npy --flash 16K --study postgresql://me@host/studies --name fan -o fan-16k.safetensors

The last one may run on any number of machines at once, with the same arguments and data: they share the
study's trials. A study goes on where it stopped.")]
pub struct SearchArgs {
    /// Float model that gives the front-end, the likelihood and the score, and teaches.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Use windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Model to write: the best network, float, to be quantized with the bits that are printed.
    #[arg(short, long, value_name = "OUT.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Database of the study: a file, or postgresql://user@host/database.
    #[arg(long, value_name = "FILE|URL", default_value = "picovae-study.db")]
    study: String,
    /// Name of the study in its database.
    #[arg(long, default_value = "search")]
    name: String,
    /// Networks tried.
    #[arg(long, default_value_t = 60)]
    trials: usize,
    /// Networks at random before any has children [default: a quarter of the trials].
    #[arg(long)]
    random: Option<usize>,
    /// How often the best are trained on, each time --eta times as long.
    #[arg(long, default_value_t = 3)]
    rungs: usize,
    /// One network in so many is trained on.
    #[arg(long, default_value_t = 3)]
    eta: usize,
    /// Epochs of the first rung.
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// Windows a step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of Adam.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Families tried: mlp, conv, or both.
    #[arg(long, value_delimiter = ',', default_value = "mlp,conv")]
    families: Vec<Family>,
    /// Convolve features as an image of this size.
    #[arg(long, value_name = "ROWSxCOLUMNS")]
    image: Option<Image>,
    /// Fix the latent [default: searched].
    #[arg(long)]
    latent: Option<usize>,
    /// Try 4-bit weights too, layer by layer.
    #[arg(long)]
    four_bit: bool,
    /// Learn from the windows alone, not from the model.
    #[arg(long)]
    no_distil: bool,
    /// Worker processes on this machine.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Seconds of silence after which a worker counts as dead.
    #[arg(long, default_value_t = 120)]
    patience: i64,
    /// Share of normal windows that may alarm.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    false_alarm_rate: f64,
    /// Fraction of the windows held out to measure with.
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION")]
    validation: f32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Report to write.
    #[arg(long, value_name = "R.html")]
    report: Option<PathBuf>,
    /// Work on a study another process began, and print nothing.
    #[arg(long, hide = true)]
    worker: bool,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// Values of `--families`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Family {
    /// Fully connected layers.
    Mlp,
    /// Convolutions first.
    Conv,
}

/// Runs the verb.
pub fn run(args: SearchArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.data.load()?;
    let (mut reference, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut reference, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    if let Some(score) = args.foreign.score() {
        reference.score = score;
        reference.validate()?;
    }
    let set = window_set(&loaded, &reference.frontend, args.keep_label)?;
    let (train, held_out) = hold_out(&set, args.validation, args.seed);
    let yardstick = Yardstick::new(&reference, &set.subset(&held_out), args.seed)?;
    let reference_loss = yardstick.of_float(&reference)?.negative_elbo;
    let rules = args.rules();
    let space = args.space();
    let task = Task {
        train: set.subset(&train),
        yardstick,
        like: like(&reference, args.image),
        fit: FitConfig {
            epochs: args.epochs,
            batch: args.batch,
            learning_rate: args.lr,
            sigma: Sigma::Optimal,
            shards: 1,
            ..FitConfig::default()
        },
        eta: rules.eta.max(2),
        last_rung: rules.rungs.saturating_sub(1),
        quantize: QuantizeOptions::default(),
        detector: DetectorOptions {
            target: args.budget.target.clone(),
            false_alarms: FalseAlarms::Share(args.false_alarm_rate),
            decision: DecisionOptions::default(),
        },
        distil: !args.no_distil,
    };
    let open = || Study::open(&args.study, &args.name);
    let mut study = open()?;
    study.join(&args.settings(&rules, &space)?)?;

    let mut children = if args.worker { Vec::new() } else { spawn(args.jobs)? };
    let bar = if args.worker { indicatif::ProgressBar::hidden() } else { progress::steps() };
    let budget = args.budget.budget();
    let worked = work(&mut study, &open, &task, &space, &rules, &budget, &bar);
    // Nobody is left behind, whatever happened here.
    for child in &mut children {
        child.wait().into_diagnostic()?;
    }
    worked?;
    if args.worker {
        return Ok(ExitCode::SUCCESS);
    }

    let (trial, mut vae) = best(&mut study)?;
    vae.name = args.out.file_stem().map_or("searched".into(), |stem| stem.to_string_lossy().into());
    vae.provenance = Provenance {
        source: args.data.data.iter().map(|path| file_name(path)).collect::<Vec<_>>().join(" "),
        sha256: sha256_of(&args.data.data)?,
        tool: TOOL.into(),
        command: command_line(),
    };
    write_safetensors(&args.out, &vae)?;
    let trials = study.trials()?;
    let describe = |trial: &Trial| -> miette::Result<TrialReport> {
        let network = task.network(&trial.candidate, 0)?;
        Ok(TrialReport {
            trial: trial.id,
            candidate: trial.candidate.to_string(),
            weight_bits: trial.candidate.weight_bits(&network).to_string(),
            params: network.params(),
            figures: trial.figures[trial.figures.len() - 1],
        })
    };
    let finished: Vec<&Trial> = trials.iter().filter(|t| !t.figures.is_empty()).collect();
    let last = |t: &Trial| t.figures[t.figures.len() - 1].objectives();
    let points: Vec<Vec<f64>> = finished.iter().map(|t| last(t)).collect();
    let fronts = pareto::fronts(&points);
    let mut front = Vec::new();
    for (trial, _) in finished.iter().zip(&fronts).filter(|(_, front)| **front == 0) {
        front.push(describe(trial)?);
    }
    front.sort_by_key(|trial| trial.figures.blob_bytes);
    let report = SearchReport {
        model: file_name(&args.out),
        study: args.name.clone(),
        trials: trials.len(),
        failed: trials.iter().filter(|t| t.figures.is_empty()).count(),
        best: describe(&trial)?,
        reference_loss,
        front,
    };
    if let Some(path) = &args.report {
        page(&report, &trials)?.save(path)?;
    }
    let figures = report.best.figures;
    let mut table =
        Table::new(["front", "blob", "instructions", "loss", "detection", "epochs", "network"]);
    for trial in &report.front {
        let figures = trial.figures;
        table.row([
            trial.trial.to_string(),
            figures.blob_bytes.to_string(),
            figures.instructions.to_string(),
            format!("{:.3}", figures.loss),
            format!("{:.4}", figures.detection),
            figures.epochs.to_string(),
            trial.candidate.clone(),
        ]);
    }
    let listing = Listing::new()
        .row("model", args.out.display())
        .row("network", &report.best.candidate)
        .row("trials", format!("{} ({} failed)", report.trials, report.failed))
        .row("blob", format!("{} bytes", figures.blob_bytes))
        .row("arena", format!("{} bytes", figures.arena_bytes))
        .row("instructions, predicted", figures.instructions)
        .row("held-out loss", format!("{:.3} nats, of the model {reference_loss:.3}", figures.loss))
        .row("detection", format!("{:.4}", figures.detection))
        .row("quantize with", format!("--weight-bits {}", report.best.weight_bits));
    printer.report(&report, &format!("{table}\n{listing}"))?;
    Ok(ExitCode::SUCCESS)
}

/// The other workers: this command again, each on one thread.
fn spawn(jobs: usize) -> miette::Result<Vec<Child>> {
    let program = std::env::current_exe().into_diagnostic()?;
    (1..jobs)
        .map(|_| {
            Command::new(&program)
                .args(std::env::args_os().skip(1))
                .arg("--worker")
                .stdout(std::process::Stdio::null())
                .spawn()
                .into_diagnostic()
        })
        .collect()
}

/// What is not searched, as the reference has it.
fn like(reference: &Vae, image: Option<Image>) -> Architecture {
    let hidden =
        reference.encoder.iter().find(|l| !matches!(l.op, Op::MaxPool(_) | Op::AveragePool(_)));
    Architecture {
        name: reference.name.clone(),
        convolutions: Vec::new(),
        decoder_convolutions: None,
        image,
        hidden: Vec::new(),
        decoder_hidden: Vec::new(),
        latent: reference.latent_len(),
        activation: hidden.map_or(Activation::Relu, |layer| layer.activation),
        likelihood: match reference.likelihood.kind() {
            LikelihoodKind::Bernoulli => LikelihoodKind::Bernoulli,
            _ => LikelihoodKind::Gaussian,
        },
        score: match reference.score {
            // It needs the latents of normal windows, which differ from network to network.
            ScoreKind::Mahalanobis => ScoreKind::NegativeElbo,
            score => score,
        },
    }
}

impl SearchArgs {
    fn rules(&self) -> Rules {
        Rules {
            trials: self.trials,
            rungs: self.rungs.max(1),
            eta: self.eta.max(2),
            random: self.random.unwrap_or(self.trials.div_ceil(4)),
            patience: self.patience,
            seed: self.seed,
        }
    }

    fn space(&self) -> Space {
        Space {
            fully_connected: self.families.contains(&Family::Mlp),
            convolutional: self.families.contains(&Family::Conv),
            latent: self.latent,
            four_bit: self.four_bit,
        }
    }

    /// What must be the same for all who share the study.
    fn settings(&self, rules: &Rules, space: &Space) -> miette::Result<serde_json::Value> {
        Ok(serde_json::json!({
            "tool": TOOL,
            "model": sha256_of(std::slice::from_ref(&self.model))?,
            "data": sha256_of(&self.data.data)?,
            "target": self.budget.target,
            "budget": self.budget.budget(),
            "rules": rules,
            "space": space,
            "image": self.image,
            "epochs": self.epochs,
            "batch": self.batch,
            "lr": self.lr,
            "validation": self.validation,
            "distil": !self.no_distil,
        }))
    }
}
