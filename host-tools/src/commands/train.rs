//! `picovae train`: normal recordings to a `.safetensors` model.

use super::checkpoint::CheckpointArgs;
use super::front_end::FrontEndArgs;
use super::outputs::Outputs;
use crate::args::{DataArgs, Loaded, command_line, file_name, sha256_of, window_set};
use crate::printer::{Listing, Printer, Table};
use clap::Args;
use picovae::graph::{Activation, Frontend, LikelihoodKind, Provenance, ScoreKind, TOOL};
use picovae::import::write_safetensors;
use picovae::recording::WindowSet;
use picovae::train::{
    Architecture, Convolution, FitConfig, Image, Normalize, Settings, Sigma, TrainConfig,
    TrainReport, train,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `picovae train`. The defaults are the article's network for
/// u8 images: 784-512-256-2x20 and back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae train train-images-idx3-ubyte.gz -o mnist.safetensors --epochs 20
  picovae train train-images-idx3-ubyte.gz -o cvae.safetensors --image 28x28 \\
      --conv 32x3s2,64x3s2 --decoder-conv 64x3s2,32x3s2,1x3 --latent 2 --epochs 10
  picovae train fan.npy -o fan-conv.safetensors --likelihood gaussian --remove-mean \\
      --conv 16x5s2,32x5s2 --hidden 32 --latent 8
  picovae train fan.npy -o fan.safetensors --likelihood gaussian --remove-mean \\
      --normalize global --hidden 64 --latent 8
  picovae train clips.npy -o car.safetensors --likelihood gaussian --spectrum 1024 --frame-hop 512 \\
      --stack 5 --bands 128 --scale log-mel --sample-rate 16000 --hop 512 --hidden 128,64 --latent 8
  picovae train beats.npy --labels labels.npy --keep-label 0 --rows 0..500 -o ecg.safetensors \\
      --likelihood gaussian --normalize none --hidden 64,32 --latent 8 --epochs 300
  picovae train pump.csv --columns Pressure,Current --window 60 --hop 10 \\
      --likelihood gaussian --hidden 32 --latent 4 -o pump.safetensors
  picovae train train-images-idx3-ubyte.gz -o mnist.safetensors --epochs 100 --checkpoint mnist.check
      # stopped, the same command goes on from the last whole epoch")]
pub struct TrainArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Train on windows with this label only [default: 0, where there are labels].
    #[arg(long, value_name = "INT", requires = "labels", allow_negative_numbers = true)]
    keep_label: Option<i64>,
    /// Model to write.
    #[arg(short, long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Frames a window [default: a whole row of the recording; with a spectrum, what it reads].
    #[arg(long, value_name = "FRAMES", conflicts_with = "spectrum")]
    window: Option<usize>,
    /// Frames from window to window [default: one window].
    #[arg(long, value_name = "FRAMES")]
    hop: Option<usize>,
    /// Values a frame [default: told from the recording's shape].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Subtract each channel's mean over the window; always with a spectrum.
    #[arg(long)]
    remove_mean: bool,
    #[command(flatten)]
    front_end: FrontEndArgs,
    /// Scaling of features: per-channel, global, none, unit255 [default: per-channel
    /// for gaussian; for bernoulli unit255, of samples in [0, 1] none].
    #[arg(long)]
    normalize: Option<Normalize>,
    /// The encoder's convolutions, CHANNELSxKERNELsSTRIDE, over the frames of a
    /// window with "same" padding; the decoder mirrors them.
    #[arg(long, value_delimiter = ',', value_name = "CxKsS,…")]
    conv: Vec<Convolution>,
    /// The decoder's transposed convolutions, latent side first; the last one
    /// writes the channels of a frame or pixel [default: --conv, mirrored]. A first
    /// one as long as its output and its stride (6x7s7 onto 7x7) reads the latent itself.
    #[arg(long, value_delimiter = ',', value_name = "CxKsS,…", requires = "conv")]
    decoder_conv: Option<Vec<Convolution>>,
    /// Convolve features as an image of this size, kernel 3 as 3x3.
    #[arg(long, value_name = "ROWSxCOLUMNS", requires = "conv")]
    image: Option<Image>,
    /// Widths of the encoder's fully connected hidden layers [default: 512,256;
    /// none with --conv].
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    hidden: Option<Vec<usize>>,
    /// Widths of the decoder's fully connected hidden layers [default: the
    /// encoder's, mirrored].
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    decoder_hidden: Option<Vec<usize>>,
    /// Dimensions of the latent.
    #[arg(long, default_value_t = 20)]
    latent: usize,
    /// After every hidden layer: relu, relu6, leaky-relu(0.01), elu(1),
    /// sigmoid, tanh, gelu, silu, softplus, identity.
    #[arg(long, default_value = "relu")]
    activation: Activation,
    /// bernoulli (features in [0, 1]) or gaussian.
    #[arg(long, default_value = "bernoulli")]
    likelihood: LikelihoodKind,
    /// Deviation of the Gaussian likelihood: optimal, or a number.
    #[arg(long, default_value = "optimal")]
    sigma: Sigma,
    /// Weight of the KL divergence.
    #[arg(long, default_value_t = 1.0)]
    beta: f32,
    /// Epochs over which that weight grows from 0.
    #[arg(long, default_value_t = 0.0, value_name = "EPOCHS")]
    beta_warmup: f32,
    /// Passes over the data, at most.
    #[arg(long, default_value_t = 30)]
    epochs: usize,
    /// Begin with N networks of random weights, train each for an epoch (with --beta-warmup, while
    /// the weight grows), and go on with the one that has the least held-out loss (without any held
    /// out, training loss): high rates give up latents by chance.
    #[arg(long, default_value_t = 1, value_name = "N")]
    starts: usize,
    /// Windows a step.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of Adam.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Lower the learning rate to 0 along half a cosine.
    #[arg(long)]
    cosine: bool,
    /// Decoupled weight decay.
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f32,
    /// Stop after this many epochs without a better held-out loss; 0 never
    /// stops early.
    #[arg(long, default_value_t = 10, value_name = "EPOCHS")]
    patience: usize,
    /// Fraction of the windows held out.
    #[arg(long, default_value_t = 0.1, value_name = "FRACTION")]
    validation: f32,
    /// Deviation of noise added to the encoder's input (denoising).
    #[arg(long, default_value_t = 0.0)]
    input_noise: f32,
    /// Share of the encoder's input set to 0 (denoising).
    #[arg(long, default_value_t = 0.0)]
    input_dropout: f32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Default score of the model: negative-elbo, reconstruction-error,
    /// bernoulli-nll, bernoulli-excess, gaussian-nll, kl-divergence, mahalanobis,
    /// reconstruction-probability.
    #[arg(long, default_value = "negative-elbo")]
    score: ScoreKind,
    /// Name of the model [default: the output's file name].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
}

