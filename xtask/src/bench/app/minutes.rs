//! Minutes of a stream through the whole app, in emulated time: every deadline kept, no sample lost, every score
//! and event the host's.
//!
//! QEMU counts time in instructions (`-icount`): at 2^4 ns each the core runs 62.5 million a second, the nearest
//! power of two below 64 MHz, so the share of 64 MHz that is printed is a little too large, never too small. While
//! the core sleeps, time goes on to the next interrupt at once: ten minutes take seconds.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{CLOCK_HZ, core_of, image};
use crate::cli::Cli;
use crate::shell;
use crate::streams::{self, Lessons, Shape};

/// One stream's figures.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub model: String,
    core: String,
    rate_hz: u64,
    seconds: u64,
    frames: u64,
    windows: u64,
    events: usize,
    alarms: u64,
    late: u64,
    overruns: u64,
    lost: u64,
    faults: u64,
    /// Longest time from a frame to its verdict.
    longest_us: u64,
    /// Of everything the core did: both tasks, clock, log.
    pub percent_of_64_mhz: f64,
    /// Deepest use of the stack by all of that.
    stack_bytes: u64,
}

/// Streams the recordings, over and over, for so many minutes; `None` where a score or an event was not the host's,
/// or where something was late or lost.
pub fn stream(
    name: &str,
    blob: &Path,
    recordings: &[&Path],
    (core, rate_hz, minutes): (&str, u64, u64),
    cli: &Cli,
) -> Result<Option<Row>> {
    let core = core_of(core)?;
    let label = format!("{name}-minutes");
    let shape = Shape::of(blob, cli)?;
    let mut once = Vec::new();
    for recording in recordings {
        let host = streams::host(&label, blob, recording, None, Lessons::default(), cli)?;
        once.extend(std::fs::read(&host.frames)?);
    }
    let len = (minutes * 60 * rate_hz * shape.channels * 2) as usize;
    ensure!(len > 0 && !once.is_empty(), "no frames to stream: --minutes {minutes} of {name}");
    let bytes: Vec<u8> = once.iter().copied().cycle().take(len).collect();
    let frames = shell::scratch("parity")?.join(format!("{label}.frames"));
    std::fs::write(&frames, bytes)?;
    let host = streams::judge(&label, blob, &frames, Lessons::default(), cli)?;
    let image = image(name, blob, core)?;
    let Some(counters) = host.compare(&label, &image, core, rate_hz)? else { return Ok(None) };
    let awake = counters.elapsed_us.saturating_sub(counters.asleep_us) as f64;
    Ok(Some(Row {
        model: name.into(),
        core: core.id.into(),
        rate_hz,
        seconds: counters.elapsed_us / 1_000_000,
        frames: counters.frames,
        windows: counters.judged,
        events: host.events(),
        alarms: counters.alarmed,
        late: counters.late,
        overruns: counters.overruns,
        lost: counters.lost,
        faults: counters.faults,
        longest_us: counters.longest_us,
        percent_of_64_mhz: 100.0 * awake / counters.elapsed_us.max(1) as f64 * core.clock_hz()
            / CLOCK_HZ,
        stack_bytes: counters.stack_bytes,
    }))
}

/// As a table.
pub fn print(rows: &[Row]) {
    println!(
        "| model | core | frames a second | seconds | frames | windows | events | late | overruns | lost | faults | longest, µs | of 64 MHz | stack |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} % | {} |",
            row.model,
            row.core,
            row.rate_hz,
            row.seconds,
            row.frames,
            row.windows,
            row.events,
            row.late,
            row.overruns,
            row.lost,
            row.faults,
            row.longest_us,
            row.percent_of_64_mhz,
            row.stack_bytes
        );
    }
}
