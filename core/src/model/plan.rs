//! Where every activation lies in the arena.
//!
//! ```text
//! | features (int8) | head: mu, logvar (int16) | work                              |
//!                                              | low ... kernel scratch ... high   |
//! ```
//! Layers alternate: one reads at the low end and writes at the high end, the
//! next the other way round; between them lies the kernel's scratch (the
//! widened input). The encoder's first layer reads the features, its last one
//! writes the head; the decoder's first reads the int8 latent at the low end.

use super::layer::LayerView;
use crate::arena::align_up;
use crate::kernels;

/// Sizes of the arena's three parts, all multiples of 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaPlan {
    /// Bytes of the int8 features.
    pub features: usize,
    /// Bytes of the encoder's head.
    pub head: usize,
    /// Bytes of the work area.
    pub work: usize,
    /// Bytes of the whole arena.
    pub len: usize,
}

/// How one layer uses the work area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes it reads in the work area (0 for the encoder's first layer).
    pub input: usize,
    /// Bytes of kernel scratch.
    pub scratch: usize,
    /// Bytes it writes in the work area (0 for the encoder's last layer).
    pub output: usize,
}

impl Step {
    /// The step of layer `index` of an encoder (`decoder == false`) or decoder of `count` layers.
    // Inlined, so that an inference does not compute the scratch length it has no use for.
    #[inline(always)]
    pub fn new(layer: &LayerView<'_>, index: usize, count: usize, decoder: bool) -> Self {
        let reads_work = decoder || index > 0;
        let writes_work = decoder || index + 1 < count;
        Self {
            input: if reads_work { align_up(layer.input_len()) } else { 0 },
            scratch: align_up(kernels::scratch_len(layer)),
            output: if writes_work { align_up(layer.output_bytes()) } else { 0 },
        }
    }

    /// Bytes of work area the step needs.
    pub fn total(&self) -> usize {
        self.input.saturating_add(self.scratch).saturating_add(self.output)
    }
}

impl ArenaPlan {
    /// Adds a layer's step.
    pub(super) fn cover(&mut self, step: Step) {
        self.work = self.work.max(step.total());
    }

    /// Fixes the sizes that do not depend on steps, and the sum.
    pub(super) fn finish(mut self, features: usize, head_bytes: usize) -> Self {
        self.features = align_up(features);
        self.head = align_up(head_bytes);
        self.len = self.features.saturating_add(self.head).saturating_add(self.work);
        self
    }
}
