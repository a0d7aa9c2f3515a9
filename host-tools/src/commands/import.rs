//! `picovae import`: a model of another tool as this tool's own file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::import::write_safetensors;
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, Source, open_source, uncalibrated};
use super::quantize::TARGETS;
use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae import vae.onnx -o vae.safetensors --normal night.npy
  picovae import autoencoder.keras -o fan.safetensors --scale 32768 --lsb 1
  picovae import ad01_int8.tflite -o ad01.pvae --target cortex-m4     # int8 already: every integer kept

Everything that cannot be read is listed at once, each with what to write instead.")]
pub struct ImportArgs {
    /// Model: .safetensors, .pt, .onnx, .keras, .h5 or .tflite.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// `.safetensors` for float weights, `.pvae` for a model in int8.
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
    /// Recordings of normal operation, that the front-end's unit is fitted to.
    #[arg(long, value_name = "DATA")]
    normal: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Core the weights of an int8 model are packed for.
    #[arg(long, value_name = "CORE", default_value = "portable", value_parser = TARGETS)]
    target: String,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae import --json`.
#[derive(Debug, Serialize)]
struct ImportReport {
    file: String,
    model: String,
    kind: &'static str,
    name: String,
    layers: usize,
    params: usize,
    macs: usize,
    latent: usize,
    variational: bool,
    window_len: usize,
    channels: usize,
    notes: Vec<String>,
}

/// Runs the verb.
pub fn run(args: ImportArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.recordings.load(&args.normal)?;
    let (source, mut notes) = open_source(&args.file, &args.foreign)?;
    let is = |extension: &str| args.out.extension().is_some_and(|e| e == extension);
    let (file, model) = (file_name(&args.file), file_name(&args.out));
    let report = match source {
        Source::Float { mut vae, foreign } => {
            if is("pvae") {
                return Err(miette::miette!(
                    help =
                        "import to a .safetensors, or quantize FILE --calibrate NORMAL -o OUT.pvae",
                    "{file} holds float weights: a blob of them needs calibration"
                ));
            }
            if foreign {
                args.foreign.adapt(&mut vae, loaded.iter().map(|one| &one.recording))?;
                if loaded.is_empty() && !args.foreign.has_lsb() {
                    let note = "a count of the device is taken as 1 unit of the recordings; \
                                --lsb or --normal says otherwise";
                    eprintln!("note: {note}");
                    notes.push(note.into());
                }
            }
            write_safetensors(&args.out, &vae)?;
            ImportReport {
                file,
                model,
                kind: "float",
                name: vae.name.clone(),
                layers: vae.layers().count(),
                params: vae.params(),
                macs: vae.macs(),
                latent: vae.latent_len(),
                variational: vae.logvar.is_some(),
                window_len: vae.frontend.window_len,
                channels: vae.frontend.channels,
                notes,
            }
        }
        Source::Int8(int8) => {
            if !is("pvae") {
                return Err(miette::miette!(
                    help = "give -o a name that ends in .pvae",
                    "{file} is in int8 already: it becomes a blob"
                ));
            }
            let blob = uncalibrated(&int8, &args.target)?;
            blob.save(&args.out)?;
            let parsed = blob.model()?;
            let layers = (0..parsed.layer_count()).filter_map(|i| parsed.layer(i));
            ImportReport {
                file,
                model,
                kind: "int8",
                name: int8.vae.name.clone(),
                layers: parsed.layer_count(),
                params: int8.vae.params(),
                macs: layers.map(|layer| layer.macs()).sum(),
                latent: parsed.latent_len(),
                variational: int8.vae.latent.has_logvar,
                window_len: int8.vae.frontend.float.window_len,
                channels: int8.vae.frontend.float.channels,
                notes,
            }
        }
    };
    let text = Listing::new()
        .row("model", args.out.display())
        .row("kind", report.kind)
        .row("layers", report.layers)
        .row("parameters", report.params)
        .row("MACs", report.macs)
        .row("latent", report.latent)
        .row("window", format!("{} frames x {} channels", report.window_len, report.channels))
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}
