//! What a float model will need on a device, asked of the quantizer, the blob
//! writer and the core's own planner rather than estimated beside them.

use ndarray::{Array1, Array2};
use picovae_core::model::wire::Calibration;
use picovae_core::model::wire::sections::Sampling;
use serde::Serialize;

use crate::cost::{LayerCost, of_core};
use crate::emit::{Blob, BlobError, Calibrated, write};
use crate::graph::{LatentGaussian, ScoreKind, Vae};
use crate::quantize::{
    IntLatentGaussian, QuantizeError, QuantizeOptions, QuantizedVae, lower, observe,
};

/// Flash, RAM and time of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Bytes of the blob. A threshold's few bytes vary by what is calibrated.
    pub blob_bytes: usize,
    /// Bytes of the arena, as the core plans it.
    pub arena_bytes: usize,
    /// Instructions of one inference by [`crate::cost`]; `None` for a portable
    /// blob, and where an operator was not measured on the core.
    pub instructions: Option<u64>,
}

/// Why needs cannot be told.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum NeedsError {
    /// The model does not quantize.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
}

/// Quantizes on made-up features, for sizes do not depend on them, packs for
/// `target` and lets the core read the blob.
///
/// # Errors
/// [`NeedsError`].
pub fn needs(vae: &Vae, options: &QuantizeOptions, target: &str) -> Result<Needs, NeedsError> {
    let features = Array2::from_shape_fn((2, vae.input_len()), |(row, _)| row as f32);
    let ranges = observe(vae, features.view(), options)?;
    let blob = draft(lower(vae, &ranges, options)?, target)?;
    Ok(Needs {
        blob_bytes: blob.bytes().len(),
        arena_bytes: blob.model()?.arena_len(),
        instructions: instructions(vae, options, target),
    })
}

/// A blob with a usual threshold, of the size that a calibrated one will have.
///
/// What a score brings along is fitted to real windows; here stands as much of it that says nothing. Few
/// windows leave the latents' Gaussian a diagonal, and the blob smaller than this.
pub(crate) fn draft(mut quantized: QuantizedVae, target: &str) -> Result<Blob, BlobError> {
    match quantized.score {
        ScoreKind::Mahalanobis => {
            let (len, bits) = (quantized.latent.len, quantized.latent.mu_frac_bits);
            let unit = LatentGaussian {
                mean: Array1::zeros(len),
                whitening: Array2::eye(len),
                full: true,
            };
            quantized.extras.latent_gaussian = Some(IntLatentGaussian::of(&unit, bits));
        }
        ScoreKind::ReconstructionProbability => {
            // Their number takes the same room, and one is the soonest scored.
            quantized.extras.sampling = Some(Sampling { samples: 1, seed: 0 });
        }
        _ => {}
    }
    let usual =
        Calibration { windows: 1_000, min: 1 << 28, median: 1 << 29, p99: 1 << 30, max: 1 << 31 };
    write(&quantized, target, Calibrated { threshold: Some(1 << 30), summary: usual })
}

/// Instructions of one inference on `target`.
pub fn instructions(vae: &Vae, options: &QuantizeOptions, target: &str) -> Option<u64> {
    of_core(target)?.instructions(&LayerCost::of_model(vae, &options.weight_bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Frontend;
    use crate::quantize::{WeightBits, quantize_on};
    use crate::recording::{Recording, WindowSet};
    use crate::simulate::{DecisionOptions, DetectorOptions, FalseAlarms, assemble};
    use crate::train::{Architecture, Stream, random_vae, stream};

    #[test]
    fn four_bits_need_less_flash_and_a_bigger_network_more() {
        let vae = plain();
        let eight = QuantizeOptions::default();
        let four = QuantizeOptions { weight_bits: WeightBits::uniform(4), ..eight.clone() };
        let of_eight = needs(&vae, &eight, "cortex-m4").unwrap();
        let of_four = needs(&vae, &four, "cortex-m4").unwrap();
        assert!(of_four.blob_bytes < of_eight.blob_bytes, "{of_four:?} {of_eight:?}");
        assert!(of_four.instructions > of_eight.instructions);
        assert_eq!(needs(&vae, &eight, "portable").unwrap().instructions, None);
        assert_eq!(instructions(&vae, &eight, "cortex-m7"), of_eight.instructions);
    }

    fn plain() -> Vae {
        let shape = Architecture::mirrored("n", &[8], 6);
        let frontend = Frontend::identity(8, 8, 1);
        random_vae(frontend, &shape, &mut stream(1, Stream::Init)).unwrap()
    }

    /// Whatever the score: beyond the plan no detector may be, and only numbers of varying length make it smaller.
    #[test]
    fn what_a_score_brings_along_is_planned() {
        let plain = plain();
        let samples = (0..8 * 100).map(|i| (i as f32 * 0.37).sin()).collect();
        let recording = Recording::from_samples("normal", vec![100, 8, 1], samples).unwrap();
        let mut windows = WindowSet::new();
        windows.add(recording.clips(&plain.frontend).unwrap()).unwrap();
        let detector = DetectorOptions {
            target: "cortex-m4".into(),
            false_alarms: FalseAlarms::Share(0.01),
            decision: DecisionOptions::default(),
        };
        let options = QuantizeOptions::default();
        for score in [
            ScoreKind::NegativeElbo,
            ScoreKind::ReconstructionError,
            ScoreKind::Mahalanobis,
            ScoreKind::ReconstructionProbability,
        ] {
            let vae = Vae { score, ..plain.clone() };
            let planned = needs(&vae, &options, &detector.target).unwrap();
            let quantized = quantize_on(&vae, &windows, None, &options).unwrap();
            let real = assemble(quantized, &windows, &detector).unwrap().blob;
            let spare = planned.blob_bytes.checked_sub(real.bytes().len());
            assert!(spare.is_some_and(|spare| spare <= 32), "{score}: {spare:?}");
            assert_eq!(real.model().unwrap().arena_len(), planned.arena_bytes, "{score}");
            // No other score stands in for it.
            let features = windows.features(&vae.frontend, &[0, 1, 2]);
            let ranges = observe(&vae, features.view(), &options).unwrap();
            let draft = draft(lower(&vae, &ranges, &options).unwrap(), &detector.target).unwrap();
            let kinds = [draft.model().unwrap().score_kind(), real.model().unwrap().score_kind()];
            assert_eq!(kinds[0], kinds[1], "{score}");
        }
    }
}
