//! A model given on the command line: a float `.safetensors` or a `.pvae` blob.

use std::path::{Path, PathBuf};

use clap::Args;
use miette::IntoDiagnostic;
use picovae::emit::Blob;
use picovae::graph::{Activation, Frontend, LikelihoodKind, ScoreKind, Vae};
use picovae::import::{ForeignOptions, read_safetensors};

/// What a foreign state dict does not say; ignored for files of this tool's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Foreign state dicts (no picovae metadata)")]
pub struct ForeignArgs {
    /// Activation after every hidden layer.
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,
    /// What the decoder emits: bernoulli (a sigmoid follows) or gaussian.
    #[arg(long, value_name = "NAME", default_value = "bernoulli")]
    likelihood: LikelihoodKind,
    /// Frames a window; needed for gaussian.
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
    /// Every sample is divided by this: one number, or one a channel [default: 255 for bernoulli].
    #[arg(long, value_name = "X,…", value_delimiter = ',')]
    scale: Vec<f32>,
    /// Real value of one count of the device's i16 samples.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    lsb: f32,
    /// Default score.
    #[arg(long, value_name = "NAME")]
    score: Option<ScoreKind>,
}

impl ForeignArgs {
    /// Options of the importer.
    pub fn options(&self) -> miette::Result<ForeignOptions> {
        let frontend = match self.window {
            None => None,
            Some(window) => Some(self.frontend(window)?),
        };
        Ok(ForeignOptions {
            activation: self.activation,
            likelihood: self.likelihood,
            frontend,
            score: self.score,
            name: None,
        })
    }

    /// The score asked for, if any.
    pub fn score(&self) -> Option<ScoreKind> {
        self.score
    }

    fn frontend(&self, window: usize) -> miette::Result<Frontend> {
        let default_scale =
            if self.likelihood == LikelihoodKind::Bernoulli { 255.0 } else { 1.0 };
        let per_channel = |what: &str, given: &[f32], default: f32| match given {
            [] => Ok(vec![default; self.channels]),
            [one] => Ok(vec![*one; self.channels]),
            many if many.len() == self.channels => Ok(many.to_vec()),
            many => Err(miette::miette!(
                help = "give one number for all channels, or one for each",
                "--{what} has {} numbers for {} channels",
                many.len(),
                self.channels
            )),
        };
        Ok(Frontend {
            remove_mean: self.remove_mean,
            offset: per_channel("offset", &self.offset, 0.0)?,
            scale: per_channel("scale", &self.scale, default_scale)?,
            input_lsb: self.lsb,
            ..Frontend::identity(window, self.hop.unwrap_or(window), self.channels)
        })
    }
}

/// A model file, read.
pub enum ModelFile {
    /// Float weights.
    Float(Box<Vae>),
    /// A blob, not parsed yet.
    Blob(Blob),
}

/// Reads a model; the content decides, not the name.
pub fn open(path: &Path, foreign: &ForeignArgs) -> miette::Result<ModelFile> {
    let mut start = [0u8; 4];
    let is_blob = {
        use std::io::Read;
        let mut file = std::fs::File::open(path).into_diagnostic().map_err(|error| {
            miette::miette!(help = "check the path and its permissions", "{}: {error}", path.display())
        })?;
        file.read_exact(&mut start).is_ok() && start == picovae_core::model::wire::MAGIC
    };
    let named_blob = path.extension().is_some_and(|extension| extension == "pvae");
    if is_blob || named_blob {
        // A damaged blob is told apart by its name, and refused by the core.
        return Ok(ModelFile::Blob(Blob::read(path)?));
    }
    Ok(ModelFile::Float(Box::new(open_float(path, foreign)?)))
}

/// Reads float weights.
pub fn open_float(path: &Path, foreign: &ForeignArgs) -> miette::Result<Vae> {
    Ok(read_safetensors(path, &foreign.options()?)?)
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
    #[arg(long, value_name = "FILE", num_args = 1..)]
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
