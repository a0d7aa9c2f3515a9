//! Recordings as streams: the events on the host and on every emulated core, one by one.
//!
//! Part of `cargo xtask parity`; `cargo xtask bench app` takes its frames from here too.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cli::Cli;
use crate::firmware::Image;
use crate::qemu::{self, Counts, Event, Stream};
use crate::shell;

/// What the device learns at the start, in windows: first its normalization, then its threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lessons {
    /// Windows behind the normalization.
    pub normalization: u64,
    /// Windows behind the threshold.
    pub threshold: u64,
}

impl Lessons {
    /// Of the first recording of a model.
    pub const FIRST: Self = Self { normalization: 0, threshold: 40 };

    /// The rows of `picovae simulate`: those up to which normalization and threshold are learnt.
    fn rows(self, shape: Shape) -> [u64; 2] {
        let rows = |windows: u64| {
            windows.checked_sub(1).map_or(0, |more| shape.window_len + more * shape.hop)
        };
        let threshold = if self.threshold > 0 { self.normalization + self.threshold } else { 0 };
        [rows(self.normalization), rows(threshold)]
    }
}

/// What is read of `picovae inspect --json`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Shape {
    /// Frames a window.
    pub window_len: u64,
    /// Frames from one window to the next one.
    pub hop: u64,
    /// Samples a frame.
    pub channels: u64,
}

impl Shape {
    /// Of a blob.
    pub fn of(blob: &Path, cli: &Cli) -> Result<Self> {
        cli.json([Path::new("inspect"), blob])
    }
}

/// What is read of `picovae simulate --json`.
#[derive(Debug, Deserialize)]
struct Simulated {
    stream_hash: Option<String>,
}

/// A recording as a stream, and what the host makes of it.
#[derive(Debug)]
pub struct Host {
    /// The device's frames.
    pub frames: PathBuf,
    lessons: Lessons,
    stream: Stream,
}

/// Streams one recording on the host: `rows` of it, joined.
pub fn host(
    name: &str,
    blob: &Path,
    recording: &Path,
    rows: Option<&str>,
    lessons: Lessons,
    cli: &Cli,
) -> Result<Host> {
    let rows = rows.map(|rows| ["--rows", rows]);
    simulate(name, blob, recording, rows.as_ref().map_or(&[], |rows| rows), lessons, cli)
}

/// Streams a file of `shape`'s frames, f32 in the recording's units, on the host.
pub fn host_of_samples(
    name: &str,
    blob: &Path,
    samples: &Path,
    shape: Shape,
    cli: &Cli,
) -> Result<Host> {
    let layout = format!("f32x{}", shape.channels);
    simulate(name, blob, samples, &["--raw-input", &layout], Lessons::default(), cli)
}

fn simulate(
    name: &str,
    blob: &Path,
    recording: &Path,
    options: &[&str],
    lessons: Lessons,
    cli: &Cli,
) -> Result<Host> {
    let folder = shell::scratch("parity")?;
    let (frames, events) =
        (folder.join(format!("{name}.frames")), folder.join(format!("{name}-events.csv")));
    let shape = Shape::of(blob, cli)?;
    let [renormalize, recalibrate] = lessons.rows(shape).map(|rows| rows.to_string());
    let mut arguments: Vec<PathBuf> = ["simulate".into(), blob.into(), recording.into()].into();
    arguments.extend(["--join".into(), "--frames".into(), frames.clone()]);
    arguments.extend(["--events".into(), events.clone()]);
    arguments.extend(["--renormalize".into(), renormalize.into()]);
    arguments.extend(["--recalibrate".into(), recalibrate.into()]);
    arguments.extend(options.iter().map(PathBuf::from));
    let simulated: Simulated = cli.json(arguments)?;
    let text = std::fs::read_to_string(&events)?;
    let stream = Stream {
        hash: simulated.stream_hash.context("no stream_hash")?,
        windows: windows(shape, std::fs::metadata(&frames)?.len()),
        events: text.lines().skip(1).map(event).collect::<Result<_>>()?,
    };
    Ok(Host { frames, lessons, stream })
}

