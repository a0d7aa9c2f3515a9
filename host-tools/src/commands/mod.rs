//! The verbs: each parses its arguments, calls the library and prints.

pub mod boards;
pub mod budget;
pub mod calibrate;
pub mod checkpoint;
pub mod compress;
pub mod decision;
pub mod diff;
pub mod distill;
mod drift;
pub mod eval;
mod eval_scores;
pub mod false_alarms;
pub mod finetune;
pub mod fit;
mod fit_report;
pub mod flash;
pub mod front_end;
pub mod generate;
pub mod heads;
pub mod import;
mod injection;
pub mod inspect;
mod mixed_bits;
mod model_file;
mod outputs;
mod progress;
pub mod prune;
mod prune_report;
pub mod quantize;
pub mod report;
pub mod search;
mod search_report;
pub mod simulate;
mod simulate_scores;
pub mod synth;
pub mod train;
mod training_args;

use crate::args::Command;
use crate::printer::Printer;
use std::process::ExitCode;

/// Runs a verb.
pub fn run(command: Command, printer: &mut Printer) -> miette::Result<ExitCode> {
    match command {
        Command::Boards(args) => boards::run(args, printer),
        Command::Calibrate(args) => calibrate::run(args, printer),
        Command::Compress(args) => compress::run(*args, printer),
        Command::Diff(args) => diff::run(args, printer),
        Command::Distill(args) => distill::run(args, printer),
        Command::Eval(args) => eval::run(args, printer),
        Command::Fit(args) => fit::run(*args, printer),
        Command::Finetune(args) => finetune::run(args, printer),
        Command::Flash(args) => flash::run(args, printer),
        Command::Generate(args) => generate::run(args, printer),
        Command::Heads(args) => heads::run(args, printer),
        Command::Import(args) => import::run(args, printer),
        Command::Inspect(args) => inspect::run(args, printer),
        Command::Prune(args) => prune::run(args, printer),
        Command::Quantize(args) => quantize::run(args, printer),
        Command::Report(args) => report::run(args, printer),
        Command::Search(args) => search::run(*args, printer),
        Command::Simulate(args) => simulate::run(args, printer),
        Command::Synth(args) => synth::run(args, printer),
        Command::Train(args) => train::run(args, printer),
    }
}
