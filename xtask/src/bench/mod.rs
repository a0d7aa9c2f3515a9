//! `cargo xtask bench`: the figures, each printed by a command that anyone can run.

pub mod models;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Sizes and figures of every model in models/, float against int8.
    Models(models::Args),
}

/// Runs one; `false` where a gate failed.
pub fn run(bench: &Bench) -> Result<bool> {
    match bench {
        Bench::Models(args) => models::run(args),
    }
}
