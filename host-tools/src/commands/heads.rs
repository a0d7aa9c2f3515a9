//! `picovae heads`: known states of a machine, so that an alarm can say which one it resembles.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::with_heads;
use picovae::quantize::{IntHeads, KnownState};
use picovae::recording::WindowSet;
use picovae::simulate::{frontend_of, latents};
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, open_blob};
use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae heads`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae heads fan.pvae --state normal=low.npy --state coin=low_coin.npy --state fast=high.npy -o fan.pvae
  picovae heads pump.pvae --state valve=1.csv --state valve=2.csv --state leak=3.csv --linear -o pump.pvae")]
pub struct HeadsArgs {
    /// The blob.
    #[arg(value_name = "MODEL.pvae")]
    model: PathBuf,
    /// A known state and a recording of it; a state may have several.
    #[arg(long, value_name = "NAME=DATA", required = true, value_parser = state)]
    state: Vec<(String, PathBuf)>,
    /// Use these rows (first axis) of each recording, e.g. 0..500.
    #[arg(long, value_name = "A..B")]
    rows: Option<picovae::recording::Rows>,
    /// A linear classifier instead of the nearest of diagonal Gaussians.
    #[arg(long)]
    linear: bool,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae heads --json`.
#[derive(Debug, Serialize)]
struct HeadsReport {
    model: String,
    kind: &'static str,
    states: Vec<StateReport>,
    accuracy: f64,
    blob_bytes: usize,
}

/// One state.
#[derive(Debug, Serialize)]
struct StateReport {
    name: String,
    windows: usize,
    /// Share of its windows that the device names so.
    recall: f64,
}

/// Runs the verb.
pub fn run(args: HeadsArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let blob = open_blob(&args.model, &args.foreign)?;
    let model = blob.model()?;
    let frontend = frontend_of(&model);
    let recording = RecordingArgs {
        rows: args.rows,
        columns: Vec::new(),
        labels: Vec::new(),
        label_column: None,
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &args.state {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut states = Vec::new();
    for name in names {
        let of_it = args.state.iter().filter(|(of, _)| of == name);
        let paths: Vec<PathBuf> = of_it.map(|(_, path)| path.clone()).collect();
        let loaded = recording.load(&paths)?;
        let mut set = WindowSet::new();
        for one in &loaded {
            set.add(one.recording.clips(&frontend)?)?;
        }
        let mu = latents(&model, &set).into_diagnostic()?;
        states.push(KnownState { name: name.to_string(), mu });
    }
    let bits = model.description().latent.mu_frac_bits;
    let fitted = match args.linear {
        true => IntHeads::linear(&states, bits),
        false => IntHeads::clusters(&states, bits),
    };
    let heads = fitted.ok_or_else(|| {
        miette::miette!(
            help = "give recordings that hold at least one whole window of each state",
            "a state has no window"
        )
    })?;
    let extended = with_heads(&blob, &heads)?;
    let judge = extended.model()?;
    let unit = f64::from(1u32 << bits);
    let reports: Vec<StateReport> = states
        .iter()
        .map(|state| {
            let named = state.mu.rows().into_iter().filter(|mu| {
                let raw: Vec<i16> = mu.iter().map(|m| (m * unit).round() as i16).collect();
                judge.resemblance(&raw).is_some_and(|found| found.name == state.name)
            });
            let windows = state.mu.nrows();
            let recall = named.count() as f64 / windows.max(1) as f64;
            StateReport { name: state.name.clone(), windows, recall }
        })
        .collect();
    extended.save(&args.out)?;
    let all: usize = reports.iter().map(|state| state.windows).sum();
    let right: f64 = reports.iter().map(|state| state.recall * state.windows as f64).sum();
    let report = HeadsReport {
        model: file_name(&args.out),
        kind: if args.linear { "linear" } else { "clusters" },
        states: reports,
        accuracy: right / all.max(1) as f64,
        blob_bytes: extended.bytes().len(),
    };
    let mut listing = Listing::new().row("blob", args.out.display()).row("kind", report.kind);
    for state in &report.states {
        let text = format!("{} windows, {:.1} % named so", state.windows, 100.0 * state.recall);
        listing = listing.row(&*state.name, text);
    }
    let text = listing
        .row("accuracy", format!("{:.1} % (of what it was fitted to)", 100.0 * report.accuracy))
        .row("size", format!("{} bytes", report.blob_bytes))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn state(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path))
            if !name.is_empty() && !path.is_empty() && !name.contains([',', '\n']) =>
        {
            Ok((name.to_string(), path.into()))
        }
        _ => Err(format!("`{text}` is not NAME=DATA (no comma in the name)")),
    }
}
