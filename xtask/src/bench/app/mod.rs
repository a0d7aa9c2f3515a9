//! `cargo xtask bench app`: what a stream costs on the emulated M4, stage by stage, and minutes of it in its own time.
//!
//! The app's image marks the end of each stage; the counter in
//! `firmware/bench/icount` counts the instructions between two marks. `minutes` runs the app's two tasks.

mod minutes;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cli::Cli;
use crate::firmware::{self, Content, Image};
use crate::qemu::{self, CORES, Core};
use crate::streams::{self, Lessons, Shape};
use crate::{recordings, setup, shell};

/// Command line of the verb.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Print rows as JSON.
    #[arg(long)]
    json: bool,
    /// Only these models, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    models: Vec<String>,
    /// Instead of the models here: this blob, on the recording of --data.
    #[arg(long, value_name = "FILE.pvae", requires = "data", conflicts_with = "models")]
    blob: Option<PathBuf>,
    /// Recording of --blob.
    #[arg(long, value_name = "FILE", requires = "blob")]
    data: Option<PathBuf>,
    /// Rows of that recording.
    #[arg(long, value_name = "A..B", requires = "blob")]
    rows: Option<String>,
    /// The core: m0, m3, m4, m7 or m33.
    #[arg(long, default_value = "m4")]
    core: String,
    /// Frames a second, for the share of the clock.
    #[arg(long, value_name = "HZ", default_value_t = 1_600)]
    rate: u64,
    /// Minutes of stream through the app, of the fan's model and of --blob; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
}

/// The clock that shares are given of.
const CLOCK_HZ: f64 = 64e6;
/// What a stream may use of it.
const MOST_PERCENT: f64 = 25.0;

/// Stages of a window, in order.
const STAGES: [&str; 5] = ["front_end", "encoder", "decoder", "score", "decision"];

/// One stream's figures.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    model: String,
    core: String,
    window_len: u64,
    hop: u64,
    channels: u64,
    pub(super) windows: u64,
    /// Of a frame that ends a window, all of it.
    pub(super) instructions_per_window: u64,
    /// Of all frames, on average.
    pub(super) instructions_per_frame: f64,
    /// Per window, the health checks with the front-end.
    pub(super) front_end: u64,
    pub(super) encoder: u64,
    pub(super) decoder: u64,
    pub(super) score: u64,
    pub(super) decision: u64,
    /// Share of 64 million instructions a second at `rate_hz` frames.
    rate_hz: u64,
    percent_of_64_mhz: f64,
    stack_bytes: u64,
}

/// The model that must hold what is required.
const REQUIRED: &str = "fan-vae";

/// Counts; `false` where the fan's stream uses more than it may, or is late, or loses something.
pub fn run(args: &Args) -> Result<bool> {
    setup::everything()?;
    let cli = Cli::build()?;
    let (mut rows, mut streamed, mut kept_up) = (Vec::new(), Vec::new(), true);
    let mut stream = |name: &str, blob: &Path, data: &[&Path]| -> Result<()> {
        if args.minutes > 0 {
            let pace = (args.core.as_str(), args.rate, args.minutes);
            let row = minutes::stream(name, blob, data, pace, &cli)?;
            kept_up &= row.is_some();
            streamed.extend(row);
        }
        Ok(())
    };
    if let (Some(blob), Some(data)) = (&args.blob, &args.data) {
        let name = blob.file_stem().and_then(|name| name.to_str()).context("a plain file name")?;
        let (blob, data) = (std::path::absolute(blob)?, std::path::absolute(data)?);
        let place = (args.core.as_str(), args.rate);
        rows.push(count(name, &blob, &data, args.rows.as_deref(), place, &cli)?);
        stream(name, &blob, &[&data])?;
    } else {
        let table = recordings::table()?;
        for model in recordings::models()? {
            let wanted = args.models.is_empty() || args.models.contains(&model.name);
            let Some(entry) =
                table.get(&model.name).filter(|entry| wanted && entry.stream_rows > 0)
            else {
                continue;
            };
            let Some(data) = recordings::resolve(&model.name, entry, entry.windows, &cli)? else {
                continue;
            };
            let all: Vec<&Path> = data.iter().map(PathBuf::as_path).collect();
            let data = data.first().context("a recording")?;
            let few = format!("0..{}", entry.stream_rows);
            let place = (args.core.as_str(), args.rate);
            rows.push(count(&model.name, &model.blob, data, Some(&few), place, &cli)?);
            if model.name == REQUIRED {
                stream(&model.name, &model.blob, &all)?;
            }
        }
    }
    if rows.is_empty() {
        bail!("nothing was counted");
    }
    if args.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
        for row in &streamed {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print(&rows);
        if !streamed.is_empty() {
            println!();
            minutes::print(&streamed);
        }
    }
    let counted = rows.iter().map(|row| (&row.model, row.percent_of_64_mhz));
    let all = counted.chain(streamed.iter().map(|row| (&row.model, row.percent_of_64_mhz)));
    let most =
        all.filter(|(model, _)| *model == REQUIRED).map(|(_, percent)| percent).fold(0.0, f64::max);
    let within = most <= MOST_PERCENT;
    if !within {
        eprintln!("MISSED: {most:.1} % of 64 MHz, at most {MOST_PERCENT} % are allowed");
    }
    if !kept_up {
        eprintln!("MISSED: a stream was late, lost something, or differs from the host");
    }
    Ok(kept_up && (within || args.core != "m4"))
}

