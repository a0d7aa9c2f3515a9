//! `cargo xtask`: the project's own commands. A fresh machine needs nothing else.
//!
//! One file a verb; `setup` installs, `firmware` builds images, `qemu` runs
//! them, `cli` calls the `picovae` command line.

mod bench;
mod boards;
mod cli;
mod demo;
mod elf;
mod firmware;
mod heads;
mod image_check;
mod overrun;
mod parity;
mod postgresql;
mod qemu;
mod recordings;
mod setup;
mod shell;
mod size;
mod stream_log;
mod streams;
mod test;
mod tidy;
mod uf2;
mod wiring;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Figures: of the models.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Build every board crate in firmware/boards.
    BuildBoards,
    /// From float weights to blob, a recording with faults, the same scores on an emulated Cortex-M4.
    Demo,
    /// Look for panics, soft-float and an allocator in linked images.
    ImageCheck,
    /// Compare the hash over every activation and score: the host and five emulated cores.
    Parity(parity::Args),
    /// Install the compilation targets and QEMU, or print the line that does.
    Setup,
    /// Flash and RAM of the firmware images.
    Size(size::Args),
    /// The whole suite, exactly what CI runs.
    Test,
    /// Every source file says what it is, and none is too long.
    Tidy,
    /// Draw the boards' wiring, the pictures in their READMEs.
    Wiring,
}

fn main() -> ExitCode {
    let result = match Args::parse().verb {
        Verb::Bench(what) => bench::run(&what),
        Verb::BuildBoards => boards::build().map(|()| true),
        Verb::Demo => demo::run(),
        Verb::ImageCheck => image_check::run(),
        Verb::Parity(args) => parity::run(&args),
        Verb::Setup => setup::everything().map(|()| true),
        Verb::Size(args) => size::run(&args).map(|()| true),
        Verb::Test => test::run(),
        Verb::Tidy => tidy::run(),
        Verb::Wiring => wiring::run().map(|()| true),
    };
    // 0 good, 1 a gate failed, 2 the tool failed.
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
