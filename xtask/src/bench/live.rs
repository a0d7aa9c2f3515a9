//! A long stream at its own pace: the whole app on an emulated core of 64 MHz, a sensor in front of it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::app::{core_of, image};
use crate::cli::Cli;
use crate::shell;
use crate::streams::{self, Lessons, Shape};

/// Where, how fast and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live<'a> {
    pub(super) core: &'a str,
    pub(super) rate_hz: u64,
    pub(super) minutes: u64,
}

/// What became of a stream.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    model: String,
    core: String,
    rate_hz: u64,
    /// Frames the sensor gave; in a run that is to overrun, more than could be taken.
    given: u64,
    frames: u64,
    overruns: u64,
    late: u64,
    faults: u64,
    longest_us: u64,
    events: usize,
    /// Every score and event was `picovae simulate`'s. Not asked of what is to overrun.
    equal: bool,
    /// Whether it is meant to be too fast: then frames must be lost, and told.
    too_fast: bool,
}

/// What is read of `picovae inspect --json`.
#[derive(Debug, Deserialize)]
struct Inspected {
    /// A value a channel, or one for all.
    input_lsb: Vec<f64>,
}

/// Times the pace at which no core of 64 MHz follows; its FIFO still outlasts the millisecond between two looks.
const TOO_FAST: u64 = 15;

impl Live<'_> {
    /// A recording again and again until the time is over; then ten seconds of it too fast.
    pub(super) fn run(
        self,
        name: &str,
        blob: &Path,
        data: &Path,
        rows: Option<&str>,
        cli: &Cli,
    ) -> Result<Vec<Row>> {
        if self.minutes == 0 {
            return Ok(Vec::new());
        }
        let shape = Shape::of(blob, cli)?;
        let Inspected { input_lsb } = cli.json([Path::new("inspect"), blob])?;
        let once =
            streams::host(&format!("{name}-once"), blob, data, rows, Lessons::default(), cli)?;
        let once = std::fs::read(&once.frames)?;
        let mut done = Vec::new();
        let frames = self.minutes * 60 * self.rate_hz;
        for (label, frames, rate_hz) in [
            ("live", frames, self.rate_hz),
            ("overrun", 10 * self.rate_hz, self.rate_hz * TOO_FAST),
        ] {
            let label = format!("{name}-{label}");
            let samples = shell::scratch("parity")?.join(format!("{label}.f32"));
            let mut file = std::io::BufWriter::new(std::fs::File::create(&samples)?);
            let all = once.as_chunks::<2>().0.iter().cycle();
            let count = usize::try_from(frames * shape.channels)?;
            ensure!(!once.is_empty(), "{}: no frames", data.display());
            for (pair, lsb) in all.zip(input_lsb.iter().cycle()).take(count) {
                let real = f64::from(i16::from_le_bytes(*pair)) * lsb;
                file.write_all(&(real as f32).to_le_bytes())?;
            }
            file.flush()?;
            drop(file);
            let host = streams::host_of_samples(&label, blob, &samples, shape, cli)?;
            std::fs::remove_file(&samples)?;
            let core = core_of(self.core)?;
            let image = image(name, blob, core)?;
            let too_fast = rate_hz != self.rate_hz;
            let (equal, counts) = host.live(&label, &image, rate_hz, too_fast)?;
            std::fs::remove_file(&host.frames).context("removing the stream")?;
            done.push(Row {
                model: name.into(),
                core: core.id.into(),
                rate_hz,
                given: frames,
                frames: counts.frames,
                overruns: counts.overruns,
                late: counts.late,
                faults: counts.faults,
                longest_us: counts.longest_us,
                events: host.events(),
                equal,
                too_fast,
            });
        }
        Ok(done)
    }
}

impl Row {
    /// Whether it went as it must.
    pub(super) fn kept(&self) -> bool {
        match self.too_fast {
            false => {
                let wrong = self.overruns + self.late + self.faults;
                self.equal && wrong == 0 && self.frames == self.given
            }
            // What was lost is counted, and nothing else went wrong.
            true => {
                let lost = (1..self.given).contains(&self.frames);
                lost && self.overruns > 0 && self.late > 0 && self.faults == 0
            }
        }
    }
}

/// A Markdown table.
pub(super) fn print(rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    println!(
        "\n| model | core | frames a second | frames given | taken | overruns | late | faults | longest | events | as simulated | |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} us | {} | {} | {} |",
            row.model,
            row.core,
            row.rate_hz,
            row.given,
            row.frames,
            row.overruns,
            row.late,
            row.faults,
            row.longest_us,
            row.events,
            if row.too_fast {
                "–"
            } else if row.equal {
                "yes"
            } else {
                "NO"
            },
            match (row.kept(), row.too_fast) {
                (true, false) => "nothing lost",
                (true, true) => "too fast, and told",
                (false, _) => "MISSED",
            }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_frame_is_a_miss_unless_it_is_meant() {
        let good = || Row {
            model: "x".into(),
            core: "m4".into(),
            rate_hz: 1600,
            given: 100,
            frames: 100,
            overruns: 0,
            late: 0,
            faults: 0,
            longest_us: 5,
            events: 1,
            equal: true,
            too_fast: false,
        };
        assert!(good().kept());
        assert!(!Row { frames: 99, ..good() }.kept());
        assert!(!Row { late: 1, ..good() }.kept());
        assert!(!Row { equal: false, ..good() }.kept());
        let fast = || Row { too_fast: true, equal: false, ..good() };
        assert!(!fast().kept());
        assert!(Row { overruns: 2, late: 1, frames: 40, ..fast() }.kept());
        assert!(!Row { late: 1, frames: 40, ..fast() }.kept());
    }
}
