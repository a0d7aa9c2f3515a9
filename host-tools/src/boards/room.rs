//! What a blob takes of a board: flash, RAM and time, before anything is built.

use picovae_core::Model;
use serde::Serialize;

use super::Board;
use crate::cost::{LayerCost, of_core};

/// Stack that the boards' `memory.x` give the app.
const STACK_BYTES: u64 = 5 * 1024;

/// A blob on a board.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Room {
    /// Blob and app.
    pub flash_bytes: u64,
    /// Arena, window, app and its stack.
    pub ram_bytes: u64,
    /// Whether the chip has both.
    pub fits: bool,
    /// Instructions of the network, a window, by [`crate::cost`]; `None` where an operator was not measured on the core.
    pub instructions: Option<u64>,
    /// The time they take at an instruction a clock: cores with waiting flash take longer.
    pub milliseconds: Option<f64>,
}

impl Room {
    /// What `model`, a blob of `blob_bytes` packed for the board's core, takes of `board`.
    pub fn of(board: &Board, model: &Model<'_>, blob_bytes: usize) -> Self {
        let flash_bytes = blob_bytes as u64 + board.app_flash_bytes;
        let window = 2 * model.window_samples() as u64;
        let ram_bytes = model.arena_len() as u64 + window + board.app_ram_bytes + STACK_BYTES;
        let costs: Vec<LayerCost> = (0..model.layer_count())
            .filter_map(|i| model.layer(i))
            .map(LayerCost::of_blob)
            .collect();
        let core = of_core(board.core.target());
        let instructions = core.and_then(|core| core.instructions(&costs));
        Self {
            flash_bytes,
            ram_bytes,
            fits: flash_bytes <= board.flash_bytes && ram_bytes <= board.ram_bytes,
            instructions,
            milliseconds: instructions.map(|n| 1e3 * n as f64 / board.clock_hz as f64),
        }
    }
}
