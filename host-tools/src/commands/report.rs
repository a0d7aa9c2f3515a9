//! `picovae report`: a float model beside its blob, as one HTML page.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{Quality, Yardstick};
use picovae::recording::WindowSet;
use picovae::report::{Page, compare};
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, open_blob, open_float};
use crate::args::{command_line, file_name, window_set};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae report fan.safetensors fan.pvae --data normal.npy -o fan.html
  picovae report vae.pt vae.pvae --data t10k-images-idx3-ubyte.gz --rows 0..2000 -o vae.html

The page holds everything it shows: no script, no font, nothing is fetched.")]
pub struct ReportArgs {
    /// Float model.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Its blob.
    #[arg(value_name = "MODEL.pvae")]
    blob: PathBuf,
    /// Recordings of normal operation, not those that were trained on.
    #[arg(long, value_name = "DATA", required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Use windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Page to write.
    #[arg(short, long, value_name = "OUT.html")]
    out: PathBuf,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae report --json`.
#[derive(Debug, Serialize)]
struct ReportOutput {
    report: String,
    float_bytes: usize,
    blob_bytes: usize,
    float: Quality,
    int8: Quality,
}

/// Runs the verb.
pub fn run(args: ReportArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.recordings.load(&args.data)?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let blob = open_blob(&args.blob, &args.foreign)?;
    let set: WindowSet<'_> = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let yardstick = Yardstick::new(&vae, &set, 0)?;
    let output = ReportOutput {
        report: file_name(&args.out),
        float_bytes: 4 * vae.params(),
        blob_bytes: blob.bytes().len(),
        float: yardstick.of_float(&vae)?,
        int8: yardstick.of_blob(&blob)?,
    };
    let mut page = Page::new(format!("{} and {}", file_name(&args.model), file_name(&args.blob)));
    let row = |name: &str, bytes: usize, quality: Quality| {
        [
            name.to_string(),
            bytes.to_string(),
            format!("{:.3}", quality.negative_elbo),
            format!("{:.4}", quality.damage_auc),
            format!("{:.4}", quality.agreement),
        ]
    };
    page.section("Both models");
    page.table(
        ["model", "bytes", "negative ELBO", "AUC, damaged", "agreement"],
        [
            row("float", output.float_bytes, output.float),
            row("int8", output.blob_bytes, output.int8),
        ],
    );
    if let Some(clips) = set.sources().first() {
        compare(&mut page, &vae, &blob, None, clips)?;
    }
    page.section("To do it again");
    page.command(&command_line());
    page.save(&args.out)?;
    let text = Listing::new()
        .row("report", args.out.display())
        .row("negative ELBO, float", format!("{:.4}", output.float.negative_elbo))
        .row("negative ELBO, int8", format!("{:.4}", output.int8.negative_elbo))
        .to_string();
    printer.report(&output, &text)?;
    Ok(ExitCode::SUCCESS)
}
