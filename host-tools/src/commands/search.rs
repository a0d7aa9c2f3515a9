//! `picovae search`: a smaller network under hard budgets.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

use clap::Args;
use clap::builder::RangedU64ValueParser;
use miette::IntoDiagnostic;
use picovae::compress::Yardstick;
use picovae::fingerprint;
use picovae::graph::{Activation, LikelihoodKind, Op, Provenance, ScoreKind, TOOL, Vae};
use picovae::import::write_trained;
use picovae::quantize::QuantizeOptions;
use picovae::recording::WindowSet;
use picovae::search::{Rules, Space, Study, Task, best, work};
use picovae::simulate::{CalibrateError, DecisionOptions, DetectorOptions, FalseAlarms};
use picovae::train::{
    Architecture, FitConfig, Image, Sigma, TrainError, hold_out, known_precision, student,
};

use super::budget::BudgetArgs;
use super::model_file::{ForeignArgs, LATENT_LAYER, open_float, without_alias};
use super::outputs::Outputs;
use super::progress;
use super::search_report::{SearchReport, page};
use crate::args::{DataArgs, command_line, file_name, sha256_of, window_set};
use crate::printer::Printer;

/// Arguments of `picovae search`.
#[derive(Debug, Args)]
#[command(mut_arg(LATENT_LAYER, without_alias))]
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
    /// Model to write: the best network, float, to be quantized as is printed.
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
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=65_535))]
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
    /// End where standard input does: its other end is held by the process that began this one.
    #[arg(long, hide = true, requires = "worker")]
    attached: bool,
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
    if args.attached {
        end_with_parent();
    }
    args.check()?;
    let outputs = Outputs::default().and("-o", Some(&args.out));
    outputs.and("--report", args.report.as_deref()).check(&args.data.paths())?;
    let loaded = args.data.load()?;
    let (mut reference, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut reference, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    if let Some(score) = args.foreign.score() {
        reference.score = score;
        reference.validate()?;
    }
    let like = args.like(&reference);
    // Before the study is: an image that the features are not would fail every trial of it.
    student(&reference, &like, 0)?;
    let set = window_set(&loaded, &reference.frontend, args.keep_label)?;
    let (train, held_out) = hold_out(&set, args.validation, args.seed);
    if train.is_empty() {
        return Err(TrainError::TooFewWindows { windows: set.len() }.into());
    }
    let given = reference;
    // Measured by the score that trials have.
    let reference =
        Vae { score: like.score, ..known_precision(given.clone(), &set.subset(&train)) };
    let yardstick = Yardstick::new(&reference, &set.subset(&held_out), args.seed)?;
    let reference_loss = yardstick.of_float(&reference)?.negative_elbo;
    let rules = args.rules();
    let space = args.space();
    let settings = args.settings(&rules, &space, &given, &set)?;
    let task = Task {
        train: set.subset(&train),
        yardstick,
        like,
        provenance: Provenance {
            source: args.data.data.iter().map(|path| file_name(path)).collect::<Vec<_>>().join(" "),
            sha256: sha256_of(&args.data.data)?,
            tool: TOOL.into(),
            command: command_line(),
        },
        fit: args.fit(),
        eta: rules.eta,
        last_rung: rules.rungs - 1,
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
    study.join(&settings)?;

    let mut workers = if args.worker { Vec::new() } else { spawn(args.jobs)? };
    let bar = if args.worker { indicatif::ProgressBar::hidden() } else { progress::steps() };
    let budget = args.budget.budget();
    let worked = work(&mut study, &open, &task, &space, &rules, &budget, &bar);
    // Nobody is left behind, whatever happened here.
    for worker in &mut workers {
        worker.child.wait().into_diagnostic()?;
    }
    worked?;
    if args.worker {
        return Ok(ExitCode::SUCCESS);
    }

    let mut best = best(&mut study)?;
    // Another machine may have trained it, under another name.
    best.vae.name.clone_from(&task.like.name);
    best.vae.provenance = task.provenance.clone();
    write_trained(&args.out, &best.vae, best.settled.as_ref())?;
    let trials = study.trials()?;
    let mut report = SearchReport::new(
        file_name(&args.out),
        &args.name,
        &task,
        &trials,
        &best,
        reference_loss,
        args.trials,
    )?;
    report.score = Some(given.score).filter(|score| *score != task.like.score);
    if let Some(path) = &args.report {
        page(&report, &trials)?.save(path)?;
    }
    printer.report(&report, &report.text(&args.out, best.settled.is_some()))?;
    Ok(ExitCode::SUCCESS)
}

/// A worker of this machine.
struct Worker {
    child: Child,
    /// Apart from the child, which closes its own before it is waited for.
    _lifeline: Option<ChildStdin>,
}

/// The other workers: this command again, each on one thread. However this process ends, the pipes
/// to them close, and they end too.
fn spawn(jobs: usize) -> miette::Result<Vec<Worker>> {
    let program = std::env::current_exe().into_diagnostic()?;
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Right behind the verb: behind a `--` of the user's they would be recordings.
    let verb = arguments.iter().position(|argument| argument == "search");
    let behind = verb.map_or(arguments.len(), |verb| verb + 1);
    arguments.splice(behind..behind, ["--worker".into(), "--attached".into()]);
    (1..jobs)
        .map(|_| {
            let mut child = Command::new(&program)
                .args(&arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .into_diagnostic()?;
            Ok(Worker { _lifeline: child.stdin.take(), child })
        })
        .collect()
}

/// Exit code of a worker whose parent is gone; nobody is left to see it.
const ORPHANED: i32 = 2;

/// Ends this process at the end of standard input.
fn end_with_parent() {
    std::thread::spawn(|| {
        // Nothing is ever written there; what cannot be read has ended as well.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(ORPHANED);
    });
}

impl SearchArgs {
    /// Everything that needs neither model nor data.
    fn check(&self) -> miette::Result<()> {
        self.fit().validate_with_held_out()?;
        let counts = [
            ("trials", self.trials.to_string(), self.trials > 0, "at least 1"),
            ("rungs", self.rungs.to_string(), self.rungs > 0, "at least 1"),
            ("eta", self.eta.to_string(), self.eta > 1, "at least 2"),
            ("jobs", self.jobs.to_string(), self.jobs > 0, "at least 1"),
            ("patience", self.patience.to_string(), self.patience > 0, "at least 1"),
        ];
        for (setting, value, good, must) in counts {
            if !good {
                return Err(TrainError::Setting { setting, value, must }.into());
            }
        }
        // A threshold that nothing reaches, or everything, is none.
        if !(self.false_alarm_rate > 0.0 && self.false_alarm_rate < 1.0) {
            return Err(CalibrateError::Rate(self.false_alarm_rate).into());
        }
        self.budget.check()
    }

    /// The first rung's training.
    fn fit(&self) -> FitConfig {
        FitConfig {
            epochs: self.epochs,
            batch: self.batch,
            learning_rate: self.lr,
            validation: self.validation,
            sigma: Sigma::Optimal,
            shards: 1,
            ..FitConfig::default()
        }
    }

    /// What is not searched, as the reference has it.
    fn like(&self, reference: &Vae) -> Architecture {
        let hidden =
            reference.encoder.iter().find(|l| !matches!(l.op, Op::MaxPool(_) | Op::AveragePool(_)));
        Architecture {
            name: self
                .out
                .file_stem()
                .map_or("searched".into(), |stem| stem.to_string_lossy().into()),
            convolutions: Vec::new(),
            decoder_convolutions: None,
            image: self.image,
            hidden: Vec::new(),
            decoder_hidden: Vec::new(),
            latent: self.latent.unwrap_or(reference.latent_len()),
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

    fn rules(&self) -> Rules {
        Rules {
            trials: self.trials,
            rungs: self.rungs,
            eta: self.eta,
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
    fn settings(
        &self,
        rules: &Rules,
        space: &Space,
        reference: &Vae,
        set: &WindowSet<'_>,
    ) -> miette::Result<serde_json::Value> {
        Ok(serde_json::json!({
            "tool": TOOL,
            "model": fingerprint::of_model(reference)?,
            "score": reference.score,
            "windows": fingerprint::of_windows(set),
            "target": self.budget.target,
            "budget": self.budget.budget(),
            "rules": rules,
            "space": space,
            "image": self.image,
            "epochs": self.epochs,
            "batch": self.batch,
            "lr": self.lr,
            "validation": self.validation,
            "false_alarm_rate": self.false_alarm_rate,
            "distil": !self.no_distil,
        }))
    }
}
