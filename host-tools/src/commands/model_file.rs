//! A model given on the command line: float weights (`.safetensors`, `.pt`, `.keras`, `.h5`) or a `.pvae` blob.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::Blob;
use picovae::graph::{Activation, Frontend, LikelihoodKind, ScoreKind, Vae};
use picovae::import::{
    ForeignOptions, ImportError, is_keras, is_own, is_torch, parse_keras, parse_safetensors,
    parse_torch,
};
use picovae::recording::{Recording, WindowSet};
use picovae::train::input_lsb;

/// What a foreign state dict does not say; ignored for files of this tool's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Foreign state dicts (no picovae metadata)")]
pub struct ForeignArgs {
    /// Activation after every hidden layer.
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,
    /// What the decoder emits: bernoulli (a sigmoid follows) or gaussian [default: bernoulli;
    /// of graphs, by whether they end in a sigmoid].
    #[arg(long, value_name = "NAME")]
    likelihood: Option<LikelihoodKind>,
    /// Layer that is the latent of a plain autoencoder [default: the narrowest].
    #[arg(long, value_name = "LAYER")]
    latent: Option<String>,
    /// Frames a window [default: the model's inputs by --channels].
    #[arg(long, value_name = "FRAMES")]
    window: Option<usize>,
    /// Frames from window to window [default: one window].
    #[arg(long, value_name = "FRAMES")]
    hop: Option<usize>,
    /// Values a frame.
    #[arg(long, value_name = "N", default_value_t = 1)]
    channels: usize,
    /// Subtract each channel's mean over the window.
    #[arg(long)]
    remove_mean: bool,
    /// Subtracted from every sample: one number, or one a channel.
    #[arg(long, value_name = "X,…", value_delimiter = ',', allow_negative_numbers = true)]
    offset: Vec<f32>,
    /// Every sample is divided by this: one number, or one a channel [default: 255 for pixels of 0 to 255, else 1].
    #[arg(long, value_name = "X,…", value_delimiter = ',')]
    scale: Vec<f32>,
    /// Real value of one count of the device's i16 samples [default: fitted to the recordings].
    #[arg(long, value_name = "X")]
    lsb: Option<f32>,
    /// Default score.
    #[arg(long, value_name = "NAME")]
    score: Option<ScoreKind>,
}

impl ForeignArgs {
    /// Options of the importer.
    pub fn options(&self) -> ForeignOptions {
        ForeignOptions {
            activation: self.activation,
            likelihood: self.likelihood,
            frontend: None,
            score: self.score,
            name: None,
            latent: self.latent.clone(),
        }
    }

    /// The score asked for, if any.
    pub fn score(&self) -> Option<ScoreKind> {
        self.score
    }

    /// Gives a foreign model its front-end: what the options say, and where they
    /// are silent what the recordings show (pixels of 0 to 1 or 0 to 255, and
    /// the device's LSB).
    pub fn adapt<'r>(
        &self,
        vae: &mut Vae,
        recordings: impl Iterator<Item = &'r Recording>,
    ) -> miette::Result<()> {
        let recordings: Vec<&Recording> = recordings.collect();
        let inputs = vae.encoder.first().unwrap_or(&vae.mu).input_len();
        let channels = self.channels;
        let window = match self.window {
            Some(window) => window,
            None if channels > 0 && inputs.is_multiple_of(channels) => inputs / channels,
            None => {
                return Err(miette::miette!(
                    help = "give --channels that divides them",
                    "the model reads {inputs} values, which {channels} channels do not divide"
                ));
            }
        };
        let largest = recordings.iter().flat_map(|r| &r.samples).fold(0f32, |max, x| max.max(*x));
        let pixels = vae.likelihood.kind() == LikelihoodKind::Bernoulli && largest > 1.0;
        vae.frontend = Frontend {
            remove_mean: self.remove_mean,
            offset: self.per_channel("offset", &self.offset, 0.0)?,
            scale: self.per_channel("scale", &self.scale, if pixels { 255.0 } else { 1.0 })?,
            ..Frontend::identity(window, self.hop.unwrap_or(window), channels)
        };
        vae.frontend.input_lsb = match self.lsb {
            Some(lsb) => vec![lsb],
            None => {
                let mut set = WindowSet::new();
                for recording in recordings {
                    set.add(recording.clips(&vae.frontend)?)?;
                }
                input_lsb(&set, channels)
            }
        };
        vae.validate()?;
        Ok(())
    }

    fn per_channel(&self, what: &str, given: &[f32], default: f32) -> miette::Result<Vec<f32>> {
        match given {
            [] => Ok(vec![default; self.channels]),
            [one] => Ok(vec![*one; self.channels]),
            many if many.len() == self.channels => Ok(many.to_vec()),
            many => Err(miette::miette!(
                help = "give one number for all channels, or one for each",
                "--{what} has {} numbers for {} channels",
                many.len(),
                self.channels
            )),
        }
    }
}

