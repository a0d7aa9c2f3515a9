//! Recordings as streams: the events on the host and on every emulated core, one by one.
//!
//! Part of `cargo xtask parity`; `cargo xtask bench app` takes its frames from here too.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cli::Cli;
use crate::firmware::Image;
use crate::qemu::{self, Core, Pace};
use crate::shell;
use crate::stream_log::{Counters, Event, MOST_STACK_BYTES, Stream};

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
    fn rows(self, shape: &Shape) -> [u64; 2] {
        let rows = |windows: u64| {
            windows.checked_sub(1).map_or(0, |more| shape.window_len + more * shape.hop)
        };
        let threshold = if self.threshold > 0 { self.normalization + self.threshold } else { 0 };
        [rows(self.normalization), rows(threshold)]
    }
}

/// What is read of `picovae inspect --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Shape {
    /// Frames a window.
    pub window_len: u64,
    /// Frames from one window to the next one.
    pub hop: u64,
    /// Samples a frame.
    pub channels: u64,
    /// What a count of each channel is worth.
    pub input_lsb: Vec<f32>,
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
    /// How many they are.
    pub len: u64,
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
    let frames = shell::scratch("parity")?.join(format!("{name}.frames"));
    let mut arguments: Vec<PathBuf> = ["simulate".into(), blob.into(), recording.into()].into();
    arguments.extend(["--join".into(), "--frames".into(), frames.clone()]);
    if let Some(rows) = rows {
        arguments.extend(["--rows".into(), rows.into()]);
    }
    cli.json::<Simulated, _>(arguments)?;
    judge(name, blob, &frames, lessons, cli)
}

/// Judges frames as the device is given them.
pub fn judge(name: &str, blob: &Path, frames: &Path, lessons: Lessons, cli: &Cli) -> Result<Host> {
    let folder = shell::scratch("parity")?;
    let [values, events, scores] =
        ["f32", "events.csv", "scores.csv"].map(|kind| folder.join(format!("{name}-{kind}")));
    let shape = Shape::of(blob, cli)?;
    let counts = std::fs::read(frames).with_context(|| frames.display().to_string())?;
    std::fs::write(&values, reals(&counts, &shape.input_lsb))?;
    let [renormalize, recalibrate] = lessons.rows(&shape).map(|rows| rows.to_string());
    let mut arguments: Vec<PathBuf> = ["simulate".into(), blob.into(), values.clone()].into();
    let kind = format!("f32x{}", shape.channels);
    arguments.extend(["--join".into(), "--raw-input".into(), kind.into()]);
    arguments.extend(["--events".into(), events.clone(), "--scores".into(), scores.clone()]);
    arguments.extend(["--renormalize".into(), renormalize.into()]);
    arguments.extend(["--recalibrate".into(), recalibrate.into()]);
    let simulated: Simulated = cli.json(arguments)?;
    let read = |path| std::fs::read_to_string(path);
    let stream = Stream {
        hash: simulated.stream_hash.context("no stream_hash")?,
        scores: read(&scores)?.lines().skip(1).map(score).collect::<Result<_>>()?,
        events: read(&events)?.lines().skip(1).map(event).collect::<Result<_>>()?,
    };
    let len = counts.len() as u64 / 2 / shape.channels;
    let whole = windows(&shape, len);
    if stream.scores.len() as u64 != whole {
        bail!("{name}: {} scores of {whole} windows", stream.scores.len());
    }
    Ok(Host { frames: frames.into(), len, lessons, stream })
}

/// The device's counts as samples of a recording: what `simulate` makes the same counts of.
fn reals(counts: &[u8], input_lsb: &[f32]) -> Vec<u8> {
    let counts = counts.as_chunks::<2>().0.iter().map(|&pair| f32::from(i16::from_le_bytes(pair)));
    counts
        .zip(input_lsb.iter().cycle())
        .flat_map(|(count, lsb)| (count * lsb).to_le_bytes())
        .collect()
}

/// Whole windows of so many frames.
pub fn windows(shape: &Shape, frames: u64) -> u64 {
    frames.checked_sub(shape.window_len).map_or(0, |rest| rest / shape.hop + 1)
}