/// JSON of `picovae train --json`.
#[derive(Debug, Serialize)]
struct TrainOutput<'a> {
    model: String,
    macs: usize,
    frontend: &'a Frontend,
    #[serde(flatten)]
    report: &'a TrainReport,
}

/// Runs the verb.
pub fn run(args: TrainArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let outputs = Outputs::default().and("-o", Some(&args.out));
    outputs.and("--checkpoint", args.checkpoint.path()).check(&args.data.paths())?;
    let loaded = args.data.load()?;
    let frontend = args.frontend(&loaded)?;
    let set = window_set(&loaded, &frontend, args.keep_label)?;
    let config = args.config(&set);
    let command = Settings::of_command("train").and_all(&config).and_all(&frontend);
    let watched = args.checkpoint.watch(command)?;
    let (mut vae, report) = train(&set, &frontend, &config, watched.watch())?;
    vae.provenance = Provenance {
        source: args.data.data.iter().map(|path| file_name(path)).collect::<Vec<_>>().join(" "),
        sha256: sha256_of(&args.data.data)?,
        tool: TOOL.into(),
        command: command_line(),
    };
    write_safetensors(&args.out, &vae)?;
    watched.done()?;
    let output = TrainOutput {
        model: file_name(&args.out),
        macs: vae.macs(),
        frontend: &vae.frontend,
        report: &report,
    };
    let text = listing(&args.out, &report);
    printer.report(&output, &format!("{}\n{text}", history(&report)))?;
    Ok(ExitCode::SUCCESS)
}

