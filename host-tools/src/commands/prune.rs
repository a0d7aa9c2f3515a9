//! `picovae prune`: whole neurons and channels out of a float model, and blocks of its weights.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{Criterion, PruneConfig, PruneReport, Ranking, prune, rank};
use picovae::graph::{Provenance, TOOL};
use picovae::import::write_safetensors;
use picovae::train::{FitConfig, Settings, Sigma, hold_out};
use serde::Serialize;

use super::checkpoint::CheckpointArgs;
use super::model_file::{ForeignArgs, open_float};
use super::outputs::Outputs;
use super::prune_report;
use crate::args::{DataArgs, command_line, file_name, window_set};
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae prune mnist.safetensors train-images-idx3-ubyte.gz --keep 0.25 -o small.safetensors
  picovae prune fan.safetensors normal.npy --keep 0.5 --rounds 3 --epochs 20 -o fan-half.safetensors
  picovae prune fan.safetensors normal.npy --keep 0.5 --criterion random -o baseline.safetensors
  picovae prune fan.safetensors normal.npy --blocks 0.5 -o sparse.safetensors    # half of the blocks, no unit
  picovae finetune sparse.safetensors normal.npy --qat --weight-bits 4 -o sparse4.safetensors    # keeps them empty
  picovae prune fan.safetensors normal.npy --keep 0.5 --compare --report criteria.html -o fan-half.safetensors")]
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
    /// Share of the parameters to keep: whole units go [default: 0.25; 1 with --blocks].
    #[arg(long, value_name = "SHARE")]
    keep: Option<f64>,
    /// Share of the blocks of 4 x 16 weights to empty, once units are gone: kernels skip them, and
    /// further training leaves them empty.
    #[arg(long, value_name = "SHARE")]
    blocks: Option<f64>,
    /// What importance is taken from: taylor, magnitude, activation (of units), random.
    #[arg(long, default_value = "taylor")]
    criterion: Criterion,
    /// Prune by every criterion at equal size and steps and rank them on held-out windows that
    /// none is trained on; what is written is that of --criterion.
    #[arg(long)]
    compare: bool,
    /// Report to write: the ranking, and the way of each criterion there.
    #[arg(long, value_name = "R.html", requires = "compare")]
    report: Option<PathBuf>,
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
    /// With `--compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ranking: Option<&'a Ranking>,
}

/// Runs the verb.
pub fn run(args: PruneArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let outputs = Outputs::default().and("-o", Some(&args.out));
    let outputs = outputs.and("--report", args.report.as_deref());
    outputs.and("--checkpoint", args.checkpoint.path()).check(&args.data.paths())?;
    let loaded = args.data.load()?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let config = PruneConfig {
        keep: args.keep.unwrap_or(if args.blocks.is_some() { 1.0 } else { 0.25 }),
        blocks: args.blocks.unwrap_or(0.0),
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
    let command = Settings::of_command("prune").and("compare", args.compare).and_all(&config);
    let watched = args.checkpoint.watch(command)?;
    let (mut pruned, report, ranking) = if args.compare {
        config.fit.validate()?;
        let (train, held_out) = hold_out(&set, args.validation, args.seed);
        // Measured apart: every criterion trains to its end.
        let fit = FitConfig { validation: 0.0, ..config.fit.clone() };
        let config = PruneConfig { fit, ..config };
        let held_out = set.subset(&held_out);
        let ranking = rank(&vae, &set.subset(&train), &held_out, &config, watched.watch())?;
        let own = ranking.criteria.iter().find(|ranked| ranked.criterion == args.criterion);
        // `rank` has refused a criterion that it leaves out.
        let own = own.ok_or_else(|| miette::miette!("no {} among the criteria", args.criterion))?;
        (own.vae.clone(), own.report.clone(), Some(ranking))
    } else {
        let (pruned, report) = prune(&vae, &set, &config, watched.watch())?;
        (pruned, report, None)
    };
    pruned.provenance =
        Provenance { tool: TOOL.into(), command: command_line(), ..pruned.provenance };
    write_safetensors(&args.out, &pruned)?;
    if let (Some(path), Some(ranking)) = (&args.report, &ranking) {
        prune_report::page(&file_name(&args.model), ranking)?.save(path)?;
    }
    // Behind all that may fail: what was trained is not trained again.
    watched.done()?;
    let heads = ["round", "removed", "parameters", "MACs", "empty blocks", "held out"];
    let mut table = Table::new(heads);
    for round in &report.rounds {
        table.row([
            round.round.to_string(),
            round.removed.to_string(),
            round.params.to_string(),
            round.macs.to_string(),
            round.empty_blocks.to_string(),
            round.validation_loss.map_or("-".into(), |loss| format!("{loss:.3}")),
        ]);
    }
    let share = 100.0 * report.params as f64 / report.params_before.max(1) as f64;
    let listing = Listing::new()
        .row("model", args.out.display())
        .row("parameters", format!("{} of {} ({share:.1} %)", report.params, report.params_before))
        .row("MACs", format!("{} of {}", report.macs, report.macs_before))
        .row("empty blocks", format!("{} of {}", report.empty_blocks, report.blocks));
    let ranked = ranking.as_ref().map_or(String::new(), |ranking| {
        let mut table = Table::new(prune_report::HEADS);
        prune_report::rows(ranking).into_iter().for_each(|row| {
            table.row(row);
        });
        format!("{table}\n")
    });
    let output = PruneOutput {
        model: file_name(&args.out),
        criterion: args.criterion,
        report: &report,
        ranking: ranking.as_ref(),
    };
    printer.report(&output, &format!("{table}\n{ranked}{listing}"))?;
    Ok(ExitCode::SUCCESS)
}
