//! The verbs: each parses its arguments, calls the library and prints.

pub mod synth;
pub mod train;

use crate::args::Command;
use crate::printer::Printer;
use std::process::ExitCode;

/// Runs a verb.
pub fn run(command: Command, printer: &mut Printer) -> miette::Result<ExitCode> {
    match command {
        Command::Synth(args) => synth::run(args, printer),
        Command::Train(args) => train::run(args, printer),
    }
}
