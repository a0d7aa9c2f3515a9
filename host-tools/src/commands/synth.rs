//! `picovae synth`: a simulated rotating machine as an NPY recording.

use crate::args::file_name;
use crate::printer::{Listing, Printer};
use clap::Args;
use miette::IntoDiagnostic;
use picovae::recording::write_npy_i16;
use picovae::synth::{AXES, Episode, Fault, Simulation, WINDOW_LEN, simulate};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `picovae synth`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae synth normal.npy --windows 500 --seed 1
  picovae synth night.npy --windows 300 --seed 2 --labels night.csv \\
      --episode imbalance:100..150:0.5 --episode bearing:220..300:1")]
pub struct SynthArgs {
    /// Recording to write: NPY, i16, [windows, 200 frames, 3 axes], 2048
    /// counts a g.
    #[arg(value_name = "OUT.npy")]
    out: PathBuf,
    /// Windows of one second.
    #[arg(long, default_value_t = 300)]
    windows: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What is wrong with the machine throughout: none, imbalance, bearing.
    #[arg(long, default_value = "none")]
    fault: Fault,
    /// How bad it is: 0 is nothing, 1 is plain to see.
    #[arg(long, default_value_t = 1.0)]
    severity: f64,
    /// A fault over some windows: FAULT:A..B or FAULT:A..B:SEVERITY. May be
    /// repeated.
    #[arg(long, value_name = "FAULT:A..B:SEVERITY", value_parser = parse_episode)]
    episode: Vec<Episode>,
    /// Labels to write: CSV, one a window, 1 where a fault is active.
    #[arg(long, value_name = "FILE.csv")]
    labels: Option<PathBuf>,
}

/// JSON of `picovae synth --json`.
#[derive(Debug, Serialize)]
struct SynthReport {
    recording: String,
    shape: [usize; 3],
    faulty_windows: usize,
    seed: u64,
}

/// Windows beyond this are refused: 1.2 GB.
const MAX_WINDOWS: usize = 1_000_000;

/// Runs the verb.
pub fn run(args: SynthArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    if args.windows == 0 || args.windows > MAX_WINDOWS {
        return Err(miette::miette!(
            help = "one window is one second",
            "--windows is {}, it must be between 1 and {MAX_WINDOWS}",
            args.windows
        ));
    }
    let mut schedule =
        vec![Episode { windows: 0..args.windows, fault: args.fault, severity: args.severity }];
    schedule.extend(args.episode);
    if let Some(bad) = schedule.iter().find(|e| !(e.severity >= 0.0 && e.severity.is_finite())) {
        return Err(miette::miette!(
            help = "0 is nothing, 1 is plain to see",
            "a severity of {} makes no sense",
            bad.severity
        ));
    }
    let recording = simulate(&Simulation { windows: args.windows, seed: args.seed, schedule });
    write_npy_i16(&args.out, &recording.shape, &recording.samples)?;
    if let Some(path) = &args.labels {
        let mut text = String::from("window,label\n");
        for (window, label) in recording.labels.iter().enumerate() {
            let _ = writeln!(text, "{window},{label}");
        }
        std::fs::write(path, text).into_diagnostic()?;
    }
    let faulty = recording.labels.iter().filter(|label| **label != 0).count();
    let report = SynthReport {
        recording: file_name(&args.out),
        shape: recording.shape,
        faulty_windows: faulty,
        seed: args.seed,
    };
    let text = Listing::new()
        .row("recording", args.out.display())
        .row("windows", args.windows)
        .row("window", format!("{WINDOW_LEN} frames x {AXES} axes"))
        .row("faulty", faulty)
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn parse_episode(text: &str) -> Result<Episode, String> {
    let mut parts = text.split(':');
    let fault = parts.next().unwrap_or_default().parse()?;
    let rows: picovae::recording::Rows = parts
        .next()
        .ok_or_else(|| format!("`{text}` lacks windows, as in bearing:100..200"))?
        .parse()?;
    let severity = match parts.next() {
        None => 1.0,
        Some(number) => number.parse().map_err(|_| format!("`{number}` is not a number"))?,
    };
    Ok(Episode { windows: rows.start..rows.end.unwrap_or(usize::MAX), fault, severity })
}
