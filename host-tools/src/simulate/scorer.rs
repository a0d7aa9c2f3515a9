//! Many windows at a time on one thread: the bits of a [`Simulator`](super::Simulator), several times as fast.

use picovae_core::kernels::Line;
use picovae_core::trace::Trace;
use picovae_core::{Batch, Model, Prepared, Score, VaeError};

use super::counts::Counts;
use super::frontend_of;

/// Windows that run through the layers together: their activations stay in a core's caches.
pub const TOGETHER: usize = 32;

/// Memory for a [`Scorer`]'s prepared weights.
pub struct ScorerWeights(Vec<Line>);

impl ScorerWeights {
    /// Memory for `model`.
    pub fn new(model: &Model<'_>) -> Self {
        Self(vec![Line::default(); Prepared::memory_len(model)])
    }
}

/// Memory for the activations of [`TOGETHER`] windows.
pub struct ScorerMemory(Vec<Line>);

impl ScorerMemory {
    /// Memory for `model`.
    pub fn new(model: &Model<'_>) -> Self {
        Self(vec![Line::default(); Batch::memory_len(model, TOGETHER)])
    }
}

/// A model ready to score many windows; threads share it.
pub struct Scorer<'m, 'a> {
    prepared: Prepared<'m, 'a>,
    counts: Counts,
}

/// Up to [`TOGETHER`] windows.
pub struct ScorerBatch<'s, 'm, 'a> {
    counts: &'s Counts,
    batch: Batch<'s, 'm, 'a>,
    raw: Vec<i16>,
    scores: Vec<Score>,
    saturated: u64,
}

impl<'m, 'a> Scorer<'m, 'a> {
    /// Prepares the weights of `model`.
    ///
    /// # Errors
    /// [`VaeError`] where the memory was made for a smaller model.
    pub fn new(model: &'m Model<'a>, weights: &'m mut ScorerWeights) -> Result<Self, VaeError> {
        let prepared = Prepared::new(model, &mut weights.0)?;
        Ok(Self { prepared, counts: Counts::new(&frontend_of(model)) })
    }

    /// A batch for one thread.
    ///
    /// # Errors
    /// [`VaeError`] where the memory was made for a smaller model.
    pub fn batch<'s>(
        &'s self,
        memory: &'s mut ScorerMemory,
    ) -> Result<ScorerBatch<'s, 'm, 'a>, VaeError> {
        let batch = Batch::new(&self.prepared, &mut memory.0, TOGETHER)?;
        Ok(ScorerBatch {
            counts: &self.counts,
            batch,
            raw: Vec::new(),
            scores: Vec::new(),
            saturated: 0,
        })
    }

    /// Runs windows of real samples in order and shows `visit` each batch, decoded at its means, the scores of the
    /// windows in it, and the place of its first among all of them.
    /// Returns how many samples did not fit the device's i16 and were saturated.
    ///
    /// # Errors
    /// [`VaeError::InputLength`] where a window does not fit the model.
    pub fn run<'w>(
        &self,
        windows: impl IntoIterator<Item = &'w [f32]>,
        mut visit: impl FnMut(&mut Batch<'_, 'm, 'a>, &[Score], usize),
    ) -> Result<u64, VaeError> {
        let mut memory = ScorerMemory::new(self.prepared.model());
        let mut batch = self.batch(&mut memory)?;
        let mut windows = windows.into_iter();
        let mut first = 0;
        loop {
            match batch.fill(&mut windows)? {
                0 => return Ok(batch.saturated),
                count => {
                    visit(&mut batch.batch, &batch.scores, first);
                    first += count;
                }
            }
        }
    }
}

impl<'s, 'm, 'a> ScorerBatch<'s, 'm, 'a> {
    /// Takes up to [`TOGETHER`] windows of real samples, encodes them, decodes them at their means
    /// and scores them. Returns how many it took.
    ///
    /// # Errors
    /// [`VaeError::InputLength`] where a window does not fit the model.
    pub fn fill<'w>(
        &mut self,
        windows: impl IntoIterator<Item = &'w [f32]>,
    ) -> Result<usize, VaeError> {
        self.raw.clear();
        let mut count = 0;
        for samples in windows.into_iter().take(TOGETHER) {
            let start = self.raw.len();
            self.saturated += self.counts.append(samples, &mut self.raw);
            self.batch.load(count, &self.raw[start..])?;
            count += 1;
        }
        self.batch.encode(count);
        self.batch.decode(count);
        self.scores.resize(count, Score(0));
        self.batch.scores(&mut self.scores);
        Ok(count)
    }

    /// The scores of the windows taken last.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// Shows `trace` the windows taken last, as they would have run one after the other.
    pub fn replay(&mut self, trace: &mut impl Trace) {
        for (at, &score) in self.scores.iter().enumerate() {
            self.batch.replay(at, score, trace);
        }
    }

    /// The device's raw counts of the windows taken last, one behind the other.
    pub fn raw(&self) -> &[i16] {
        &self.raw
    }

    /// Samples so far that did not fit the device's i16 and were saturated.
    pub fn saturated(&self) -> u64 {
        self.saturated
    }
}
