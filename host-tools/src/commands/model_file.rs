//! A model given on the command line: float weights (`.safetensors`, `.pt`, `.keras`, `.h5`) or a `.pvae` blob.

use std::path::{Path, PathBuf};

use clap::{Arg, Args};
use miette::IntoDiagnostic;
use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::{Activation, Frontend, LikelihoodKind, ScoreKind, Vae};
use picovae::import::{ForeignOptions, Imported, Int8Model, ReadOptions, read};
use picovae::recording::{Recording, WindowSet};
use picovae::train::input_lsb;

/// What the files of other tools do not say; ignored for files of this tool's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Files of other tools")]
pub struct ForeignArgs {
    /// Activation after every hidden layer.
    #[arg(long, value_name = "NAME", default_value = "relu")]
    activation: Activation,
    /// What the decoder emits: bernoulli (a sigmoid follows) or gaussian [default: bernoulli;
    /// of graphs, by whether they end in a sigmoid].
    #[arg(long, value_name = "NAME")]
    likelihood: Option<LikelihoodKind>,
    /// Layer that is the latent of a plain autoencoder [default: the narrowest].
    #[arg(long, visible_alias = "latent", value_name = "LAYER")]
    latent_layer: Option<String>,
    /// Frames a window [default: the model's inputs by --channels].
    #[arg(long, value_name = "FRAMES")]
    window: Option<usize>,
    /// Frames from window to window [default: one window].
    #[arg(long, value_name = "FRAMES")]
    hop: Option<usize>,
    /// Values a frame [default: what the file's input has; of state dicts 1].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
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

/// What [`ForeignArgs`] calls its latent, for verbs whose `--latent` is a size: it is `--latent-layer` there alone.
pub const LATENT_LAYER: &str = "latent_layer";

/// An option by its name alone.
pub fn without_alias(option: Arg) -> Arg {
    option.visible_alias(None::<&'static str>)
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
            latent: self.latent_layer.clone(),
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
        let largest = recordings.iter().flat_map(|r| &r.samples).fold(0f32, |max, x| max.max(*x));
        let bernoulli = vae.likelihood.kind() == LikelihoodKind::Bernoulli;
        let scale = match (&vae.frontend.scale[..], recordings.is_empty()) {
            // Nothing to go by: as the importer took them.
            ([scale], true) => *scale,
            _ if bernoulli && largest > 1.0 => 255.0,
            _ => 1.0,
        };
        let frontend = self.frontend(inputs, vae.frontend.channels, scale)?;
        let channels = frontend.channels;
        vae.frontend = frontend;
        match self.lsb {
            Some(lsb) => vae.frontend.input_lsb = vec![lsb],
            None if recordings.is_empty() => {}
            None => {
                let mut set = WindowSet::new();
                for recording in recordings {
                    set.add(recording.clips(&vae.frontend)?)?;
                }
                vae.frontend.input_lsb = input_lsb(&set, channels);
            }
        }
        vae.validate()?;
        Ok(())
    }

    /// The same for a model in int8 already, whose features are fixed.
    pub fn adapt_int8(&self, model: Int8Model) -> miette::Result<Int8Model> {
        let inputs: usize = model.input_shape.iter().product();
        let channels = match model.input_shape[..] {
            [_, channels] => channels,
            _ => 1,
        };
        let frontend = self.frontend(inputs, channels, 1.0)?;
        Ok(model.with_frontend(frontend, self.lsb)?)
    }

    fn frontend(&self, inputs: usize, channels: usize, scale: f32) -> miette::Result<Frontend> {
        let channels = self.channels.unwrap_or(channels);
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
        Ok(Frontend {
            remove_mean: self.remove_mean,
            offset: per_channel("offset", &self.offset, 0.0, channels)?,
            scale: per_channel("scale", &self.scale, scale, channels)?,
            ..Frontend::identity(window, self.hop.unwrap_or(window), channels)
        })
    }

    /// Whether the options say what a count of the device is worth.
    pub fn has_lsb(&self) -> bool {
        self.lsb.is_some()
    }
}

fn per_channel(
    what: &str,
    given: &[f32],
    default: f32,
    channels: usize,
) -> miette::Result<Vec<f32>> {
    match given {
        [] => Ok(vec![default; channels]),
        [one] => Ok(vec![*one; channels]),
        many if many.len() == channels => Ok(many.to_vec()),
        many => Err(miette::miette!(
            help = "give one number for all channels, or one for each",
            "--{what} has {} numbers for {channels} channels",
            many.len()
        )),
    }
}

/// A model file, read.
pub enum ModelFile {
    /// Float weights, and whether they came without a front-end.
    Float {
        /// The model.
        vae: Box<Vae>,
        /// Whether [`ForeignArgs::adapt`] must give it a front-end.
        foreign: bool,
    },
    /// A blob, not parsed yet; also what an int8 model of another tool becomes.
    Blob(Blob),
}

/// Reads a model; the content decides, not the name.
pub fn open(path: &Path, foreign: &ForeignArgs) -> miette::Result<ModelFile> {
    if let Some(blob) = blob_file(path)? {
        return Ok(ModelFile::Blob(blob));
    }
    Ok(match open_source(path, foreign)?.0 {
        Source::Float { vae, foreign } => ModelFile::Float { vae, foreign },
        Source::Int8(model) => ModelFile::Blob(uncalibrated(&model, "portable")?),
    })
}

/// A model that is no blob yet.
pub enum Source {
    /// As [`ModelFile::Float`].
    Float {
        /// The model.
        vae: Box<Vae>,
        /// Whether it needs a front-end.
        foreign: bool,
    },
    /// In int8 already, with its front-end.
    Int8(Box<Int8Model>),
}

/// Reads a model file that is no blob; what was decided for its user is said
/// on standard error, and returned.
pub fn open_source(path: &Path, foreign: &ForeignArgs) -> miette::Result<(Source, Vec<String>)> {
    let options = ReadOptions { foreign: foreign.options(), ..ReadOptions::default() };
    let say = |notes: &[String]| notes.iter().for_each(|note| eprintln!("note: {note}"));
    match read(path, &options)? {
        Imported::Float { vae, foreign, notes } => {
            say(&notes);
            Ok((Source::Float { vae, foreign }, notes))
        }
        Imported::Int8(model) => {
            say(&model.notes);
            let notes = model.notes.clone();
            Ok((Source::Int8(Box::new(foreign.adapt_int8(*model)?)), notes))
        }
        _ => Err(miette::miette!("{}: not a kind of model that commands take", path.display())),
    }
}

/// Reads float weights; the flag says whether they came without a front-end.
pub fn open_float(path: &Path, foreign: &ForeignArgs) -> miette::Result<(Vae, bool)> {
    match open_source(path, foreign)?.0 {
        Source::Float { vae, foreign } => Ok((*vae, foreign)),
        Source::Int8(_) => Err(miette::miette!(
            help = "give the float model it was made of",
            "{}: in int8 already, which this verb cannot change",
            path.display()
        )),
    }
}

/// The blob of an int8 model as it is, without a threshold.
pub fn uncalibrated(model: &Int8Model, target: &str) -> miette::Result<Blob> {
    Ok(write(&model.vae, target, Calibrated::default())?)
}

/// Reads a model that is to run as the device does: a blob, or an int8 model.
pub fn open_blob(path: &Path, foreign: &ForeignArgs) -> miette::Result<Blob> {
    match open(path, foreign)? {
        ModelFile::Blob(blob) => Ok(blob),
        ModelFile::Float { .. } => Err(miette::miette!(
            help = "quantize it first: picovae quantize MODEL --calibrate NORMAL -o OUT.pvae",
            "{}: float weights; the core runs integers",
            path.display()
        )),
    }
}

/// Reads a blob; `None` for a file that is none.
fn blob_file(path: &Path) -> miette::Result<Option<Blob>> {
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
    // A damaged blob is told apart by its name, and refused by the core.
    let named_blob = path.extension().is_some_and(|extension| extension == "pvae");
    if is_blob || named_blob { Ok(Some(Blob::read(path)?)) } else { Ok(None) }
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
