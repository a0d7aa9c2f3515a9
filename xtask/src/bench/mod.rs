//! `cargo xtask bench`: the figures, each printed by a command that anyone can run.

pub mod app;
pub mod compress;
pub mod detect;
pub mod host;
pub mod kernels;
pub mod mcu;
pub mod models;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Instructions of a stream on an emulated core: front-end, encoder, decoder, score, decision.
    App(app::Args),
    /// Size, ELBO and AUC of chains of passes on handwritten digits, against what is required.
    Compress(compress::Args),
    /// Detectors beside baselines, on recordings with real anomalies, against what is required.
    Detect(detect::Args),
    /// Windows a second on this machine, beside other engines.
    Host(host::Args),
    /// Instructions and modelled cycles of the kernels, on every core.
    Kernels(kernels::Args),
    /// Instructions, cycles, code, arena and stack on every core, against what is required.
    Mcu(mcu::Args),
    /// Sizes and figures of every model in models/, float against int8.
    Models(models::Args),
}

/// Runs one; `false` where a gate failed.
pub fn run(bench: &Bench) -> Result<bool> {
    match bench {
        Bench::App(args) => app::run(args),
        Bench::Compress(args) => compress::run(args),
        Bench::Detect(args) => detect::run(args),
        Bench::Host(args) => host::run(args),
        Bench::Kernels(args) => kernels::run(args),
        Bench::Mcu(args) => mcu::run(args),
        Bench::Models(args) => models::run(args),
    }
}
