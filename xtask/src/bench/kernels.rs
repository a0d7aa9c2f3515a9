//! `cargo xtask bench kernels`: instructions and modelled cycles of the kernels, on every core.
//!
//! The tools are a workspace of their own, `firmware/bench`; this calls them.

use anyhow::Result;

use crate::{setup, shell};

/// Arguments, handed on.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Print rows as JSON.
    #[arg(long)]
    pub json: bool,
    /// Check every result against the definitions, instead of counting.
    #[arg(long)]
    pub conformance: bool,
    /// Cores: m0, m3, m4, m7, m33, m55; all of them by default.
    pub cores: Vec<String>,
}

/// Runs the bench; `false` where a result is wrong.
pub fn run(args: &Args) -> Result<bool> {
    setup::everything()?;
    let mut command = shell::firmware_cargo(
        &shell::firmware().join("bench"),
        ["run", "--quiet", "--release", "--package", "bench-runner", "--"],
    );
    for (flag, given) in [("--json", args.json), ("--conformance", args.conformance)] {
        if given {
            command.arg(flag);
        }
    }
    let status = command.args(&args.cores).stdin(std::process::Stdio::null()).status()?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => anyhow::bail!("{} ended with {status}", shell::spell(&command)),
    }
}
