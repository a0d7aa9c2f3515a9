//! Features of the training windows, computed once where they fit.

use crate::graph::Frontend;
use crate::recording::WindowSet;
use ndarray::{Array2, Axis};

/// Bytes of features kept at most; beyond, every batch runs the front-end again.
const MOST_BYTES: usize = 1 << 30;

/// The features of a set of windows.
pub(super) struct Features<'d, 's> {
    data: &'d WindowSet<'s>,
    frontend: &'d Frontend,
    kept: Option<Array2<f32>>,
}

impl<'d, 's> Features<'d, 's> {
    /// Runs the front-end over all windows, where it costs more than a scaling
    /// and the result fits memory.
    pub(super) fn new(data: &'d WindowSet<'s>, frontend: &'d Frontend) -> Self {
        let bytes = frontend.feature_len().saturating_mul(4 * data.len());
        let keep = !frontend.is_plain() && bytes <= MOST_BYTES;
        let kept = keep.then(|| data.features(frontend, &(0..data.len()).collect::<Vec<_>>()));
        Self { data, frontend, kept }
    }

    /// Features of the given windows, `[window][feature_len]`.
    pub(super) fn of(&self, indices: &[usize]) -> Array2<f32> {
        match &self.kept {
            Some(all) => all.select(Axis(0), indices),
            None => self.data.features(self.frontend, indices),
        }
    }
}
