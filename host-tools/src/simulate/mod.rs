//! Recordings through the core, bit for bit as the board would score them.

mod assemble;
mod calibrate;
mod counts;
mod decide;
mod events;
mod grid;
mod means;
mod normal_features;
mod plot;
mod scorer;

pub use assemble::{
    AssembleError, Assembled, DetectorOptions, assemble, assemble_apart, assemble_further, latents,
};
pub use calibrate::{CalibrateError, FalseAlarms, by_clip, calibrate_set};
pub use decide::DecisionOptions;
pub use events::{
    StreamError, StreamEvent, StreamOptions, events_of_pieces, state_name, stream, stream_events,
    stream_pieces, stream_traced,
};
pub use grid::{GridError, image_grid, trace_grid};
pub use means::mean_scores;
pub(crate) use plot::register_font;
pub use plot::{PlotError, plot};
pub use scorer::{Scorer, ScorerBatch, ScorerMemory, ScorerWeights, TOGETHER};

use picovae_core::fixed::gaussian::Gaussian;
use picovae_core::trace::Trace;
use picovae_core::{Model, Score, ScoreKind, Vae, VaeError};
use rayon::prelude::*;

use crate::graph::Frontend;
use crate::recording::{Clips, WindowSet};
use counts::Counts;

/// One scored window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoredWindow {
    /// Index among the windows scored.
    pub index: usize,
    /// Clip of the recording.
    pub clip: usize,
    /// First frame within the clip.
    pub start: usize,
    /// The score, in the model's Q format.
    pub score: Score,
}

/// The scored windows of a recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// One a window, in order.
    pub windows: Vec<ScoredWindow>,
    /// Mean negative ELBO and its parts.
    pub means: MeanScores,
    /// Samples that did not fit the device's i16 and were saturated; those of
    /// overlapping windows count in each.
    pub saturated: u64,
}

/// Mean scores of many windows, nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MeanScores {
    /// Negative log likelihood at a sample of the posterior.
    pub nll: f64,
    /// KL divergence.
    pub kl_divergence: f64,
    /// Mean squared error at the latent's mean.
    pub reconstruction_error: f64,
}

impl MeanScores {
    /// `nll + kl_divergence`.
    pub fn negative_elbo(&self) -> f64 {
        self.nll + self.kl_divergence
    }

    /// The mean over `count` windows, from sums over parts of them.
    pub(crate) fn mean(sums: &[Self], count: usize) -> Self {
        let mean =
            |part: fn(&Self) -> f64| sums.iter().map(part).sum::<f64>() / count.max(1) as f64;
        Self {
            nll: mean(|s| s.nll),
            kl_divergence: mean(|s| s.kl_divergence),
            reconstruction_error: mean(|s| s.reconstruction_error),
        }
    }
}

/// A score as a real number.
pub fn real_score(score: Score, kind: ScoreKind) -> f64 {
    score.0 as f64 / (1u64 << kind.frac_bits()) as f64
}

/// The front-end of a blob as far as cutting windows and converting samples
/// needs it; features come from the core.
pub fn frontend_of(model: &Model<'_>) -> Frontend {
    let wire = &model.description().frontend;
    Frontend {
        remove_mean: wire.remove_mean,
        input_lsb: model.lsb_bits().iter().map(|bits| f32::from_bits(*bits)).collect(),
        ..Frontend::identity(wire.window_len.into(), wire.hop.into(), wire.channels.into())
    }
}

/// Runs windows of a recording on the core, one after the other.
pub struct Simulator<'m, 'a> {
    vae: Vae<'m, 'a>,
    counts: Counts,
    window: Vec<i16>,
    /// Samples so far that did not fit the device's i16 and were saturated.
    pub saturated: u64,
}

/// Memory for one [`Simulator`], 16-byte aligned.
pub struct SimulatorArena(Vec<u128>);

