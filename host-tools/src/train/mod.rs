//! Training: from normal windows to a [`Vae`] in f32.
//!
//! [`train`] makes a network of the asked-for shape and fits it; [`fit`]
//! continues from any [`Vae`], and [`finetune`] does so in the device's integers or with a teacher. Gradients are written by hand for the
//! graph's closed set of operators (`gradient/`); everything random is drawn from
//! one ChaCha seed, so that the same command gives the same weights.

mod checkpoint;
mod config;
mod convolution;
mod course;
mod error;
mod features;
mod finetune;
mod fit;
mod gradient;
mod init;
mod learned_scales;
mod normalize;
mod precision;
mod qat;
mod sampler;
mod split;
mod starts;
mod teacher;
mod validate;

pub use checkpoint::{Checkpoint, CheckpointError, Settings, Watch};
pub use config::{Architecture, FitConfig, Sigma, TrainConfig};
pub use convolution::{Convolution, Image};
pub use error::TrainError;
pub use finetune::{FineTuneConfig, FineTuned, Teacher};
pub use fit::{EpochRecord, TrainReport, finetune, fit};
pub use init::random_vae;
pub use normalize::{Normalize, fit_frontend, input_lsb};
pub use precision::{known_precision, residual_precision};
pub use teacher::TeacherConfig;

pub(crate) use precision::with_residual_precision;
pub(crate) use starts::fit_weights;

pub(crate) use gradient::{Batch as GradientBatch, Float, Gradients, LossConfig, gradients};

use crate::graph::{Frontend, Vae};
use crate::recording::WindowSet;
use init::redrawn;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Trains a VAE from random weights on normal windows.
///
/// `frontend` gives window, hop and channels; its normalization and LSB are
/// fitted to the data first ([`fit_frontend`]). A Gaussian model leaves with
/// the precision of its residuals.
///
/// # Errors
/// [`TrainError`]: no windows, a setting out of range, convolutions that do
/// not fit their input, windows of another length than the front-end's, features
/// outside [0, 1] under a Bernoulli likelihood, divergence (of every beginning).
pub fn train<'w>(
    data: &WindowSet<'_>,
    frontend: &Frontend,
    config: &TrainConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<(Vae, TrainReport), TrainError> {
    config.validate()?;
    let frontend = fit_frontend(data, frontend, config.normalize)?;
    let mut rng = stream(config.fit.seed, Stream::Init);
    let start = random_vae(frontend, &config.architecture, &mut rng)?;
    let others = (1..config.starts).map(|_| redrawn(&start, &mut rng));
    let (vae, report) = fit_weights(&start, others, data, &config.fit, watch.into())?;
    Ok((with_residual_precision(vae, data)?, report))
}

/// Indices of the windows to train on and of those held out, as [`fit`] splits them:
/// overlapping windows never lie on both sides.
pub fn hold_out(data: &WindowSet<'_>, fraction: f32, seed: u64) -> (Vec<usize>, Vec<usize>) {
    split::split(data, fraction, &mut stream(seed, Stream::Split))
}

/// A network of the given shape from random weights that sees what `teacher` sees.
///
/// # Errors
/// [`TrainError`]: an empty layer, convolutions that do not fit their input.
pub fn student(teacher: &Vae, shape: &Architecture, seed: u64) -> Result<Vae, TrainError> {
    shape.validate()?;
    random_vae(teacher.frontend.clone(), shape, &mut stream(seed, Stream::Init))
}

/// What each stream of random numbers is for. Separate streams: turning one
/// option on does not change the draws of another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Split = 1,
    Init = 2,
    Shuffle = 3,
    Latent = 4,
    Corruption = 5,
    Validation = 6,
    Teacher = 7,
}

pub(crate) fn stream(seed: u64, purpose: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    rng
}

#[cfg(test)]
mod finetune_tests;
#[cfg(test)]
mod tests;
