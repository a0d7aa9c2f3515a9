//! The whole path on the emulated M4: a part of a test recording as a stream, front-end to event, beside what
//! `picovae simulate` makes of it, and its instructions stage by stage.

use std::path::Path;

use anyhow::{Result, ensure};

use super::Row;
use crate::bench::app;
use crate::cli::Cli;
use crate::streams::{self, Lessons};

/// A stream of a test.
#[derive(Clone, Debug)]
pub struct Streamed {
    pub recording: String,
    pub rows: &'static str,
    pub lessons: Lessons,
}

/// The core.
const CORE: &str = "m4";
/// Frames a second of the share of the clock, of no interest here.
const RATE: u64 = 1;

/// Puts the device's figures in a row.
pub fn measure(row: &mut Row, name: &str, blob: &str, stream: &Streamed, cli: &Cli) -> Result<()> {
    let (blob, recording) = (Path::new(blob), Path::new(&stream.recording));
    let rows = Some(stream.rows);
    let host = streams::host(name, blob, recording, rows, stream.lessons, cli)?;
    let image = app::image(name, blob, app::core_of(CORE)?)?;
    let equal = host.compare(name, &image, app::core_of(CORE)?, 0)?;
    let counted = app::count(name, blob, recording, rows, (CORE, RATE), cli)?;
    ensure!(counted.windows > 0, "{name}: no window in rows {}", stream.rows);
    row.device = Some(if equal.is_some() { "equal" } else { "DIFFERS" }.into());
    row.device_windows = Some(counted.windows);
    row.device_events = Some(host.events() as u64);
    row.m4_instructions_per_window = Some(counted.instructions_per_window);
    row.m4_instructions_per_frame = Some(counted.instructions_per_frame);
    let stages =
        [counted.front_end, counted.encoder, counted.decoder, counted.score, counted.decision];
    let whole = counted.instructions_per_window.max(1) as f64;
    row.m4_stages_percent = Some(stages.map(|stage| 100.0 * stage as f64 / whole));
    Ok(())
}
