//! A model whose weights are laid out once for the host's vectors.

use core::ops::Range;

use super::VaeError;
use crate::frontend::Frontend;
use crate::kernels::Line;
use crate::kernels::batch::{lines, prepare};
use crate::model::{LayerView, Model};

/// A model with its weights as this host's kernels like them best.
#[derive(Clone, Copy, Debug)]
pub struct Prepared<'m, 'a> {
    pub(super) model: &'m Model<'a>,
    pub(super) frontend: Frontend<'a>,
    pub(super) weights: &'m [Line],
    /// Where the decoder's begin.
    pub(super) decoder: usize,
}

impl<'m, 'a> Prepared<'m, 'a> {
    /// Lines of memory that `model`'s prepared weights take; 0 where this host prepares none.
    pub fn memory_len(model: &Model<'_>) -> usize {
        layers(model, 0..model.layer_count()).map(|layer| lines(&layer)).sum()
    }

    /// Prepares the weights in `memory`, of [`memory_len`](Self::memory_len) lines.
    ///
    /// # Errors
    /// [`VaeError::ArenaTooSmall`], in bytes.
    pub fn new(model: &'m Model<'a>, memory: &'m mut [Line]) -> Result<Self, VaeError> {
        let memory = cut(memory, Self::memory_len(model))?;
        let mut rest = &mut *memory;
        for layer in layers(model, 0..model.layer_count()) {
            let (own, others) =
                rest.split_at_mut_checked(lines(&layer)).unwrap_or((&mut [], &mut []));
            prepare(&layer, own);
            rest = others;
        }
        let decoder = layers(model, 0..model.encoder_len()).map(|layer| lines(&layer)).sum();
        Ok(Self { model, frontend: model.frontend(), weights: memory, decoder })
    }

    /// The model.
    pub fn model(&self) -> &'m Model<'a> {
        self.model
    }
}

/// Some of a model's layers.
pub(super) fn layers<'a>(
    model: &Model<'a>,
    range: Range<usize>,
) -> impl Iterator<Item = LayerView<'a>> {
    range.filter_map(|index| model.layer(index))
}

/// The first `needed` lines.
pub(super) fn cut(memory: &mut [Line], needed: usize) -> Result<&mut [Line], VaeError> {
    let (line, got) = (size_of::<Line>(), memory.len());
    let too_small = VaeError::ArenaTooSmall {
        needed: needed.saturating_mul(line),
        got: got.saturating_mul(line),
    };
    memory.get_mut(..needed).ok_or(too_small)
}
