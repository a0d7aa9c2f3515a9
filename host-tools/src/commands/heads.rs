//! `picovae heads`: known states of a machine, so that an alarm can say which one it resembles.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::with_heads;
use picovae::graph::Frontend;
use picovae::quantize::{IntHeads, KnownState};
use picovae::recording::WindowSet;
use picovae::simulate::{frontend_of, latents};
use picovae_core::Model;
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, open_blob};
use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae heads`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae heads fan.pvae --state normal=low.npy --state coin=low_coin.npy --state fast=high.npy -o fan.pvae
  picovae heads pump.pvae --state valve=1.csv --state valve=2.csv --state leak=3.csv --linear -o pump.pvae
  picovae heads motor.pvae --state idle=0.npy --state load=1.npy --k-means 4 --rows 0..9000 --test-rows 9000.. -o motor.pvae")]
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
    /// Judge by these rows instead of those fitted to.
    #[arg(long, value_name = "A..B")]
    test_rows: Option<picovae::recording::Rows>,
    /// A linear classifier instead of the nearest of diagonal Gaussians.
    #[arg(long, conflicts_with = "k_means")]
    linear: bool,
    /// The nearest of so many centers a state (k-means) instead of diagonal Gaussians.
    #[arg(long, value_name = "CENTERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    k_means: Option<u16>,
    /// Seed of the first centers.
    #[arg(long, default_value_t = 0, requires = "k_means")]
    seed: u64,
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
    /// Windows judged.
    judged: usize,
    /// Share of these that the device names so.
    recall: f64,
}

/// Runs the verb.
pub fn run(args: HeadsArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let blob = open_blob(&args.model, &args.foreign)?;
    let model = blob.model()?;
    let frontend = frontend_of(&model);
    let states = known_states(&args, &model, &frontend, args.rows)?;
    let judged = match args.test_rows {
        Some(rows) => Some(known_states(&args, &model, &frontend, Some(rows))?),
        None => None,
    };
    let judged = judged.as_ref().unwrap_or(&states);
    let bits = model.description().latent.mu_frac_bits;
    let fitted = match (args.linear, args.k_means) {
        (true, _) => IntHeads::linear(&states, bits),
        (false, Some(count)) => IntHeads::k_means(&states, count.into(), args.seed, bits),
        (false, None) => IntHeads::clusters(&states, bits),
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
    let reports: Vec<StateReport> = judged
        .iter()
        .zip(&states)
        .map(|(state, fitted)| {
            let named = state.mu.rows().into_iter().filter(|mu| {
                let raw: Vec<i16> = mu.iter().map(|m| (m * unit).round() as i16).collect();
                judge.resemblance(&raw).is_some_and(|found| found.name == state.name)
            });
            let judged = state.mu.nrows();
            let recall = named.count() as f64 / judged.max(1) as f64;
            StateReport { name: state.name.clone(), windows: fitted.mu.nrows(), judged, recall }
        })
        .collect();
    extended.save(&args.out)?;
    let all: usize = reports.iter().map(|state| state.judged).sum();
    let right: f64 = reports.iter().map(|state| state.recall * state.judged as f64).sum();
    let report = HeadsReport {
        model: file_name(&args.out),
        kind: match (args.linear, args.k_means) {
            (true, _) => "linear",
            (false, Some(_)) => "k_means",
            (false, None) => "clusters",
        },
        states: reports,
        accuracy: right / all.max(1) as f64,
        blob_bytes: extended.bytes().len(),
    };
    let mut listing = Listing::new().row("blob", args.out.display()).row("kind", report.kind);
    for state in &report.states {
        let text = format!(
            "fitted to {} windows; of {} judged {:.1} % named so",
            state.windows,
            state.judged,
            100.0 * state.recall
        );
        listing = listing.row(&*state.name, text);
    }
    let of_what = match args.test_rows {
        Some(_) => "(of other rows)",
        None => "(of what it was fitted to)",
    };
    let text = listing
        .row("accuracy", format!("{:.1} % {of_what}", 100.0 * report.accuracy))
        .row("size", format!("{} bytes", report.blob_bytes))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// The core's latents of every state, of these rows of its recordings.
fn known_states(
    args: &HeadsArgs,
    model: &Model<'_>,
    frontend: &Frontend,
    rows: Option<picovae::recording::Rows>,
) -> miette::Result<Vec<KnownState>> {
    let recording =
        RecordingArgs { rows, columns: Vec::new(), labels: Vec::new(), label_column: None };
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
            set.add(one.recording.clips(frontend)?)?;
        }
        let mu = latents(model, &set).into_diagnostic()?;
        states.push(KnownState { name: name.to_string(), mu });
    }
    Ok(states)
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
