//! The emulated cores: which machine stands for which, running an image, and
//! reading what it logged.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use defmt_decoder::{DecodeError, Table};

use crate::stream_log::{self, Counters, Stream};

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
    /// An instruction takes 2 to the power of this nanoseconds where time is counted in instructions: what comes
    /// nearest to the clock of a usual part from below, 16 MHz for an M0 and 64 MHz for all others.
    pub shift: u32,
}

impl Core {
    /// Instructions a second of the emulated time.
    pub fn clock_hz(&self) -> f64 {
        1e9 / f64::from(1u32 << self.shift)
    }
}

/// Every core, in the report's order.
pub const CORES: [Core; 5] = [
    Core {
        id: "m0",
        target: "thumbv6m-none-eabi",
        machines: &["microbit", "mps2-an385"],
        shift: 6,
    },
    Core { id: "m3", target: "thumbv7m-none-eabi", machines: &["mps2-an385"], shift: 4 },
    Core { id: "m4", target: "thumbv7em-none-eabi", machines: &["mps2-an386"], shift: 4 },
    Core { id: "m7", target: "thumbv7em-none-eabi", machines: &["mps2-an500"], shift: 4 },
    Core { id: "m33", target: "thumbv8m.main-none-eabi", machines: &["mps2-an505"], shift: 4 },
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

/// How a recording is streamed into the app.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Frames a second of the emulated time; 0 for as fast as they are taken.
    pub rate_hz: u64,
    /// Windows to learn the normalization, then the threshold from.
    pub lessons: [u64; 2],
    /// Milliseconds that scoring stalls, once.
    pub stall_ms: u64,
}

/// Runs `elf` over a file of frames as one stream that comes at a pace, the core at its [`Core::clock_hz`].
///
/// # Errors
/// As [`run`].
pub fn stream(
    elf: &Path,
    (core, machine): (&Core, &str),
    frames: &Path,
    pace: Pace,
) -> Result<(Stream, Counters)> {
    let Pace { rate_hz, lessons: [normalization, threshold], stall_ms } = pace;
    let numbers = [rate_hz, normalization, threshold, stall_ms].map(|number| number.to_string());
    let words: Vec<&str> =
        ["stream"].into_iter().chain(numbers.iter().map(String::as_str)).collect();
    // Time is instructions; asleep, it goes on to the next interrupt at once.
    let clock = format!("shift={},sleep=off,align=off", core.shift);
    let lines = launch(elf, machine, frames, &words, &["-icount", &clock])?;
    let stream = stream_log::stream(&lines).with_context(|| machine.to_string())?;
    Ok((stream, stream_log::counters(&lines).with_context(|| machine.to_string())?))
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

/// Runs an image over a file, the further `words` behind its name, with further `options` of QEMU; gives what
/// it logged.
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
        .args(options)
        .current_dir(folder)
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
pub fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
