//! `picovae prune`: whole neurons and channels out of a float model.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{Criterion, PruneConfig, PruneReport, prune};
use picovae::graph::{Provenance, TOOL};
use picovae::import::write_safetensors;
use picovae::train::{FitConfig, Settings, Sigma};
use serde::Serialize;

use super::checkpoint::CheckpointArgs;
use super::model_file::{ForeignArgs, open_float};
use crate::args::{DataArgs, command_line, file_name, window_set};
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae prune mnist.safetensors train-images-idx3-ubyte.gz --keep 0.25 -o small.safetensors
  picovae prune fan.safetensors normal.npy --keep 0.5 --rounds 3 --epochs 20 -o fan-half.safetensors
  picovae prune fan.safetensors normal.npy --keep 0.5 --criterion random -o baseline.safetensors")]
pub struct PruneArgs {
    /// Float model.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Use windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Model to write.
    #[arg(short, long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Share of the parameters to keep.
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    keep: f64,
    /// What a unit's importance is taken from: taylor, magnitude, activation, random.
    #[arg(long, default_value = "taylor")]
    criterion: Criterion,
    /// Rounds of removal and fine-tuning.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Epochs of fine-tuning a round; the last round has twice as many.
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// Windows a step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of Adam.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Weight of the KL divergence.
    #[arg(long, default_value_t = 1.0)]
    beta: f32,
    /// Deviation of the Gaussian likelihood: optimal, or a number.
    #[arg(long, default_value = "optimal")]
    sigma: Sigma,
    /// Fraction of the windows held out.
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION")]
    validation: f32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae prune --json`.
#[derive(Debug, Serialize)]
struct PruneOutput<'a> {
    model: String,
    criterion: Criterion,
    #[serde(flatten)]
    report: &'a PruneReport,
}

/// Runs the verb.
pub fn run(args: PruneArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.data.load()?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let config = PruneConfig {
        keep: args.keep,
        criterion: args.criterion,
        rounds: args.rounds,
        fit: FitConfig {
            epochs: args.epochs,
            batch: args.batch,
            learning_rate: args.lr,
            beta: args.beta,
            sigma: args.sigma,
            validation: args.validation,
            seed: args.seed,
            patience: None,
            ..FitConfig::default()
        },
        ..PruneConfig::default()
    };
    let watched = args.checkpoint.watch(Settings::of_command("prune").and_all(&config))?;
    let (mut pruned, report) = prune(&vae, &set, &config, watched.watch())?;
    pruned.provenance =
        Provenance { tool: TOOL.into(), command: command_line(), ..pruned.provenance };
    write_safetensors(&args.out, &pruned)?;
    watched.done()?;
    let mut table = Table::new(["round", "removed", "parameters", "MACs", "held out"]);
    for round in &report.rounds {
        table.row([
            round.round.to_string(),
            round.removed.to_string(),
            round.params.to_string(),
            round.macs.to_string(),
            round.validation_loss.map_or("-".into(), |loss| format!("{loss:.3}")),
        ]);
    }
    let share = 100.0 * report.params as f64 / report.params_before.max(1) as f64;
    let listing = Listing::new()
        .row("model", args.out.display())
        .row("parameters", format!("{} of {} ({share:.1} %)", report.params, report.params_before))
        .row("MACs", format!("{} of {}", report.macs, report.macs_before));
    let output =
        PruneOutput { model: file_name(&args.out), criterion: args.criterion, report: &report };
    printer.report(&output, &format!("{table}\n{listing}"))?;
    Ok(ExitCode::SUCCESS)
}
