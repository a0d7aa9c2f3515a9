//! `picovae diff`: two models on the same windows, layer by layer.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use picovae::diff::{LayerValues, blob_layers, diff, float_layers, worst_windows};
use picovae::emit::Blob;
use picovae::graph::Vae;
use picovae::recording::Recording;
use picovae::simulate::frontend_of;
use serde::Serialize;

use super::model_file::{ForeignArgs, ModelFile, RecordingArgs, open};
use crate::args::file_name;
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae diff fan.safetensors fan.pvae --input normal.npy        # what did int8 cost, layer by layer?
  picovae diff vae.onnx vae.safetensors --input windows.npy       # did the export keep the model?
  picovae diff fan-m4.pvae fan-m0.pvae --input normal.npy         # equal to the bit on every target

Exit code 1 where they part.")]
pub struct DiffArgs {
    /// One model: float weights or a blob.
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The other.
    #[arg(value_name = "B")]
    b: PathBuf,
    /// A recording to run them on.
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Windows to run, from the recording's start.
    #[arg(long, value_name = "N", default_value_t = 256)]
    windows: usize,
    /// They part where the mean difference exceeds this share of a layer's root mean square
    /// [default: 0 between blobs, 0.0001 between float models, else 0.1].
    #[arg(long, value_name = "SHARE")]
    tolerance: Option<f64>,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae diff --json`.
#[derive(Debug, Serialize)]
struct DiffReport {
    a: String,
    b: String,
    windows: usize,
    tolerance: f64,
    layers: Vec<LayerReport>,
    first_divergence: Option<String>,
    worst_window: Option<usize>,
}

#[derive(Debug, Serialize)]
struct LayerReport {
    name: String,
    max_abs: f64,
    mean_abs: f64,
    rms: f64,
}

/// Either kind of model, with its front-end settled.
enum Side {
    Float(Box<Vae>),
    Blob(Blob),
}

impl Side {
    fn open(
        args: &DiffArgs,
        path: &std::path::Path,
        recording: &Recording,
    ) -> miette::Result<Self> {
        Ok(match open(path, &args.foreign)? {
            ModelFile::Float { mut vae, foreign } => {
                if foreign {
                    args.foreign.adapt(&mut vae, std::iter::once(recording))?;
                }
                Self::Float(vae)
            }
            ModelFile::Blob(blob) => Self::Blob(blob),
        })
    }

    fn layers(&self, recording: &Recording, most: usize) -> miette::Result<Vec<LayerValues>> {
        Ok(match self {
            Self::Float(vae) => float_layers(vae, &recording.clips(&vae.frontend)?, most),
            Self::Blob(blob) => {
                let model = blob.model()?;
                let clips = recording.clips(&frontend_of(&model))?;
                blob_layers(&model, &clips, most)?
            }
        })
    }
}

/// Runs the verb.
pub fn run(args: DiffArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.recordings.load(std::slice::from_ref(&args.input))?;
    let Some(recording) = loaded.first().map(|loaded| &loaded.recording) else {
        return Err(picovae::diff::DiffError::NoWindows.into());
    };
    let (a, b) = (Side::open(&args, &args.a, recording)?, Side::open(&args, &args.b, recording)?);
    let (first, second) = (file_name(&args.a), file_name(&args.b));
    let tolerance = args.tolerance.unwrap_or(match (&a, &b) {
        (Side::Blob(_), Side::Blob(_)) => 0.0,
        (Side::Float(_), Side::Float(_)) => 1e-4,
        _ => 0.1,
    });
    let values = (a.layers(recording, args.windows)?, b.layers(recording, args.windows)?);
    let differences = diff((&first, &values.0), (&second, &values.1))?;
    let parting = differences.iter().find(|layer| layer.parts(tolerance));
    let worst = match (values.0.last(), values.1.last()) {
        (Some(a), Some(b)) => worst_windows(a, b, 1).first().map(|(window, _)| *window),
        _ => None,
    };
    let report = DiffReport {
        a: first,
        b: second,
        windows: values.0.first().map_or(0, |layer| layer.values.nrows()),
        tolerance,
        first_divergence: parting.map(|layer| layer.name.clone()),
        worst_window: worst,
        layers: differences
            .iter()
            .map(|layer| LayerReport {
                name: layer.name.clone(),
                max_abs: layer.max_abs,
                mean_abs: layer.mean_abs,
                rms: layer.rms,
            })
            .collect(),
    };
    let mut table = Table::new(["layer", "max difference", "mean difference", "rms", "mean / rms"]);
    for layer in &report.layers {
        let share = if layer.rms > 0.0 { layer.mean_abs / layer.rms } else { layer.mean_abs };
        table.row([
            layer.name.clone(),
            format!("{:.3e}", layer.max_abs),
            format!("{:.3e}", layer.mean_abs),
            format!("{:.3e}", layer.rms),
            format!("{:.3} %", 100.0 * share),
        ]);
    }
    let verdict = match &report.first_divergence {
        Some(layer) => format!("part at `{layer}`"),
        None => "agree in every layer".into(),
    };
    let listing = Listing::new()
        .row("windows", report.windows)
        .row("tolerance", format!("{tolerance} of the rms"))
        .row("verdict", verdict);
    printer.report(&report, &format!("{table}\n{listing}"))?;
    Ok(ExitCode::from(u8::from(report.first_divergence.is_some())))
}