/// A model file, read.
pub enum ModelFile {
    /// Float weights, and whether they are a state dict without a front-end.
    Float {
        /// The model.
        vae: Box<Vae>,
        /// Whether [`ForeignArgs::adapt`] must give it a front-end.
        foreign: bool,
    },
    /// A blob, not parsed yet.
    Blob(Blob),
}

/// Reads a model; the content decides, not the name.
pub fn open(path: &Path, foreign: &ForeignArgs) -> miette::Result<ModelFile> {
    let mut start = [0u8; 4];
    let is_blob = {
        use std::io::Read;
        let mut file = std::fs::File::open(path).into_diagnostic().map_err(|error| {
            miette::miette!(
                help = "check the path and its permissions",
                "{}: {error}",
                path.display()
            )
        })?;
        file.read_exact(&mut start).is_ok() && start == picovae_core::model::wire::MAGIC
    };
    let named_blob = path.extension().is_some_and(|extension| extension == "pvae");
    if is_blob || named_blob {
        // A damaged blob is told apart by its name, and refused by the core.
        return Ok(ModelFile::Blob(Blob::read(path)?));
    }
    let (vae, foreign) = open_float(path, foreign)?;
    Ok(ModelFile::Float { vae: Box::new(vae), foreign })
}

/// Reads float weights; the flag says whether they are a foreign state dict.
pub fn open_float(path: &Path, foreign: &ForeignArgs) -> miette::Result<(Vae, bool)> {
    let bytes = std::fs::read(path)
        .map_err(|source| ImportError::Io { path: path.to_path_buf(), source })?;
    if is_torch(&bytes) {
        return Ok((parse_torch(path, &bytes, &foreign.options())?, true));
    }
    if is_keras(&bytes) {
        return Ok((parse_keras(path, &bytes, &foreign.options())?, true));
    }
    let vae = parse_safetensors(path, &bytes, &foreign.options())?;
    Ok((vae, !is_own(&bytes)))
}

/// Reads a blob.
pub fn open_blob(path: &Path) -> miette::Result<Blob> {
    Ok(Blob::read(path)?)
}

/// Recordings given by `--rows` and `--columns` options beside a model.
#[derive(Debug, Clone, Args)]
pub struct RecordingArgs {
    /// Use these rows (first axis) of each recording, e.g. 0..500.
    #[arg(long, value_name = "A..B")]
    pub rows: Option<picovae::recording::Rows>,
    /// Use these columns of CSV recordings, by name or number.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Labels, one file a recording: CSV (column `label` or a single one), NPY or IDX.
    #[arg(long, value_name = "FILE")]
    pub labels: Vec<PathBuf>,
    /// Column of the label files.
    #[arg(long, value_name = "NAME", requires = "labels")]
    pub label_column: Option<String>,
}

impl RecordingArgs {
    /// Reads recordings with these settings.
    pub fn load(&self, data: &[PathBuf]) -> miette::Result<Vec<crate::args::Loaded>> {
        if data.is_empty() {
            return Ok(Vec::new());
        }
        crate::args::DataArgs {
            data: data.to_vec(),
            rows: self.rows,
            columns: self.columns.clone(),
            labels: self.labels.clone(),
            label_column: self.label_column.clone(),
        }
        .load()
    }
}
