//! What the app does where scoring takes too long: it stalls once, for longer than batches and FIFO hold.
//!
//! Part of `cargo xtask parity`: the frames that are lost must be counted, and be a gap in the stream.

use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::Cli;
use crate::firmware::Image;
use crate::qemu::{self, Core, Pace};
use crate::shell;
use crate::stream_log::{Counters, Stream};
use crate::streams::{self, Host, Lessons};

/// How long the stall is, in frames: more than two batches and the FIFO hold.
const STALL_FRAMES: u64 = 160;

/// Stalls scoring once, in the stream on a core; whether what was lost was told, and everything else judged as the
/// host judges what is left on either side of the gap.
pub fn check(
    name: &str,
    (blob, host): (&Path, &Host),
    (image, core): (&Image, &Core),
    rate_hz: u64,
    cli: &Cli,
) -> Result<bool> {
    let pace = Pace { rate_hz, lessons: [0; 2], stall_ms: STALL_FRAMES * 1_000 / rate_hz };
    let place = (core, image.machine);
    let (device, counters) = qemu::stream(&image.elf, place, &host.frames, pace)?;
    let told = told(&counters, host.len);
    if !told {
        eprintln!("{name}: {}: a stall, and of {} frames: {counters:?}", image.machine, host.len);
        return Ok(false);
    }
    let bytes = std::fs::read(&host.frames)?;
    let frame = bytes.len() / host.len.max(1) as usize;
    let before = counters.lost_behind.context("told where")? as usize * frame;
    let behind = before + counters.lost as usize * frame;
    let mut sides = Vec::new();
    for (side, part) in [("before", bytes.get(..before)), ("behind", bytes.get(behind..))] {
        let name = format!("{name}-{}-{side}", core.id);
        let frames = shell::scratch("parity")?.join(format!("{name}.frames"));
        std::fs::write(&frames, part.context("fewer frames than were lost")?)?;
        sides.extend(streams::judge(&name, blob, &frames, Lessons::default(), cli)?.scores());
    }
    let equal = equal(&device, &sides);
    if !equal {
        let got = device.scores.len();
        eprintln!(
            "{name}: {}: {got} windows around a gap, or others than {} ",
            image.machine,
            sides.len()
        );
    }
    Ok(equal)
}

/// Whether every frame was taken or counted as lost, in one overrun, which scoring was late for.
fn told(counters: &Counters, frames: u64) -> bool {
    let Counters { overruns, lost, faults, late, lost_behind, .. } = *counters;
    let one = (overruns, faults) == (1, 0) && late > 0 && lost > 0 && lost_behind.is_some();
    one && counters.frames + lost == frames
}

/// Whether the device judged these windows.
fn equal(device: &Stream, sides: &[i64]) -> bool {
    !sides.is_empty() && device.scores.iter().map(|(raw, _)| raw).eq(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_must_be_told() {
        let good = Counters {
            frames: 900,
            overruns: 1,
            lost: 100,
            faults: 0,
            late: 1,
            judged: 4,
            alarmed: 0,
            longest_us: 1,
            raised: 0,
            elapsed_us: 1,
            asleep_us: 0,
            lost_behind: Some(600),
            stack_bytes: 1,
        };
        assert!(told(&good, 1_000));
        let wrong = [
            Counters { lost: 99, ..good },
            Counters { overruns: 0, ..good },
            Counters { late: 0, ..good },
            Counters { lost_behind: None, ..good },
            Counters { frames: 1_000, lost: 0, ..good },
        ];
        assert!(wrong.iter().all(|counters| !told(counters, 1_000)));
    }

    #[test]
    fn a_window_across_the_gap_is_one_too_many() {
        let scores = [(1, false), (2, false), (3, true)].to_vec();
        let device = Stream { hash: String::new(), scores, events: Vec::new() };
        assert!(equal(&device, &[1, 2, 3]));
        assert!(!equal(&device, &[1, 3]) && !equal(&device, &[1, 2, 4]) && !equal(&device, &[]));
    }
}
