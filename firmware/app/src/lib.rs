//! The board-agnostic part of every picovae firmware: samples in,
//! scores and alarms out over defmt.
//!
//! A board (`qemu/`, `boards/*`) owns the hardware, the buffers and the logger
//! and calls:
//!
//! 1. [`open`], which checks the blob and logs what it holds.
//! 2. [`run`], which scores whole windows from a [`Windows`] source and ends with
//!    `hash=… windows=…`, the line that `cargo xtask parity` compares with the host.
//! 3. [`sample`] and [`score`], the two tasks of a live stream: one fills a [`Batch`] from a
//!    sensor while the other judges the one before with a [`Watch`], sets the [`Alarm`] and feeds the
//!    [`Watchdog`]. [`Counters`] tell what was late or lost. [`Memory`] is all that they keep, as one static.
//!
//! Nothing here allocates, touches a register, or panics.
#![no_std]
#![deny(unsafe_code)]

mod batch;
mod counters;
mod memory;
mod outputs;
mod pushed;
mod sampling;
mod scoring;
mod source;
mod timed;
mod watch;

#[cfg(test)]
mod tests;

pub use batch::{RunError, Summary, run};
pub use counters::{Counter, Counters};
pub use memory::{Begun, Judged, Memory, Sampled, sample_every, sample_ready, sample_timed};
pub use outputs::{Alarm, Watchdog};
pub use pushed::Pushed;
pub use sampling::{Batch, DataReady, Pace, sample};
pub use scoring::{Units, score};
pub use source::{Embedded, Windows};
pub use timed::{AtOnce, Converter, Timed};
pub use watch::Watch;

use picovae_core::{Model, ModelError};

/// Checks the blob and logs its name, its score and the RAM it needs.
///
/// # Errors
/// Those of [`Model::parse`].
pub fn open(blob: &[u8]) -> Result<Model<'_>, ModelError> {
    let model = match Model::parse(blob) {
        Ok(model) => model,
        Err(error) => {
            defmt::error!("blob refused: {}", error);
            return Err(error);
        }
    };
    defmt::info!(
        "model={=str} blob_bytes={=usize} arena_bytes={=usize} input_len={=usize} kernels={=str}",
        model.name(),
        blob.len(),
        model.arena_len(),
        model.window_samples(),
        picovae_core::kernels::BACKEND,
    );
    match model.threshold() {
        Some(threshold) => defmt::info!(
            "score={=str} frac_bits={=u32} threshold={=i64}",
            model.score_kind().name(),
            model.score_kind().frac_bits(),
            threshold.0,
        ),
        None => defmt::info!(
            "score={=str} frac_bits={=u32} threshold=none",
            model.score_kind().name(),
            model.score_kind().frac_bits(),
        ),
    }
    Ok(model)
}
