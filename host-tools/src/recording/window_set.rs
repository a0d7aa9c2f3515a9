//! Windows gathered from several recordings, for training and calibration.

use super::{Clips, RecordingError, Window};
use crate::graph::Frontend;
use ndarray::Array2;

/// A selection of windows out of one or more recordings. Holds indices only.
#[derive(Debug, Clone, Default)]
pub struct WindowSet<'a> {
    sources: Vec<Clips<'a>>,
    /// (source, window) pairs.
    windows: Vec<(u32, u32)>,
}

impl<'a> WindowSet<'a> {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all windows of a recording.
    ///
    /// # Errors
    /// [`RecordingError::Format`] for more than 2^32 windows.
    pub fn add(&mut self, clips: Clips<'a>) -> Result<(), RecordingError> {
        self.add_where(clips, |_| true)
    }

    /// Adds the windows for which `keep(window index)` holds.
    ///
    /// # Errors
    /// [`RecordingError::Format`] for more than 2^32 windows.
    pub fn add_where(
        &mut self,
        clips: Clips<'a>,
        keep: impl Fn(usize) -> bool,
    ) -> Result<(), RecordingError> {
        let count = u32::try_from(clips.window_count()).map_err(|_| RecordingError::Format {
            path: clips.recording().path.clone(),
            reason: "more than 2^32 windows".into(),
        })?;
        let source = self.sources.len() as u32;
        self.sources.push(clips);
        let kept = (0..count).filter(|window| keep(*window as usize));
        self.windows.extend(kept.map(|window| (source, window)));
        Ok(())
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there is no window at all.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// The recordings the windows come from.
    pub fn sources(&self) -> &[Clips<'a>] {
        &self.sources
    }

    /// The window at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn window(&self, index: usize) -> Window<'a> {
        let (source, window) = self.windows[index];
        self.sources[source as usize].window(window as usize)
    }

    /// (source, clip) of the window at `index`: windows with equal pairs
    /// overlap or touch, and belong on the same side of any split.
    ///
    /// # Panics
    /// When `index` is not below [`Self::len`].
    pub fn group(&self, index: usize) -> (usize, usize) {
        (self.windows[index].0 as usize, self.window(index).clip)
    }

    /// Features of the given windows, `[window][input_len]`, in that order.
    ///
    /// # Panics
    /// When an index is not below [`Self::len`].
    pub fn features(&self, frontend: &Frontend, indices: &[usize]) -> Array2<f32> {
        let mut out = Array2::zeros((indices.len(), frontend.input_len()));
        for (mut row, index) in out.rows_mut().into_iter().zip(indices) {
            if let Some(row) = row.as_slice_mut() {
                frontend.features(self.window(*index).samples, row);
            }
        }
        out
    }

    /// The subset with the given indices.
    ///
    /// # Panics
    /// When an index is not below [`Self::len`].
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            sources: self.sources.clone(),
            windows: indices.iter().map(|i| self.windows[*i]).collect(),
        }
    }
}
