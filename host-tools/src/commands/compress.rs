//! `picovae compress`: a budget in, the cheapest chain of passes that fits out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use picovae::compress::{
    Chain, ChainReport, CompressConfig, CompressError, Compressed, Quality, compress,
};
use picovae::graph::{Frontend, Provenance, TOOL, Vae};
use picovae::import::write_trained;
use picovae::quantize::QuantizeOptions;
use picovae::recording::WindowSet;
use picovae::report::{Page, Pass, compare, passes};
use picovae::search::Limit;
use picovae::simulate::DetectorOptions;
use picovae::train::{FitConfig, Image, Settings, TrainError, hold_out, known_precision};
use serde::Serialize;

use super::budget::BudgetArgs;
use super::checkpoint::CheckpointArgs;
use super::decision::DecisionArgs;
use super::false_alarms::FalseAlarmArgs;
use super::model_file::{ForeignArgs, RecordingArgs, open_float};
use super::outputs::Outputs;
use crate::args::{command_line, file_name, window_set};
use crate::printer::{Listing, Printer, Table};

/// Arguments of `picovae compress`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae compress vae.safetensors --calibrate normal.npy --target cortex-m4 --flash 64K -o vae.pvae
  picovae compress mnist.safetensors --calibrate train-images-idx3-ubyte.gz --flash 64K --ram 8K \\
      --max-loss 0.05 -o mnist.pvae --report mnist.html
  picovae compress fan.safetensors --calibrate normal.npy --instructions 300K -o fan.pvae

