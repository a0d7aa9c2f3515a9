//! What can go wrong while training.

use super::{CheckpointError, Convolution, Image};
use crate::graph::{GraphError, Shape};
use crate::quantize::QuantizeError;

/// Why no model came out of the training.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum TrainError {
    /// No windows, or too few to hold some out.
    #[error("{windows} windows are too few to train on")]
    #[diagnostic(help(
        "check --rows, --keep-label and --window, or give more recordings: a part is held out (--validation)"
    ))]
    TooFewWindows {
        /// Windows there are.
        windows: usize,
    },
    /// Windows of another network.
    #[error("the windows have {found} samples, the network reads {expected}")]
    #[diagnostic(help(
        "give recordings of what the network was made for, or a network for these: see `picovae inspect`"
    ))]
    WindowLength {
        /// Samples of a window, of all channels.
        found: usize,
        /// Samples the network reads.
        expected: usize,
    },
    /// A setting is out of range.
    #[error("{setting} is {value}, it must be {must}")]
    #[diagnostic(help("the command's `--help` lists ranges and defaults"))]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// A stride or kernel longer than what it moves over.
    #[error(
        "convolution {convolution}: its {what} of {size} is longer than the {shape} it moves over"
    )]
    #[diagnostic(help("use fewer or smaller strides, or a longer window"))]
    Convolution {
        /// The convolution as asked for.
        convolution: Convolution,
        /// Its input (its output, of a transposed one).
        shape: Shape,
        /// `stride` or `kernel`.
        what: &'static str,
        /// How long that is.
        size: usize,
    },
    /// A decoder that does not end in the features.
    #[error(
        "the decoder's last convolution {convolution} writes {found} channels, the features have {expected}"
    )]
    #[diagnostic(help("end --decoder-conv with as many channels as a frame or pixel has"))]
    DecoderChannels {
        /// The convolution as asked for.
        convolution: Convolution,
        /// Channels it writes.
        found: usize,
        /// Channels of the features.
        expected: usize,
    },
    /// Features that are no image of the size asked for.
    #[error("{features} features are no image of {image} pixels")]
    #[diagnostic(help("rows times columns times channels must give the features of a window"))]
    Image {
        /// The size asked for.
        image: Image,
        /// Features a window.
        features: usize,
    },
    /// Features a Bernoulli likelihood cannot describe.
    #[error("a Bernoulli likelihood needs features in [0, 1], these go from {min} to {max}")]
    #[diagnostic(help(
        "use --likelihood gaussian for sensor data, or --normalize unit255 for u8 images"
    ))]
    FeaturesOutOfUnit {
        /// Smallest feature.
        min: f32,
        /// Largest feature.
        max: f32,
    },
    /// The loss is no longer a number.
    #[error("training diverged in epoch {epoch}: the loss is {loss}")]
    #[diagnostic(help("lower --lr, or check the data for extreme values"))]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
    /// A posterior of another size cannot be matched.
    #[error("the teacher's latent has {teacher} dimensions, the student's {student}")]
    #[diagnostic(help("give the student as many, or match no posterior: --posterior 0"))]
    TeacherLatent {
        /// Dimensions of the teacher's latent.
        teacher: usize,
        /// Dimensions of the student's.
        student: usize,
    },
    /// Teacher and student see different things.
    #[error("teacher and student differ in front-end or likelihood")]
    #[diagnostic(help(
        "train the student on the teacher's features: same window, scaling, likelihood"
    ))]
    TeacherFeatures,
    /// A plain autoencoder has no prior.
    #[error("the teacher is a plain autoencoder: there is no prior to draw windows from")]
    #[diagnostic(help("use --prior 0"))]
    TeacherPrior,
    /// The checkpoint.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Weights in training that cannot be lowered to integers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// The model to start from, or the trained one, does not make sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
}