/// What the beginnings came to, the one gone on with marked.
fn beginnings(report: &TrainReport) -> String {
    let least = report.starts.iter().copied().fold(f64::INFINITY, f64::min);
    let chosen = report.starts.iter().position(|loss| *loss == least);
    let told = report.starts.iter().enumerate().map(|(at, loss)| {
        let mark = if Some(at) == chosen { " (gone on with)" } else { "" };
        match loss.is_finite() {
            true => format!("{loss:.3}{mark}"),
            false => "diverged".into(),
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Whether samples are shares already, as of float pixels.
fn in_unit(set: &WindowSet<'_>) -> bool {
    let mut samples = (0..set.len()).flat_map(|at| set.window(at).samples);
    samples.all(|x| (0.0..=1.0).contains(x))
}

/// At most this many epochs are listed.
const LISTED_EPOCHS: usize = 12;

/// What a training did, as text.
pub(super) fn listing(out: &Path, report: &TrainReport) -> String {
    let held_out = report
        .validation_loss
        .map_or("none held out".into(), |loss| format!("{loss:.4} nats a window"));
    let training = match report.best_epoch {
        0 => "of no epoch".into(),
        _ => format!("{:.4} nats a window", report.train_loss),
    };
    let mut listing = Listing::new().row("model", out.display()).row("parameters", report.params);
    if !report.starts.is_empty() {
        listing = listing.row("beginnings", beginnings(report));
    }
    if report.best_epoch == 0 {
        let note = "no epoch is better than the model given, which is kept: try a lower --lr";
        listing = listing.row("note", note);
    }
    listing
        .row(
            "windows",
            format!("{} ({} held out)", report.train_windows, report.validation_windows),
        )
        .row("epochs", format!("{} (best: {})", report.epochs, report.best_epoch))
        .row("training loss", training)
        .row("held-out loss", held_out)
        .row("time", format!("{:.1} s, {:.2} ms a step", report.seconds, report.step_ms))
        .to_string()
}

/// Losses by epoch, evenly thinned.
pub(super) fn history(report: &TrainReport) -> Table {
    let mut table = Table::new(["epoch", "nll", "kl", "loss", "held out"]);
    let every = report.history.len().div_ceil(LISTED_EPOCHS).max(1);
    for record in &report.history {
        if record.epoch % every == 0 || record.epoch == report.best_epoch {
            table.row([
                record.epoch.to_string(),
                format!("{:.3}", record.nll),
                format!("{:.3}", record.kl),
                format!("{:.3}", record.train_loss),
                record.validation_loss.map_or("-".into(), |v| format!("{v:.3}")),
            ]);
        }
    }
    table
}

impl TrainArgs {
    /// Window, hop and channels from the arguments, or from the shape of the
    /// first recording where they leave it open.
    fn frontend(&self, loaded: &[Loaded]) -> miette::Result<Frontend> {
        let recording = &loaded.first().ok_or_else(|| miette::miette!("no recording"))?.recording;
        let row_len = recording.row_len();
        let images = self.likelihood == LikelihoodKind::Bernoulli && self.window.is_none();
        let channels = self.channels.unwrap_or(match recording.shape[..] {
            _ if images => 1,
            [_, _, channels] => channels,
            // A row as long as the window is a window of one channel.
            [_, columns] if self.window.is_some_and(|window| window != columns) => columns,
            _ => 1,
        });
        let window_len = match self.window {
            Some(window) => window,
            None if self.front_end.fixes_window() => 0,
            None if recording.shape.len() > 1 && channels > 0 => row_len / channels,
            None => {
                return Err(miette::miette!(
                    help = "give --window FRAMES",
                    "{}: one long row does not say how long a window is",
                    recording.path.display()
                ));
            }
        };
        let frontend = self.front_end.frontend(window_len, self.hop, channels, self.remove_mean);
        frontend.validate()?;
        Ok(frontend)
    }

    fn config(&self, set: &WindowSet<'_>) -> TrainConfig {
        let stem = || {
            self.out.file_stem().map_or("model".to_string(), |stem| stem.to_string_lossy().into())
        };
        let hidden = self
            .hidden
            .clone()
            .unwrap_or_else(|| if self.conv.is_empty() { vec![512, 256] } else { Vec::new() });
        TrainConfig {
            architecture: Architecture {
                name: self.name.clone().unwrap_or_else(stem),
                convolutions: self.conv.clone(),
                decoder_convolutions: self.decoder_conv.clone(),
                image: self.image,
                hidden: hidden.clone(),
                decoder_hidden: self
                    .decoder_hidden
                    .clone()
                    .unwrap_or_else(|| hidden.iter().rev().copied().collect()),
                latent: self.latent,
                activation: self.activation,
                likelihood: self.likelihood,
                score: self.score,
            },
            normalize: self.normalize.unwrap_or_else(|| match self.likelihood {
                LikelihoodKind::Gaussian => Normalize::PerChannel,
                LikelihoodKind::Bernoulli if in_unit(set) => Normalize::None,
                LikelihoodKind::Bernoulli => Normalize::Unit255,
            }),
            starts: self.starts,
            fit: FitConfig {
                sigma: self.sigma,
                beta: self.beta,
                beta_warmup: self.beta_warmup,
                epochs: self.epochs,
                batch: self.batch,
                learning_rate: self.lr,
                cosine: self.cosine,
                weight_decay: self.weight_decay,
                patience: (self.patience > 0).then_some(self.patience),
                validation: self.validation,
                input_noise: self.input_noise,
                input_dropout: self.input_dropout,
                seed: self.seed,
                ..FitConfig::default()
            },
        }
    }
}
