//! `picovae report`: a float model beside its blob, as one HTML page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{Quality, Yardstick};
use picovae::cost::{LayerCost, of_core};
use picovae::graph::Vae;
use picovae::needs::instructions;
use picovae::quantize::QuantizeOptions;
use picovae::recording::WindowSet;
use picovae::report::{Page, Pass, compare, passes};
use serde::Serialize;

use super::model_file::{ForeignArgs, RecordingArgs, open_blob, open_float};
use crate::args::{command_line, file_name, window_set};
use crate::printer::{Listing, Printer};

/// Arguments of `picovae report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae report fan.safetensors fan.pvae --data normal.npy -o fan.html
  picovae report small4.safetensors small4.pvae --from mnist.safetensors --data t10k-images-idx3-ubyte.gz -o way.html
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
    /// The models it was made of, the first one first: rows before it, and what all are compared with.
    #[arg(long, value_name = "MODEL")]
    from: Vec<PathBuf>,
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
    passes: Vec<Pass>,
}

/// Frames and channels of a window.
fn window(vae: &Vae) -> [usize; 2] {
    [vae.frontend.window_len, vae.frontend.channels]
}

/// Refuses two models that cannot look at the same windows.
fn same_window(
    path: &Path,
    [frames, channels]: [usize; 2],
    model: &Path,
    [expected, of]: [usize; 2],
) -> miette::Result<()> {
    if (frames, channels) == (expected, of) {
        return Ok(());
    }
    Err(miette::miette!(
        help = "give models of the same recordings: a blob with the model it was quantized from, and what that came from",
        "{}: its windows are {frames} x {channels}, those of {} {expected} x {of}",
        path.display(),
        model.display()
    ))
}

/// Runs the verb.
pub fn run(args: ReportArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let loaded = args.recordings.load(&args.data)?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    let blob = open_blob(&args.blob, &args.foreign)?;
    let model = blob.model()?;
    let device = &model.description().frontend;
    let of_blob = [device.window_len, device.channels].map(usize::from);
    same_window(&args.blob, of_blob, &args.model, window(&vae))?;
    let set: WindowSet<'_> = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let mut parents = Vec::new();
    for path in &args.from {
        let (mut parent, foreign) = open_float(path, &args.foreign)?;
        if foreign {
            same_window(path, [parent.input_len(), 1], &args.model, [vae.input_len(), 1])?;
            parent.frontend = vae.frontend.clone();
        }
        same_window(path, window(&parent), &args.model, window(&vae))?;
        parents.push((file_name(path), parent));
    }
    let yardstick = Yardstick::new(parents.first().map_or(&vae, |(_, first)| first), &set, 0)?;
    let target = match model.description().target {
        // A blob for hosts: told for the core most boards have.
        "" | "portable" => "cortex-m4",
        target => target,
    };
    let float_pass = |name: &str, vae: &Vae| -> miette::Result<Pass> {
        Ok(Pass {
            pass: name.into(),
            bytes: 4 * vae.params(),
            arena_bytes: None,
            instructions: instructions(vae, &QuantizeOptions::default(), target),
            quality: yardstick.of_float(vae)?,
        })
    };
    let mut all = Vec::new();
    for (name, parent) in &parents {
        all.push(float_pass(name, parent)?);
    }
    let float = float_pass(&file_name(&args.model), &vae)?;
    let costs = (0..model.layer_count()).filter_map(|at| model.layer(at)).map(LayerCost::of_blob);
    let int8 = Pass {
        pass: file_name(&args.blob),
        bytes: blob.bytes().len(),
        arena_bytes: Some(model.arena_len()),
        instructions: of_core(target)
            .and_then(|core| core.instructions(&costs.collect::<Vec<_>>())),
        quality: yardstick.of_blob(&blob)?,
    };
    all.extend([float.clone(), int8.clone()]);
    let mut page = Page::new(format!("{} and {}", file_name(&args.model), file_name(&args.blob)));
    passes(&mut page, &all, &[])?;
    page.paragraph(&format!("Instructions are those predicted for {target}."));
    if let Some(clips) = set.sources().first() {
        let parent = parents.first().map(|(_, parent)| parent);
        compare(&mut page, &vae, &blob, parent, clips)?;
    }
    let output = ReportOutput {
        report: file_name(&args.out),
        float_bytes: float.bytes,
        blob_bytes: int8.bytes,
        float: float.quality,
        int8: int8.quality,
        passes: all,
    };
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