/// One recording as a stream, counted on a core at so many frames a second.
pub(super) fn count(
    name: &str,
    blob: &Path,
    data: &Path,
    rows: Option<&str>,
    (core, rate_hz): (&str, u64),
    cli: &Cli,
) -> Result<Row> {
    let core = core_of(core)?;
    let shape = Shape::of(blob, cli)?;
    let host = streams::host(&format!("{name}-app"), blob, data, rows, Lessons::default(), cli)?;
    let image = image(name, blob, core)?;
    let counts = shell::scratch("parity")?.join(format!("{name}-{}-counts.txt", core.id));
    let plugin = format!("{},out={},model={}", plugin()?.display(), counts.display(), core.id);
    let stack_bytes = qemu::count(&image.elf, image.machine, &host.frames, &plugin)?;
    let frames = std::fs::metadata(&host.frames)?.len() / 2 / shape.channels;
    let text = std::fs::read_to_string(&counts)?;
    let regions = text.lines().map(instructions).collect::<Result<Vec<u64>>>()?;
    let (sums, all) = stages(&regions, frames, &shape)?;
    let windows = streams::windows(&shape, frames);
    let mean = |sum: u64| sum / windows.max(1);
    let [front_end, encoder, decoder, score, decision] = sums.map(mean);
    let per_frame = all as f64 / frames as f64;
    Ok(Row {
        model: name.into(),
        core: core.id.into(),
        window_len: shape.window_len,
        hop: shape.hop,
        channels: shape.channels,
        windows,
        instructions_per_window: mean(sums.iter().sum()),
        instructions_per_frame: per_frame,
        front_end,
        encoder,
        decoder,
        score,
        decision,
        rate_hz,
        percent_of_64_mhz: 100.0 * per_frame * rate_hz as f64 / CLOCK_HZ,
        stack_bytes,
    })
}

/// A core by its short name.
pub(super) fn core_of(id: &str) -> Result<&'static Core> {
    CORES.iter().find(|core| core.id == id).with_context(|| format!("no core {id}"))
}

/// The app with this blob.
pub(super) fn image(name: &str, blob: &Path, core: &'static Core) -> Result<Image> {
    let nothing = shell::scratch("firmware-images")?.join("app.i16");
    std::fs::write(&nothing, [])?;
    let label = format!("{name}-app");
    firmware::app(core, Content { name: &label, blob, windows: &nothing, count: 0 })
}

/// The instruction counter, built.
fn plugin() -> Result<PathBuf> {
    let bench = shell::firmware().join("bench");
    let build = ["build", "--quiet", "--release", "--package", "icount"];
    shell::run(&mut shell::firmware_cargo(&bench, build))?;
    // Below the host's triple where a configuration names one.
    let folders = std::fs::read_dir(bench.join("target"))?.flatten().map(|entry| entry.path());
    let found = folders.flat_map(|path| [path.clone(), path.join("release")]);
    let mut found = found.map(|folder| folder.join("libicount.so")).filter(|path| path.is_file());
    found.next().context("libicount.so was not built")
}

/// The instructions of a line `R <index> <instructions> <cycles>`.
fn instructions(line: &str) -> Result<u64> {
    let count = line.split(' ').nth(2).and_then(|count| count.parse().ok());
    count.with_context(|| format!("not a region: {line}"))
}

/// Sums of each stage over all windows, and of everything over all frames.
///
/// A region ends at each mark: before a push (what ran outside of it), then, where the frame ends a
/// window, behind each stage but the last, then behind the push.
fn stages(regions: &[u64], frames: u64, shape: &Shape) -> Result<([u64; 5], u64)> {
    let (mut sums, mut all) = ([0; 5], 0);
    let mut regions = regions.iter().copied();
    let mut next = || regions.next().context("fewer marks than the stream has stages");
    for frame in 1..=frames {
        next()?;
        let whole = frame.checked_sub(shape.window_len);
        if whole.is_some_and(|rest| rest.is_multiple_of(shape.hop)) {
            for sum in &mut sums {
                let count = next()?;
                *sum += count;
                all += count;
            }
        } else {
            all += next()?;
        }
    }
    if regions.next().is_some() {
        bail!("more marks than the stream has stages");
    }
    Ok((sums, all))
}

fn print(rows: &[Row]) {
    println!(
        "| model | core | windows | instructions a window | a frame | {} | frames a second | of 64 MHz | stack |",
        STAGES.join(" | ")
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let parts = [row.front_end, row.encoder, row.decoder, row.score, row.decision];
        let whole = row.instructions_per_window.max(1) as f64;
        let parts = parts.map(|part| format!("{part} ({:.0} %)", 100.0 * part as f64 / whole));
        println!(
            "| {} | {} | {} | {} | {:.0} | {} | {} | {:.1} % | {} |",
            row.model,
            row.core,
            row.windows,
            row.instructions_per_window,
            row.instructions_per_frame,
            parts.join(" | "),
            row.rate_hz,
            row.percent_of_64_mhz,
            row.stack_bytes
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_go_to_their_stages() {
        let shape = Shape { window_len: 2, hop: 1, channels: 3, input_lsb: vec![1.0; 3] };
        // Frame 1 ends none; 2 and 3 end one each. The first of each frame ran outside.
        let regions = [900, 7, 900, 10, 20, 30, 40, 50, 900, 11, 21, 31, 41, 51];
        let (sums, all) = stages(&regions, 3, &shape).unwrap();
        assert_eq!(sums, [21, 41, 61, 81, 101]);
        assert_eq!(all, 7 + 150 + 155);
        assert!(stages(&regions, 4, &shape).is_err());
        assert!(stages(&regions[..13], 3, &shape).is_err());
        assert!(stages(&regions, 2, &shape).is_err());
        assert_eq!(instructions("R 3 12 15").unwrap(), 12);
    }
}
