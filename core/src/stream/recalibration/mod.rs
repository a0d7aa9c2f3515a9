//! Threshold and normalization learnt anew, in place, on the machine the sensor sits on.
//!
//! A blob says how normal windows look where it was trained: where each group of features lies, the scores'
//! median, 99th percentile and threshold. Another machine, or another mounting, has other ones. Learning
//! takes exact moments of the features and a histogram of the scores, in memory of the caller's, and
//! shifts and scales the blob's numbers so that what is seen here falls where the blob has it.

mod error;
mod learning;
mod memory;
mod moments;
mod record;
mod scores;

pub use error::{RecalibrationError, RestoreError};
pub use memory::Recalibration;

use crate::fixed::wide_division::{divide, square_root};
use crate::model::Model;
use crate::score::Score;
use crate::stream::State;
use crate::vae::Vae;
use moments::{Moments, Normal, Scale};

/// Least windows that a threshold is learnt from.
pub const LEAST_WINDOWS: u32 = 20;
/// Windows from one update of a followed threshold to the next one.
const FOLLOW_WINDOWS: u32 = 256;
/// Shares of the scores below the blob's median and 99th percentile, Q16, rounded.
const MEDIAN: u32 = 32_768;
const P99: u32 = 64_881;

/// What to learn, in healthy windows: first the normalization, then, through it, the threshold. 0 leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lessons {
    /// Windows whose features give the normalization.
    pub normalization: u32,
    /// Windows whose scores give the threshold; at least [`LEAST_WINDOWS`], or 0.
    pub threshold: u32,
}

/// What is being learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    #[default]
    Rest,
    /// The normalization (0 left within its last window); then the threshold, over so many.
    Normalization { left: u32, threshold: u32 },
    /// The threshold.
    Threshold { left: u32 },
    /// The threshold, from windows that are judged as well.
    Follow { since: u32 },
}

/// Where an alarm is raised, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub threshold: Option<Score>,
    pub clear: Option<Score>,
}

