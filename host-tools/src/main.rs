//! The `picovae` command: parses, runs one verb, maps the outcome to an exit
//! code (0 good, 1 a gate failed, 2 the tool failed).

mod args;
mod commands;
mod printer;

use clap::Parser;
use std::process::ExitCode;

/// The tool itself failed; clap uses the same for a wrong command line.
const TOOL_FAILED: u8 = 2;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let mut printer = printer::Printer::new(cli.json);
    match commands::run(cli.command, &mut printer) {
        Ok(code) => code,
        Err(report) => {
            eprintln!("{report:?}");
            ExitCode::from(TOOL_FAILED)
        }
    }
}
