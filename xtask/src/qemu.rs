//! The emulated cores: which machine stands for which, running an image, and
//! reading what it logged.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use defmt_decoder::{DecodeError, Table};

/// An emulated core.
#[derive(Debug, PartialEq, Eq)]
pub struct Core {
    /// Short name, a key of the parity report.
    pub id: &'static str,
    /// Compilation target.
    pub target: &'static str,
    /// QEMU machines, the preferred one first; a later one is for images too
    /// large for the one before, and executes the same code.
    pub machines: &'static [&'static str],
}

/// Every core, in the report's order.
pub const CORES: [Core; 5] = [
    Core { id: "m0", target: "thumbv6m-none-eabi", machines: &["microbit", "mps2-an385"] },
    Core { id: "m3", target: "thumbv7m-none-eabi", machines: &["mps2-an385"] },
    Core { id: "m4", target: "thumbv7em-none-eabi", machines: &["mps2-an386"] },
    Core { id: "m7", target: "thumbv7em-none-eabi", machines: &["mps2-an500"] },
    Core { id: "m33", target: "thumbv8m.main-none-eabi", machines: &["mps2-an505"] },
];

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    /// Hash over every activation and score.
    pub hash: String,
    /// Windows scored.
    pub windows: u64,
    /// Score and alarm of each window.
    pub scores: Vec<(i64, bool)>,
    /// Deepest use of the stack, bytes.
    pub stack_bytes: u64,
}

/// How long an image may run.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs `elf` on `machine` over the windows in the file `windows`.
///
/// # Errors
/// Names the machine and shows the image's last words if it did not exit with 0.
pub fn run(elf: &Path, machine: &str, windows: &Path) -> Result<Run> {
    parse(&launch(elf, machine, windows, &[], &[])?).with_context(|| machine.to_string())
}

/// A change of state that an image logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event's stable name.
    pub name: String,
    /// Windows judged before.
    pub window: u64,
    /// The window's score, raw.
    pub score: i64,
    /// Channel, band and percent of the error's largest share.
    pub carried: [u16; 3],
    /// The known state that it resembles, empty for none.
    pub resembles: String,
}

/// What a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Hash over everything computed.
    pub hash: String,
    /// Windows judged.
    pub windows: u64,
    /// Every change of state.
    pub events: Vec<Event>,
}

/// Runs `elf` over a file of frames as one stream; `lessons` are the windows to learn from.
///
/// # Errors
/// As [`run`].
pub fn stream(elf: &Path, machine: &str, frames: &Path, lessons: &[&str]) -> Result<Stream> {
    let words = [&["stream"], lessons].concat();
    let lines = launch(elf, machine, frames, &words, &[])?;
    parse_stream(&lines).with_context(|| machine.to_string())
}

/// What the app counted of a live stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames taken from the sensor.
    pub frames: u64,
    /// Times that the sensor overwrote samples before they were taken.
    pub overruns: u64,
    /// Faults of sensor and bus.
    pub faults: u64,
    /// Times that no batch was free: scoring missed its deadline.
    pub late: u64,
    /// Longest time that judging a frame took, microseconds of the emulated time.
    pub longest_us: u64,
}

/// Nanoseconds of emulated time an instruction: 62.5 million a second, of a clock of 64 MHz.
const SHIFT: &str = "shift=4,align=off,sleep=off";

/// Runs `elf` over a file of frames that comes at a rate, as of a sensor with a FIFO; an instruction
/// takes a cycle of (a little less than) 64 MHz.
///
/// # Errors
/// As [`run`].
pub fn live(elf: &Path, machine: &str, frames: &Path, rate_hz: u64) -> Result<(Stream, Counts)> {
    let rate = rate_hz.to_string();
    let lines = launch(elf, machine, frames, &["app", &rate], &["-icount", SHIFT])?;
    let counts = parse_counts(&lines).with_context(|| machine.to_string())?;
    Ok((parse_stream(&lines).with_context(|| machine.to_string())?, counts))
}

/// Runs `elf` over a file of frames with the instruction counter `plugin`, QEMU's argument for it.
///
/// # Errors
/// As [`run`].
pub fn count(elf: &Path, machine: &str, frames: &Path, plugin: &str) -> Result<u64> {
    let lines = launch(elf, machine, frames, &["count"], &["-plugin", plugin])?;
    let stack = lines.iter().find_map(|line| value(line, "stack_bytes"));
    Ok(stack.context("the image did not print its stack")?.parse()?)
}

/// Runs an image over a file, the further `words` behind its name, with QEMU's `options`; gives what it logged.
fn launch(
    elf: &Path,
    machine: &str,
    windows: &Path,
    words: &[&str],
    options: &[&str],
) -> Result<Vec<String>> {
    // The semihosting command line is split at blanks and QEMU's option at
    // commas, so the guest gets a bare file name and finds it in its folder.
    let folder = windows.parent().context("a windows file in a folder")?;
    let name = windows.file_name().and_then(|name| name.to_str()).context("a plain file name")?;
    if name.contains([' ', ',']) {
        bail!("{name}: no blank or comma may be in the name");
    }
    let words: String = words.iter().map(|word| format!(",arg={word}")).collect();
    let mut command = Command::new("qemu-system-arm");
    let mut child = command
        .current_dir(folder)
        .args(options)
        .args(["-M", machine, "-display", "none", "-monitor", "none", "-serial", "null"])
        .arg("-semihosting-config")
        .arg(format!("enable=on,target=native,arg=picovae,arg={name}{words}"))
        .arg("-kernel")
        .arg(elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting qemu-system-arm (`cargo xtask setup` installs it)")?;
    let mut pipe = child.stdout.take().context("a pipe from QEMU")?;
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let bytes = reader.join().map_err(|_| anyhow!("the reader of QEMU's output died"))??;
    let lines = decode(elf, &bytes)?;
    match status {
        Some(status) if status.success() => Ok(lines),
        status => {
            let what = match status.and_then(|status| status.code()) {
                Some(101) => "it panicked".into(),
                Some(102) => "hard fault".into(),
                Some(103) => "unexpected exception".into(),
                Some(code) => format!("exit code {code}"),
                None if status.is_none() => format!("no end after {} s", PATIENCE.as_secs()),
                None => "QEMU died".into(),
            };
            let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
            bail!("{} on {machine}: {what}\n  {last}", elf.display())
        }
    }
}

/// defmt frames to lines.
fn decode(elf: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let mut image = Vec::new();
    File::open(elf)?.read_to_end(&mut image)?;
    let table = Table::parse(&image)?
        .with_context(|| format!("{}: no .defmt section; was -Tdefmt.x given?", elf.display()))?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) => {
                bail!("{}: malformed defmt frame after {} lines", elf.display(), lines.len())
            }
        }
    }
}