/// Score and alarm of a line of `picovae simulate --scores`.
fn score(line: &str) -> Result<(i64, bool)> {
    let mut fields = line.split(',').skip(4);
    let (Some(raw), Some(alarm)) = (fields.next(), fields.next()) else {
        bail!("a score has other fields than expected: {line}")
    };
    Ok((raw.parse()?, alarm == "1"))
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
    /// Raw scores of the windows.
    pub fn scores(&self) -> impl Iterator<Item = i64> {
        raw(&self.stream.scores)
    }

    /// Events that the host saw.
    pub fn events(&self) -> usize {
        self.stream.events.len()
    }

    /// Those of them that name a known state.
    pub fn named(&self) -> usize {
        self.stream.events.iter().filter(|event| !event.resembles.is_empty()).count()
    }

    /// Runs the whole app on an emulated core, the frames coming at `rate_hz` as a sensor's (0: as fast as they are
    /// taken, where sampling always waits for scoring); says where its log differs, what was late or lost, or how deep
    /// its stack went. `None` where something did, or where that was too deep.
    pub fn compare(
        &self,
        name: &str,
        image: &Image,
        core: &Core,
        rate_hz: u64,
    ) -> Result<Option<Counters>> {
        let Lessons { normalization, threshold } = self.lessons;
        let pace = Pace { rate_hz, lessons: [normalization, threshold], stall_ms: 0 };
        let place = (core, image.machine);
        let (device, mut counters) = qemu::stream(&image.elf, place, &self.frames, pace)?;
        if rate_hz == 0 {
            counters.late = 0;
        }
        let equal = self.tell(name, image.machine, &device);
        let alarmed = device.scores.iter().filter(|(_, alarm)| *alarm).count() as u64;
        let raised = device.events.iter().filter(|event| event.name == "raised").count() as u64;
        let counted = [counters.judged, counters.alarmed, counters.raised];
        let kept_up =
            counters.kept_up(self.len) && counted == [device.scores.len() as u64, alarmed, raised];
        if !kept_up {
            eprintln!("{name}: {}: of {} frames: {counters:?}", image.machine, self.len);
        }
        let deep = counters.stack_bytes > MOST_STACK_BYTES;
        let machine = image.machine;
        eprintln!("{name}: {machine}: the whole app's stack, {} bytes", counters.stack_bytes);
        if deep {
            eprintln!("{name}: {machine}: its stack is deeper than {MOST_STACK_BYTES} bytes");
        }
        Ok((equal && kept_up && !deep).then_some(counters))
    }

    /// Whether a device logged what the host did; says where it did not.
    fn tell(&self, name: &str, machine: &str, device: &Stream) -> bool {
        let host = &self.stream;
        // While a threshold is learnt, the host's file tells the detector's state, not the score's alarm.
        let scores = match self.lessons == Lessons::default() {
            true => device.scores == host.scores,
            false => raw(&device.scores).eq(raw(&host.scores)),
        };
        if scores && device.hash == host.hash && device.events == host.events {
            return true;
        }
        eprintln!(
            "{name}: {machine}: {} windows, {} events, hash {}; host: {}, {}, {}",
            device.scores.len(),
            device.events.len(),
            device.hash,
            host.scores.len(),
            host.events.len(),
            host.hash
        );
        let differs = host.events.iter().zip(&device.events).find(|(host, device)| host != device);
        if let Some((host, device)) = differs {
            eprintln!("  host {host:?}\n  {machine} {device:?}");
        }
        let differs =
            host.scores.iter().zip(&device.scores).position(|(host, device)| host != device);
        if let Some(window) = differs {
            eprintln!(
                "  window {window}: {:?}, host {:?}",
                device.scores[window], host.scores[window]
            );
        }
        false
    }
}

/// Scores without their alarms.
fn raw(scores: &[(i64, bool)]) -> impl Iterator<Item = i64> {
    scores.iter().map(|(raw, _)| *raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(window_len: u64, hop: u64) -> Shape {
        Shape { window_len, hop, channels: 3, input_lsb: vec![1.0; 3] }
    }

    #[test]
    fn a_score_line_is_read() {
        assert_eq!(score("7,0,1400,1.5,-98304,1,raised").unwrap(), (-98_304, true));
        assert_eq!(score("7,0,1400,1.5,98304,0").unwrap(), (98_304, false));
        assert!(score("7,0,1400,1.5").is_err());
    }

    #[test]
    fn counts_become_a_recording_again() {
        let counts: Vec<u8> = [3i16, -4, 5].iter().flat_map(|count| count.to_le_bytes()).collect();
        let reals = reals(&counts, &[0.5, 1.0]);
        let (reals, _) = reals.as_chunks::<4>();
        let reals: Vec<f32> = reals.iter().map(|&word| f32::from_le_bytes(word)).collect();
        assert_eq!(reals, [1.5, -4.0, 2.5]);
    }

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
        let shape = shape(16, 1);
        let lessons = Lessons { normalization: 285, threshold: 100 };
        assert_eq!(lessons.rows(&shape), [300, 400]);
        assert_eq!(Lessons::default().rows(&shape), [0, 0]);
        assert_eq!(Lessons::FIRST.rows(&super::tests::shape(200, 100)), [0, 4_100]);
    }

    #[test]
    fn windows_are_counted_as_the_detector_counts_them() {
        let shape = shape(192, 8);
        assert_eq!(windows(&shape, 191), 0);
        assert_eq!(windows(&shape, 192), 1);
        assert_eq!(windows(&shape, 208), 3);
    }
}