Tried in this order, until one keeps budget and loss: 8-bit weights; 4-bit weights, trained in the device's
integers; pruning, then 8 bits; pruning less, then 4 bits; a student of another shape, 8 bits; a wider one,
4 bits. Exit code 1 where none keeps the loss: the blob is
then the one within the budget that loses least.")]
pub struct CompressArgs {
    /// Float model.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Recordings of normal operation: what is trained on further, calibrated and measured with.
    #[arg(long, value_name = "DATA", required = true)]
    calibrate: Vec<PathBuf>,
    #[command(flatten)]
    recordings: RecordingArgs,
    /// Use windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Blob to write.
    #[arg(short, long, value_name = "OUT.pvae")]
    out: PathBuf,
    /// Write the compressed float weights too; `quantize` makes the blob's integers of those that were
    /// trained in integers.
    #[arg(long, value_name = "OUT.safetensors")]
    float: Option<PathBuf>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// How much the negative ELBO of held-out windows may rise, as a share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    max_loss: f64,
    /// Longer training: epochs of a pruning round, and a quarter of those behind it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    effort: usize,
    /// Students convolve the features as an image of this size [default: that of recordings of one
    /// channel and three axes, such as IDX images].
    #[arg(long, value_name = "ROWSxCOLUMNS")]
    image: Option<Image>,
    /// Windows a step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of Adam.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Fraction of the windows held out to measure with.
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION", allow_negative_numbers = true)]
    validation: f32,
    /// Share of normal windows that may alarm; sets the threshold.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.01,
        conflicts_with = "false_alarms_per_day"
    )]
    false_alarm_rate: f64,
    #[command(flatten)]
    false_alarms: FalseAlarmArgs,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Report to write.
    #[arg(long, value_name = "R.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    #[command(flatten)]
    decision: DecisionArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae compress --json`; without a blob, what is of one is `null`.
#[derive(Debug, Serialize)]
struct CompressOutput<'a> {
    model: Option<String>,
    target: &'a str,
    fits: bool,
    chosen: Option<usize>,
    reason: String,
    max_loss: f64,
    float_bytes: usize,
    blob_bytes: Option<usize>,
    ratio: Option<f64>,
    arena_bytes: Option<usize>,
    instructions: Option<u64>,
    reference: Option<Quality>,
    chains: &'a [ChainReport],
    /// Without a blob: the chain nearest to the budget, and the limits it is beyond.
    nearest: Option<usize>,
    blocked: &'a [Limit],
}

/// Runs the verb.
pub fn run(args: CompressArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let fit = args.fit()?;
    args.budget.check()?;
    let inputs: Vec<&Path> = args.calibrate.iter().map(PathBuf::as_path).collect();
    Outputs::default()
        .and("-o", Some(&args.out))
        .and("--float", args.float.as_deref())
        .and("--report", args.report.as_deref())
        .and("--checkpoint", args.checkpoint.path())
        .check(&inputs)?;
    let loaded = args.recordings.load(&args.calibrate)?;
    let (mut vae, foreign) = open_float(&args.model, &args.foreign)?;
    if foreign {
        args.foreign.adapt(&mut vae, loaded.iter().map(|loaded| &loaded.recording))?;
    }
    if let Some(score) = args.foreign.score() {
        vae.score = score;
        vae.validate()?;
    }
    let set = window_set(&loaded, &vae.frontend, args.keep_label)?;
    let (train, held_out) = hold_out(&set, args.validation, args.seed);
    if train.is_empty() || held_out.is_empty() {
        return Err(TrainError::TooFewWindows { windows: set.len() }.into());
    }
    let (train, held_out) = (set.subset(&train), set.subset(&held_out));
    // What chains are held against, and what the report shows.
    let vae = known_precision(vae, &train);
    let config = CompressConfig {
        budget: args.budget.budget(),
        max_loss: args.max_loss,
        effort: args.effort.max(1),
        image: args.image.or_else(|| picture(&vae.frontend, &loaded.first()?.recording.shape)),
        fit,
        quantize: QuantizeOptions::default(),
        detector: DetectorOptions {
            target: args.budget.target.clone(),
            false_alarms: args.false_alarms.wanted(
                args.false_alarm_rate,
                vae.frontend.hop,
                loaded.iter().find_map(|loaded| loaded.recording.sample_rate),
            )?,
            decision: args.decision.options()?,
        },
    };
    // The loss allowed and the threshold decide where the chains end, not what they train.
    let command = Settings::of_command("compress")
        .and_all(&config.budget)
        .and("target", &config.detector.target)
        .and("effort", config.effort)
        .and("image", config.image.map_or("none".into(), |image| image.to_string()))
        .and_all(&config.fit);
    let watched = args.checkpoint.watch(command)?;
    let float_bytes = 4 * vae.params();
    let mut done = match compress(&vae, &train, &held_out, &config, watched.watch()) {
        Ok(done) => done,
        Err(error) => {
            args.print_nothing(&error, float_bytes, printer)?;
            return Err(error.into());
        }
    };
    done.blob.save(&args.out)?;
    if let Some(path) = &args.float {
        done.vae.provenance =
            Provenance { tool: TOOL.into(), command: command_line(), ..done.vae.provenance };
        write_trained(path, &done.vae, done.settled.as_ref())?;
    }
    let chosen = &done.chains[done.chosen];
    let blob_bytes = chosen.needs.blob_bytes;
    let ratio = float_bytes as f64 / blob_bytes as f64;
    let output = CompressOutput {
        model: Some(file_name(&args.out)),
        target: &args.budget.target,
        fits: chosen.fits,
        chosen: Some(done.chosen),
        reason: chosen.reason(args.max_loss),
        max_loss: args.max_loss,
        float_bytes,
        blob_bytes: Some(blob_bytes),
        ratio: Some(ratio),
        arena_bytes: Some(chosen.needs.arena_bytes),
        instructions: chosen.needs.instructions,
        reference: Some(done.reference),
        chains: &done.chains,
        nearest: None,
        blocked: &[],
    };
    if let Some(path) = &args.report {
        page(&args, &vae, &done, &held_out)?.save(path)?;
    }
    watched.done()?;
    let mut table = Table::new(HEADS);
    for row in rows(&done.chains, args.max_loss) {
        table.row(row);
    }
    let listing = Listing::new()
        .row("blob", args.out.display())
        .row("size", format!("{blob_bytes} bytes ({ratio:.1} times smaller than float)"))
        .row("chain", &chosen.chain)
        .row("verdict", &output.reason);
    printer.report(&output, &format!("{table}\n{listing}"))?;
    Ok(ExitCode::from(u8::from(!chosen.fits)))
}

impl CompressArgs {
    /// Settings of all training, every one of this command's checked: nothing is loaded or trained for
    /// what cannot be.
    fn fit(&self) -> Result<FitConfig, TrainError> {
        let fit = FitConfig {
            batch: self.batch,
            learning_rate: self.lr,
            seed: self.seed,
            patience: None,
            ..FitConfig::default()
        };
        // What is held out is held out before any training, which then has its own.
        FitConfig { validation: self.validation, ..fit.clone() }.validate_with_held_out()?;
        if !self.max_loss.is_finite() {
            let (setting, must) = ("max-loss", "a finite number");
            return Err(TrainError::Setting { setting, value: self.max_loss.to_string(), must });
        }
        Ok(fit)
    }

    /// For scripts, where nothing comes under the budget: how far the chains are from it. People read
    /// the error.
    fn print_nothing(
        &self,
        error: &CompressError,
        float_bytes: usize,
        printer: &mut Printer,
    ) -> miette::Result<()> {
        let CompressError::Nothing { nearest, chains, .. } = error else { return Ok(()) };
        if !printer.is_json() {
            return Ok(());
        }
        let blocked = nearest.and_then(|at| chains.get(at)).map(|chain| &chain.beyond[..]);
        let output = CompressOutput {
            model: None,
            target: &self.budget.target,
            fits: false,
            chosen: None,
            reason: error.to_string(),
            max_loss: self.max_loss,
            float_bytes,
            blob_bytes: None,
            ratio: None,
            arena_bytes: None,
            instructions: None,
            reference: None,
            chains,
            nearest: *nearest,
            blocked: blocked.unwrap_or_default(),
        };
        printer.report(&output, "")
    }
}

/// Heads of [`rows`].
const HEADS: [&str; 6] = ["chain", "blob", "arena", "instructions", "loss", "why"];

/// The size of pictures, where every item of a recording is one: `[items, rows, columns]` of which an item is a
/// window of one channel.
fn picture(frontend: &Frontend, shape: &[usize]) -> Option<Image> {
    let [_, rows, columns] = *shape else { return None };
    let whole = frontend.channels == 1 && frontend.feature_len() == rows * columns;
    (whole && rows > 1 && columns > 1).then_some(Image { rows, columns })
}

fn rows(chains: &[ChainReport], max_loss: f64) -> Vec<[String; 6]> {
    chains
        .iter()
        .map(|chain| {
            [
                chain.chain.clone(),
                chain.needs.blob_bytes.to_string(),
                chain.needs.arena_bytes.to_string(),
                chain.needs.instructions.map_or("-".into(), |n| n.to_string()),
                chain.loss.map_or("-".into(), |loss| format!("{:+.2} %", 100.0 * loss)),
                chain.reason(max_loss),
            ]
        })
        .collect()
}

/// The report.
fn page(
    args: &CompressArgs,
    model: &Vae,
    done: &Compressed,
    held_out: &WindowSet<'_>,
) -> miette::Result<Page> {
    let mut page = Page::new(format!("Compression: {}", file_name(&args.out)));
    let chosen = &done.chains[done.chosen];
    page.paragraph(&format!("{}: {}.", chosen.chain, chosen.reason(args.max_loss)));
    let others = done.chains.iter().enumerate().filter(|(at, _)| *at != done.chosen);
    let others: Vec<Pass> = others.filter_map(|(_, chain)| chain.after.last().cloned()).collect();
    passes(&mut page, &chosen.after, &others)?;
    page.section("Chains");
    page.paragraph(
        "In the order they were looked at, cheapest first, until one keeps budget and loss.",
    );
    page.table(HEADS, rows(&done.chains, args.max_loss));
    if let Some(clips) = held_out.sources().first() {
        let reference =
            (chosen.passes != (Chain { student: false, keep: 1.0, bits: 8 })).then_some(model);
        compare(&mut page, &done.vae, &done.blob, reference, clips)?;
    }
    page.section("To do it again");
    page.command(&command_line());
    Ok(page)
}
