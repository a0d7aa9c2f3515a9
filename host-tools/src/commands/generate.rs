//! `picovae generate`: decodes draws from the prior, by the core's own integers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use miette::IntoDiagnostic;
use picovae::simulate::{GridError, Simulator, SimulatorArena, image_grid, trace_grid};
use picovae_core::fixed::gaussian::Gaussian;
use serde::Serialize;

use super::model_file::{ForeignArgs, open_blob};
use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae generate mnist.pvae -o digits.png --count 64 --seed 7
  picovae generate fan.pvae -o traces.png --count 9      # sensor models are drawn as traces
  picovae generate mnist.pvae -o digits.png --width 28")]
pub struct GenerateArgs {
    /// The blob.
    #[arg(value_name = "MODEL.pvae")]
    model: PathBuf,
    /// Picture to write.
    #[arg(short, long, value_name = "OUT.png")]
    out: PathBuf,
    /// Samples.
    #[arg(long, default_value_t = 64)]
    count: usize,
    /// Seed of the integer Gaussian; a board seeded alike gives the same samples.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Pixels a row of an image [default: square images where the likelihood is Bernoulli].
    #[arg(long, value_name = "PIXELS")]
    width: Option<usize>,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae generate --json`.
#[derive(Debug, Serialize)]
struct GenerateReport {
    model: String,
    picture: String,
    count: usize,
    seed: u32,
    width: Option<usize>,
    height: Option<usize>,
}

/// Most samples in a picture.
const MAX_COUNT: usize = 1_024;

/// Runs the verb.
pub fn run(args: GenerateArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    if args.count == 0 || args.count > MAX_COUNT {
        return Err(miette::miette!(
            help = "they are drawn in one picture",
            "--count is {}, it must be between 1 and {MAX_COUNT}",
            args.count
        ));
    }
    let blob = open_blob(&args.model, &args.foreign)?;
    let model = blob.model()?;
    let len = model.input_len();
    let mut arena = SimulatorArena::new(&model);
    let mut simulator = Simulator::new(&model, &mut arena).into_diagnostic()?;
    let mut noise = Gaussian::new(args.seed);
    let samples: Vec<Vec<i16>> = (0..args.count)
        .map(|_| {
            simulator.vae().generate(&mut noise);
            simulator.vae().reconstruction().collect()
        })
        .collect();

    let bernoulli = matches!(model.likelihood(), picovae_core::model::wire::Likelihood::Bernoulli);
    let side = len.isqrt();
    let width = match args.width {
        Some(width) if width > 0 && len.is_multiple_of(width) => Some(width),
        Some(width) => return Err(GridError::Width { width, len }.into()),
        None => (bernoulli && side * side == len).then_some(side),
    };
    match width {
        Some(width) => image_grid(&args.out, &samples, width)?,
        None => trace_grid(&args.out, &samples, model.frontend().channels)?,
    }
    let report = GenerateReport {
        model: file_name(&args.model),
        picture: file_name(&args.out),
        count: args.count,
        seed: args.seed,
        width,
        height: width.map(|width| len / width),
    };
    let text = Listing::new()
        .row("picture", args.out.display())
        .row("samples", args.count)
        .row("seed", args.seed)
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}
