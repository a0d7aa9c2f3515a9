//! From integers to a detector: what is fitted to the core's own view of normal windows.

use ndarray::Array2;
use picovae_core::model::wire::sections::Sampling;
use picovae_core::trace::NoTrace;
use picovae_core::{Model, VaeError};
use rayon::prelude::*;

use super::{
    CalibrateError, DecisionOptions, FalseAlarms, Simulator, SimulatorArena, calibrate_set,
};
use crate::emit::{Blob, BlobError, Calibrated, write};
use crate::graph::{LatentGaussian, SAMPLES, ScoreKind};
use crate::quantize::{IntLatentGaussian, QuantizedVae};
use crate::recording::WindowSet;
use crate::simulate::normal_features::normal_features;
use crate::threshold::TailThreshold;

/// What a detector is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorOptions {
    /// Core the weights are packed for.
    pub target: String,
    /// What the threshold is to leave of false alarms.
    pub false_alarms: FalseAlarms,
    /// From scores to an alarm.
    pub decision: DecisionOptions,
}

/// A finished detector.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// The blob.
    pub blob: Blob,
    /// Threshold and summary.
    pub calibrated: Calibrated,
    /// The Gaussian of the latents, where the score asked for one.
    pub latent_gaussian: Option<LatentGaussian>,
    /// How well the threshold is known, where it came from a tail.
    pub tail: Option<TailThreshold>,
}

/// Why a detector cannot be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum AssembleError {
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// The calibration.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Calibrate(#[from] CalibrateError),
}

impl From<VaeError> for AssembleError {
    fn from(error: VaeError) -> Self {
        Self::Calibrate(error.into())
    }
}

/// Fits what the score needs, calibrates, and writes the blob.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(
    quantized: QuantizedVae,
    normal: &WindowSet<'_>,
    options: &DetectorOptions,
) -> Result<Assembled, AssembleError> {
    assemble_apart(quantized, normal, normal, options)
}

/// [`assemble`], with the threshold from windows that nothing else was fitted to.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble_apart(
    quantized: QuantizedVae,
    normal: &WindowSet<'_>,
    held_back: &WindowSet<'_>,
    options: &DetectorOptions,
) -> Result<Assembled, AssembleError> {
    assemble_further(quantized, normal, held_back, &[], options)
}

/// [`assemble_apart`], with [further scores](calibrate_set) behind the threshold.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble_further(
    mut quantized: QuantizedVae,
    normal: &WindowSet<'_>,
    held_back: &WindowSet<'_>,
    further: &[Vec<f64>],
    options: &DetectorOptions,
) -> Result<Assembled, AssembleError> {
    let target = &options.target;
    let mut latent_gaussian = None;
    match quantized.score {
        ScoreKind::ReconstructionProbability => {
            quantized.extras.sampling = Some(Sampling { samples: SAMPLES, seed: 0 });
        }
        ScoreKind::Mahalanobis => {
            // The core's latents first, by a blob that has another score.
            let plain = QuantizedVae { score: ScoreKind::ReconstructionError, ..quantized.clone() };
            let draft = write(&plain, target, Calibrated::default())?;
            let mu = latents(&draft.model()?, normal)?;
            let bits = quantized.latent.mu_frac_bits;
            let fitted = LatentGaussian::fit(mu.view(), true, 1.0 / f64::from(1u32 << bits))
                .ok_or(CalibrateError::NoWindows)?;
            quantized.extras.latent_gaussian = Some(IntLatentGaussian::of(&fitted, bits));
            latent_gaussian = Some(fitted);
        }
        _ => {}
    }
    let draft = write(&quantized, target, Calibrated::default())?;
    let frontend = &quantized.frontend.float;
    let voting = options.decision.voting(frontend.window_len, frontend.hop);
    let (calibrated, tail) =
        calibrate_set(&draft.model()?, held_back, options.false_alarms, voting, further)?;
    let raw = |window: &[f32]| {
        let channels = frontend.channels;
        window.iter().enumerate().map(|(at, &x)| frontend.raw(x, at % channels)).collect()
    };
    if options.decision.renormalize {
        quantized.extras.normal_features = Some(normal_features(&draft.model()?, normal, raw));
    }
    let decision = options.decision.section(&calibrated, normal, frontend.channels, raw);
    quantized.extras.decision = decision;
    let blob = write(&quantized, target, calibrated)?;
    Ok(Assembled { blob, calibrated, latent_gaussian, tail })
}

/// Windows given to one thread at a time.
const CHUNK: usize = 64;

/// The core's latent means of every window, `[window][latent]`.
///
/// # Errors
/// [`VaeError`] where the windows do not fit the model.
pub fn latents(model: &Model<'_>, set: &WindowSet<'_>) -> Result<Array2<f64>, VaeError> {
    let len = model.latent_len();
    let unit = 1.0 / f64::from(1u32 << model.description().latent.mu_frac_bits);
    let mut out = Array2::zeros((set.len(), len));
    let Some(rows) = out.as_slice_mut() else { return Ok(out) };
    rows.par_chunks_mut(CHUNK * len).enumerate().try_for_each(|(chunk, rows)| {
        let mut arena = SimulatorArena::new(model);
        let mut simulator = Simulator::new(model, &mut arena)?;
        for (row, out) in rows.chunks_mut(len).enumerate() {
            simulator.score(set.window(chunk * CHUNK + row).samples, &mut NoTrace)?;
            let mu = simulator.vae().mu();
            out.iter_mut().zip(mu).for_each(|(out, &mu)| *out = f64::from(mu) * unit);
        }
        Ok(())
    })?;
    Ok(out)
}