impl Recalibration<'_> {
    /// Whether windows are learnt from and not judged.
    pub fn is_learning(&self) -> bool {
        matches!(self.phase, Phase::Normalization { .. } | Phase::Threshold { .. })
    }

    /// Whether the threshold follows the scores of windows that are judged normal.
    pub fn is_following(&self) -> bool {
        matches!(self.phase, Phase::Follow { .. })
    }

    /// Whether features are normalized otherwise than in the blob.
    pub fn is_renormalized(&self) -> bool {
        self.renormalized
    }

    /// Scores that a threshold was, or is being, learnt from.
    pub fn scores(&self) -> u64 {
        self.scores.total()
    }

    /// Begins; what was learnt of the same kind before is forgotten.
    pub(super) fn begin(
        &mut self,
        lessons: Lessons,
        model: &Model<'_>,
        limits: Limits,
    ) -> Result<(), RecalibrationError> {
        if lessons.normalization > 0 && model.normal_features().is_none() {
            return Err(RecalibrationError::NoReference);
        }
        if lessons.threshold > 0 {
            let (needed, got) = (LEAST_WINDOWS, lessons.threshold);
            if got < needed {
                return Err(RecalibrationError::TooFew { needed, got });
            }
            has_scale(model, limits)?;
            self.scores.clear();
        }
        if lessons.normalization > 0 {
            self.moments.fill(Moments::default());
            self.observed = 0;
        }
        self.phase = match lessons {
            Lessons { normalization: 0, threshold: 0 } => Phase::Rest,
            Lessons { normalization: 0, threshold } => Phase::Threshold { left: threshold },
            Lessons { normalization, threshold } => {
                Phase::Normalization { left: normalization, threshold }
            }
        };
        Ok(())
    }

    /// Follows from here on, or no longer.
    pub(super) fn follow(
        &mut self,
        on: bool,
        model: &Model<'_>,
        limits: Limits,
    ) -> Result<(), RecalibrationError> {
        if on {
            has_scale(model, limits)?;
        }
        self.phase = if on { Phase::Follow { since: 0 } } else { Phase::Rest };
        Ok(())
    }

    /// Takes a window's features before their normalization, where they are wanted.
    pub(super) fn features(&mut self, vae: &mut Vae<'_, '_>, older: &[i16], newer: &[i16]) {
        let Phase::Normalization { left, threshold } = self.phase else { return };
        vae.observe(older, newer, |group, v| {
            if let Some(moments) = self.moments.get_mut(group) {
                moments.add(v);
            }
        });
        let model = vae.model();
        let rows = model.input_len().checked_div(self.moments.len()).unwrap_or(0);
        self.observed = Moments::bound(self.moments, self.observed.saturating_add(rows as u64));
        let left = left.saturating_sub(1);
        if left == 0 {
            self.renormalize(model);
        }
        self.phase = Phase::Normalization { left, threshold };
    }

    /// A window's score; gives new limits where they were due. `base` is where the blob, or the
    /// caller, has them.
    pub(super) fn take_score(
        &mut self,
        score: Score,
        state: State,
        model: &Model<'_>,
        base: Limits,
    ) -> Option<Limits> {
        match (self.phase, state) {
            (Phase::Normalization { left: 0, threshold }, State::Learning) => {
                self.phase = match threshold {
                    0 => Phase::Rest,
                    left => Phase::Threshold { left },
                };
                return None;
            }
            (Phase::Threshold { left }, State::Learning) => {
                self.scores.add(score.0);
                if let Some(left @ 1..) = left.checked_sub(1) {
                    self.phase = Phase::Threshold { left };
                    return None;
                }
                self.phase = Phase::Rest;
            }
            // Neither in an alarm nor near one.
            (Phase::Follow { since }, State::Normal) => {
                self.scores.add(score.0);
                let since = since.saturating_add(1);
                self.phase = Phase::Follow { since: since % FOLLOW_WINDOWS };
                if since < FOLLOW_WINDOWS {
                    return None;
                }
            }
            _ => return None,
        }
        self.limits(model, base)
    }

    /// `base` on the scale of the scores seen: by the median and the distance from it to the 99th percentile.
    #[inline(never)]
    fn limits(&self, model: &Model<'_>, base: Limits) -> Option<Limits> {
        let (median, p99) = (self.scores.quantile(MEDIAN)?, self.scores.quantile(P99)?);
        let seen = with_error(p99.saturating_sub(median).max(0) as u64, self.scores.total());
        let normal = model.calibration();
        let spread = normal.p99.saturating_sub(normal.median);
        let moved = |Score(limit): Score| {
            let beyond = limit.saturating_sub(normal.median);
            let product = u128::from(beyond.unsigned_abs()) * u128::from(seen);
            let size = divide(product, spread.max(1) as u128);
            let size = size.min(i64::MAX as u64) as i64;
            Score(median.saturating_add(if beyond < 0 { -size } else { size }))
        };
        Some(Limits { threshold: base.threshold.map(moved), clear: base.clear.map(moved) })
    }

    /// Sets the normalization from the moments. Not part of its caller, whose stack lies below the front-end's.
    #[inline(never)]
    fn renormalize(&mut self, model: &Model<'_>) {
        let Some(normal) = model.normal_features() else { return };
        let frontend = model.frontend();
        let own = frontend.multiplier.iter().zip(frontend.shift);
        let normal = normal.mean.iter().zip(normal.deviation);
        let new = self.offset.iter_mut().zip(&mut *self.multiplier).zip(&mut *self.shift);
        let (count, bound) = (self.observed, model.offset_bound());
        let groups = self.moments.iter().zip(own).zip(normal).zip(new);
        for (((moments, (&multiplier, &shift)), (&mean, &deviation_q8)), new) in groups {
            let normal = Normal {
                mean_q8: i32::from(mean) - (i32::from(frontend.zero_point) << 8),
                deviation_q8,
            };
            let own = Scale { multiplier, shift };
            let (offset, scale) = moments.normalization(count, normal, own, bound);
            let ((to_offset, to_multiplier), to_shift) = new;
            (*to_offset, *to_multiplier, *to_shift) = (offset, scale.multiplier, scale.shift);
        }
        self.renormalized = true;
    }
}

/// The distance from the median to the 99th percentile of `count` scores and its standard error, for Gaussian scores
/// `1.6 / sqrt(count)` of it: too short a distance costs more false alarms than too long a one saves, so that
/// thresholds learnt from few scores would alarm more often than was asked for.
fn with_error(distance: u64, count: u64) -> u64 {
    let root = square_root(count.into());
    let error = divide(u128::from(distance) * 8, u128::from(root.max(1)) * 5);
    distance.saturating_add(error)
}

/// Whether there is a threshold, and a spread of normal scores to measure it by.
fn has_scale(model: &Model<'_>, limits: Limits) -> Result<(), RecalibrationError> {
    if limits.threshold.is_none() {
        return Err(RecalibrationError::NoThreshold);
    }
    let normal = model.calibration();
    if normal.p99 <= normal.median {
        return Err(RecalibrationError::NoSpread);
    }
    Ok(())
}
