//! Why no detector came out of normal recordings.

use crate::emit::BlobError;
use crate::graph::GraphError;
use crate::quantize::QuantizeError;
use crate::recording::RecordingError;
use crate::simulate::AssembleError;
use crate::train::TrainError;
use std::path::PathBuf;

/// Everything that can be wrong.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum FitError {
    /// A recording cannot be cut into windows.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] RecordingError),
    /// Recordings of different machines.
    #[error("{path}: {found} channels, the first recording has {expected}", path = path.display())]
    #[diagnostic(help(
        "fit recordings of the same channels together; --columns chooses those of CSV files"
    ))]
    Channels {
        /// The file.
        path: PathBuf,
        /// Its channels.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// A channel is hardly ever there.
    #[error("{path}: channel {channel} is missing in {percent:.0} % of the frames", path = path.display())]
    #[diagnostic(help("leave it out with --columns, or record it again"))]
    Missing {
        /// The file.
        path: PathBuf,
        /// The channel.
        channel: String,
        /// Share of frames without a sample.
        percent: f64,
    },
    /// Nothing moves.
    #[error("no channel moves: there is nothing to learn")]
    #[diagnostic(help("check the sensor, and that the columns are the measured ones"))]
    Constant,
    /// Too short to train, choose and calibrate on.
    #[error(
        "{frames} frames of normal operation are too few for windows of {window}: {needed} are needed"
    )]
    #[diagnostic(help(
        "record longer, or give a shorter --window; more files of the same machine may be given"
    ))]
    TooShort {
        /// Frames without gaps.
        frames: usize,
        /// Frames a window.
        window: usize,
        /// Frames needed.
        needed: usize,
    },
    /// No network of any kind fits.
    #[error("no detector fits into {flash} bytes: the smallest takes {smallest}")]
    #[diagnostic(help("give a larger --flash, a shorter --window, or fewer --columns"))]
    Flash {
        /// Bytes allowed.
        flash: usize,
        /// Bytes of the smallest candidate.
        smallest: usize,
    },
    /// Training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// Quantization.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// Blob and threshold.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Assemble(#[from] AssembleError),
}

impl From<GraphError> for FitError {
    fn from(error: GraphError) -> Self {
        Self::Train(error.into())
    }
}

impl From<BlobError> for FitError {
    fn from(error: BlobError) -> Self {
        Self::Assemble(error.into())
    }
}

impl From<picovae_core::VaeError> for FitError {
    fn from(error: picovae_core::VaeError) -> Self {
        Self::Assemble(error.into())
    }
}
