//! Windows gathered from several recordings, for training and calibration.

use super::{Clips, RecordingError, Window};
use crate::graph::{Extractor, Frontend};
use ndarray::Array2;
use rayon::prelude::*;

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

    /// Features of the given windows, `[window][feature_len]`, in that order.
    ///
    /// # Panics
    /// When an index is not below [`Self::len`].
    pub fn features(&self, frontend: &Frontend, indices: &[usize]) -> Array2<f32> {
        features_of(frontend, indices.len(), |row| self.window(indices[row]).samples)
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

/// Windows given to one thread at a time.
const CHUNK: usize = 16;

/// Features of `count` windows, `[window][feature_len]`: on all cores where that pays.
pub(super) fn features_of<'s>(
    frontend: &Frontend,
    count: usize,
    window: impl Fn(usize) -> &'s [f32] + Sync,
) -> Array2<f32> {
    let len = frontend.feature_len();
    let mut out = Array2::zeros((count, len));
    let Some(all) = out.as_slice_mut().filter(|_| len > 0) else { return out };
    let fill = |extractor: &mut Option<Extractor<'_>>, (chunk, rows): (usize, &mut [f32])| {
        for (row, features) in rows.chunks_mut(len).enumerate() {
            // Callers have validated the front-end: it is there.
            if let Some(extractor) = extractor {
                extractor.features(window(chunk * CHUNK + row), features);
            }
        }
    };
    let prepare = || Extractor::new(frontend).ok();
    let chunks = CHUNK * len;
    if frontend.is_plain() {
        let mut extractor = prepare();
        all.chunks_mut(chunks).enumerate().for_each(|chunk| fill(&mut extractor, chunk));
    } else {
        all.par_chunks_mut(chunks).enumerate().for_each_init(prepare, fill);
    }
    out
}
