//! What a float model will need on a device, asked of the quantizer, the blob
//! writer and the core's own planner rather than estimated beside them.

use ndarray::Array2;
use picovae_core::model::wire::Calibration;
use serde::Serialize;

use crate::cost::{LayerCost, of_core};
use crate::emit::{Blob, BlobError, Calibrated, write};
use crate::graph::{ScoreKind, Vae};
use crate::quantize::{QuantizeError, QuantizeOptions, QuantizedVae, lower, observe};

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
pub(crate) fn draft(mut quantized: QuantizedVae, target: &str) -> Result<Blob, BlobError> {
    if matches!(quantized.score, ScoreKind::Mahalanobis | ScoreKind::ReconstructionProbability) {
        // What they need is fitted to real windows.
        quantized.score = ScoreKind::ReconstructionError;
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
    use crate::graph::tests::tiny;
    use crate::quantize::WeightBits;

    #[test]
    fn four_bits_need_less_flash_and_a_bigger_network_more() {
        let vae = tiny();
        let eight = QuantizeOptions::default();
        let four = QuantizeOptions { weight_bits: WeightBits::uniform(4), ..eight.clone() };
        let of_eight = needs(&vae, &eight, "cortex-m4").unwrap();
        let of_four = needs(&vae, &four, "cortex-m4").unwrap();
        assert!(of_four.blob_bytes < of_eight.blob_bytes, "{of_four:?} {of_eight:?}");
        assert!(of_four.instructions > of_eight.instructions);
        assert_eq!(needs(&vae, &eight, "portable").unwrap().instructions, None);
        assert_eq!(instructions(&vae, &eight, "cortex-m7"), of_eight.instructions);
    }
}