/// Whole windows of a file of frames.
pub fn windows(shape: Shape, bytes: u64) -> u64 {
    let frames = bytes / 2 / shape.channels;
    frames.checked_sub(shape.window_len).map_or(0, |rest| rest / shape.hop + 1)
}

/// A line of `picovae simulate --events`.
fn event(line: &str) -> Result<Event> {
    let fields: Vec<&str> = line.split(',').collect();
    let [_, _, window, _, name, _, channel, band, percent, raw, resembles] = fields[..] else {
        bail!("an event has other fields than expected: {line}")
    };
    Ok(Event {
        name: name.into(),
        window: window.parse()?,
        score: raw.parse()?,
        carried: [channel.parse()?, band.parse()?, percent.parse()?],
        resembles: resembles.into(),
    })
}

impl Host {
    /// Events that the host saw.
    pub fn events(&self) -> usize {
        self.stream.events.len()
    }

    /// Runs the stream on an emulated core; says where it differs.
    pub fn compare(&self, name: &str, image: &Image) -> Result<bool> {
        let Lessons { normalization, threshold } = self.lessons;
        let lessons = [normalization, threshold].map(|windows| windows.to_string());
        let lessons = lessons.each_ref().map(String::as_str);
        let device = qemu::stream(&image.elf, image.machine, &self.frames, &lessons)?;
        Ok(self.equals(name, image.machine, &device))
    }

    /// The stream again, from a sensor at so many frames a second of a core of 64 MHz: whether it was
    /// the host's (of one that is `too_fast` nobody expects it), and what the app counted.
    pub fn live(
        &self,
        name: &str,
        image: &Image,
        rate_hz: u64,
        too_fast: bool,
    ) -> Result<(bool, Counts)> {
        let (device, counts) = qemu::live(&image.elf, image.machine, &self.frames, rate_hz)?;
        let equal = if too_fast {
            device == self.stream
        } else {
            self.equals(name, image.machine, &device)
        };
        Ok((equal, counts))
    }

    fn equals(&self, name: &str, machine: &str, device: &Stream) -> bool {
        if *device == self.stream {
            return true;
        }
        let host = &self.stream;
        eprintln!(
            "{name}: {machine}: {} windows, {} events, hash {}; host: {}, {}, {}",
            device.windows,
            device.events.len(),
            device.hash,
            host.windows,
            host.events.len(),
            host.hash
        );
        let differs = host.events.iter().zip(&device.events).find(|(host, device)| host != device);
        if let Some((host, device)) = differs {
            eprintln!("  host {host:?}\n  {machine} {device:?}");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_line_is_read() {
        let line = "night.npy,0,17,136,raised,1.5,2,3,40,98304,coin";
        let expected = Event {
            name: "raised".into(),
            window: 17,
            score: 98_304,
            carried: [2, 3, 40],
            resembles: "coin".into(),
        };
        assert_eq!(event(line).unwrap(), expected);
        assert!(event("night.npy,0,17").is_err());
    }

    #[test]
    fn lessons_end_with_their_last_window() {
        let shape = Shape { window_len: 16, hop: 1, channels: 8 };
        let lessons = Lessons { normalization: 285, threshold: 100 };
        assert_eq!(lessons.rows(shape), [300, 400]);
        assert_eq!(Lessons::default().rows(shape), [0, 0]);
        let shape = Shape { window_len: 200, hop: 100, channels: 3 };
        assert_eq!(Lessons::FIRST.rows(shape), [0, 4_100]);
    }

    #[test]
    fn windows_are_counted_as_the_detector_counts_them() {
        let shape = Shape { window_len: 192, hop: 8, channels: 3 };
        assert_eq!(windows(shape, 6 * 191), 0);
        assert_eq!(windows(shape, 6 * 192), 1);
        assert_eq!(windows(shape, 6 * 208), 3);
    }
}