impl SimulatorArena {
    /// An arena for `model`.
    pub fn new(model: &Model<'_>) -> Self {
        Self(vec![0; model.arena_len().div_ceil(16)])
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl<'m, 'a> Simulator<'m, 'a> {
    /// Joins a model and its arena.
    ///
    /// # Errors
    /// [`VaeError`] where the arena was made for a smaller model.
    pub fn new(model: &'m Model<'a>, arena: &'m mut SimulatorArena) -> Result<Self, VaeError> {
        Ok(Self {
            vae: Vae::new(model, arena.bytes())?,
            counts: Counts::new(&frontend_of(model)),
            window: Vec::new(),
            saturated: 0,
        })
    }

    /// The device's raw counts of a window of real samples.
    pub fn raw(&mut self, samples: &[f32]) -> &[i16] {
        self.window.clear();
        self.saturated += self.counts.append(samples, &mut self.window);
        &self.window
    }

    /// Scores a window.
    ///
    /// # Errors
    /// [`VaeError::InputLength`].
    pub fn score(&mut self, samples: &[f32], trace: &mut impl Trace) -> Result<Score, VaeError> {
        self.raw(samples);
        self.score_raw(trace)
    }

    /// Scores the window that [`raw`](Self::raw) converted last.
    ///
    /// # Errors
    /// [`VaeError::InputLength`].
    pub fn score_raw(&mut self, trace: &mut impl Trace) -> Result<Score, VaeError> {
        self.vae.score_window_traced(&self.window, trace)
    }

    /// The engine, with the last window's latent and reconstruction.
    pub fn vae(&mut self) -> &mut Vae<'m, 'a> {
        &mut self.vae
    }
}

/// Windows given to one thread at a time.
const CHUNK: usize = 64;

/// Scores every window of a recording, on all cores. The likelihood of the mean
/// negative ELBO is taken at one seeded sample of the posterior a window, as the
/// ELBO is defined.
///
/// # Errors
/// [`VaeError`] where the windows do not fit the model.
pub fn score_all(model: &Model<'_>, clips: &Clips<'_>, seed: u32) -> Result<Scored, VaeError> {
    let mut weights = ScorerWeights::new(model);
    let scorer = Scorer::new(model, &mut weights)?;
    let batches: Vec<_> = clips.batches(CHUNK).collect();
    let parts: Result<Vec<Scored>, VaeError> = batches
        .into_par_iter()
        .map(|range| {
            let mut part = Scored::default();
            let samples = range.clone().map(|index| clips.window(index).samples);
            part.saturated = scorer.run(samples, |batch, scores, first| {
                let (first, sum) = (range.start + first, &mut part.means);
                for (at, &score) in scores.iter().enumerate() {
                    let window = clips.window(first + at);
                    part.windows.push(ScoredWindow {
                        index: window.index,
                        clip: window.clip,
                        start: window.start,
                        score,
                    });
                    sum.kl_divergence +=
                        real_score(batch.window(at).kl_divergence(), ScoreKind::KlDivergence);
                    let error = batch.reconstruction_error(at);
                    sum.reconstruction_error += real_score(error, ScoreKind::ReconstructionError);
                }
                batch.decode_samples(scores.len(), |at| window_noise(seed, first + at));
                for at in 0..scores.len() {
                    sum.nll += real_score(batch.window(at).nll(), ScoreKind::NegativeElbo);
                }
            })?;
            Ok(part)
        })
        .collect();
    let parts = parts?;
    let sums: Vec<MeanScores> = parts.iter().map(|part| part.means).collect();
    Ok(Scored {
        means: MeanScores::mean(&sums, clips.window_count()),
        saturated: parts.iter().map(|part| part.saturated).sum(),
        windows: parts.into_iter().flat_map(|part| part.windows).collect(),
    })
}

/// Scores the windows of a set, in its order, on all cores.
///
/// # Errors
/// [`VaeError`] where the windows do not fit the model.
pub fn score_set(model: &Model<'_>, set: &WindowSet<'_>) -> Result<Vec<Score>, VaeError> {
    let mut weights = ScorerWeights::new(model);
    let scorer = Scorer::new(model, &mut weights)?;
    let starts: Vec<usize> = (0..set.len()).step_by(CHUNK).collect();
    let scored: Result<Vec<Vec<Score>>, VaeError> = starts
        .into_par_iter()
        .map(|start| {
            let windows = start..(start + CHUNK).min(set.len());
            let mut all = Vec::with_capacity(windows.len());
            scorer.run(windows.map(|index| set.window(index).samples), |_, scores, _| {
                all.extend_from_slice(scores);
            })?;
            Ok(all)
        })
        .collect();
    Ok(scored?.into_iter().flatten().collect())
}

/// The noise of window `index`: the float and the integer model draw the same.
pub fn window_noise(seed: u32, index: usize) -> Gaussian {
    Gaussian::new(seed.wrapping_mul(0x9e37_79b1) ^ index as u32)
}