/// The value of `key=` in a line of `key=value` words.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn parse(lines: &[String]) -> Result<Run> {
    let mut scores = Vec::new();
    let mut end = None;
    let mut stack_bytes = None;
    for line in lines {
        if let (Some(_), Some(score), Some(alarm)) =
            (value(line, "window"), value(line, "score"), value(line, "alarm"))
        {
            scores.push((score.parse()?, alarm.parse()?));
        }
        if let (Some(hash), Some(windows)) = (value(line, "hash"), value(line, "windows")) {
            end = Some((hash.to_string(), windows.parse()?));
        }
        if let Some(bytes) = value(line, "stack_bytes") {
            stack_bytes = Some(bytes.parse()?);
        }
    }
    let (hash, windows) = end.context("the image did not print its hash")?;
    Ok(Run { hash, windows, scores, stack_bytes: stack_bytes.unwrap_or(0) })
}

fn parse_stream(lines: &[String]) -> Result<Stream> {
    let mut events = Vec::new();
    let mut end = None;
    for line in lines {
        if let (Some(name), Some(window)) = (value(line, "event"), value(line, "event_window")) {
            let field = |key| value(line, key).with_context(|| format!("no {key} in: {line}"));
            events.push(Event {
                name: name.into(),
                window: window.parse()?,
                score: field("score")?.parse()?,
                carried: [
                    field("channel")?.parse()?,
                    field("band")?.parse()?,
                    field("percent")?.parse()?,
                ],
                // Last on the line: a name may hold blanks.
                resembles: line.split_once("resembles=").map_or("", |(_, name)| name).into(),
            });
        }
        if let (Some(hash), Some(windows)) =
            (value(line, "stream_hash"), value(line, "stream_windows"))
        {
            end = Some((hash.to_string(), windows.parse()?));
        }
    }
    let (hash, windows) = end.context("the image did not print its stream's hash")?;
    Ok(Stream { hash, windows, events })
}

fn parse_counts(lines: &[String]) -> Result<Counts> {
    // The last line of them: there may be one every so many windows.
    let line = lines.iter().rev().find(|line| value(line, "longest_us").is_some());
    let line = line.context("the image did not print its counts")?;
    let field = |key| -> Result<u64> {
        Ok(value(line, key).with_context(|| format!("no {key} in: {line}"))?.parse()?)
    };
    Ok(Counts {
        frames: field("frames")?,
        overruns: field("overruns")?,
        faults: field("faults")?,
        late: field("late")?,
        longest_us: field("longest_us")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_lines_are_read() {
        let lines = [
            "stream_window=16 score=-5",
            "event=raised event_window=17 score=-6 channel=1 band=2 percent=30 resembles=a coin",
            "stream_hash=ffff stream_windows=18 stream_alarms=1",
        ];
        let stream = parse_stream(&lines.map(String::from)).expect("lines of the app");
        assert_eq!((stream.hash.as_str(), stream.windows), ("ffff", 18));
        let event = Event {
            name: "raised".into(),
            window: 17,
            score: -6,
            carried: [1, 2, 30],
            resembles: "a coin".into(),
        };
        assert_eq!(stream.events, [event]);
    }

    #[test]
    fn the_last_counts_are_read() {
        let lines = [
            "frames=10 overruns=0 faults=0 late=0 judged=1 alarmed=0 longest_us=7",
            "frames=20 overruns=1 faults=2 late=3 judged=2 alarmed=0 longest_us=9",
            "stream_hash=ffff stream_windows=2 stream_alarms=0",
        ];
        let counts = Counts { frames: 20, overruns: 1, faults: 2, late: 3, longest_us: 9 };
        assert_eq!(parse_counts(&lines.map(String::from)).expect("counts"), counts);
        assert!(parse_counts(&["frames=1".into()]).is_err());
    }

    #[test]
    fn the_apps_lines_are_read() {
        let lines = [
            "model=fan-vae blob_bytes=1 arena_bytes=2 input_len=3 kernels=portable",
            "window=0 score=-5 alarm=false",
            "window=1 score=70000000000 alarm=true",
            "hash=00ab windows=2 alarms=1",
            "stream_hash=ffff stream_windows=1 stream_alarms=0",
            "stack_bytes=900 stack_free=10",
        ];
        let run = parse(&lines.map(String::from)).expect("lines of the app");
        assert_eq!((run.hash.as_str(), run.windows, run.stack_bytes), ("00ab", 2, 900));
        assert_eq!(run.scores, [(-5, false), (70_000_000_000, true)]);
    }
}
