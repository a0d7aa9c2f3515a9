//! `picovae finetune`: further steps for a float model, in the device's integers if asked for.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::graph::{Provenance, TOOL};
use picovae::import::write_trained;
use picovae::train::{FineTuned, Settings, TrainReport, finetune};
use serde::Serialize;

use super::checkpoint::{CheckpointArgs, Watched};
use super::model_file::{ForeignArgs, open_float};
use super::outputs::Outputs;
use super::train;
use super::training_args::TrainingArgs;
use crate::args::{DataArgs, command_line, file_name, window_set};
use crate::printer::Printer;

/// Arguments of `picovae finetune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae finetune small.safetensors train.npy --epochs 5 -o better.safetensors
  picovae finetune small.safetensors train.npy --qat --weight-bits 4 -o small4.safetensors
  picovae quantize small4.safetensors --calibrate train.npy -o small4.pvae    # the integers it was trained with")]
pub struct FineTuneArgs {
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
    #[command(flatten)]
    fit: TrainingArgs,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae finetune --json`; `distill` adds to it.
#[derive(Debug, Serialize)]
pub struct FineTuneOutput<'a> {
    /// File written.
    pub model: String,
    /// Whether forward passes ran integers.
    pub qat: bool,
    /// What happened.
    #[serde(flatten)]
    pub report: &'a TrainReport,
}

/// Runs the verb.
pub fn run(args: FineTuneArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let outputs = Outputs::default().and("-o", Some(&args.out));
    outputs.and("--checkpoint", args.checkpoint.path()).check(&args.data.paths())?;
    let loaded = args.data.load()?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let watched = args.checkpoint.watch(Settings::of_command("finetune"))?;
    let tuned = finetune(&vae, &set, None, &args.fit.config(), watched.watch())?;
    finish(&args.out, tuned, watched, printer)
}

/// Writes the model and says what happened.
pub fn finish(
    out: &std::path::Path,
    tuned: FineTuned,
    watched: Watched,
    printer: &mut Printer,
) -> miette::Result<ExitCode> {
    let FineTuned { mut vae, settled, report } = tuned;
    vae.provenance = Provenance { tool: TOOL.into(), command: command_line(), ..vae.provenance };
    write_trained(out, &vae, settled.as_ref())?;
    watched.done()?;
    let output = FineTuneOutput { model: file_name(out), qat: settled.is_some(), report: &report };
    let text = format!("{}\n{}", train::history(&report), train::listing(out, &report));
    printer.report(&output, &text)?;
    Ok(ExitCode::SUCCESS)
}
