//! The caller's memory, cut to what is learnt.

use super::Phase;
use super::moments::Moments;
use super::scores::{BINS, Scores};
use crate::frontend::Normalization;
use crate::model::Model;
use crate::vae::VaeError;

/// What a detector has learnt, in memory of the caller's.
#[derive(Debug)]
pub struct Recalibration<'m> {
    /// One a group.
    pub(super) moments: &'m mut [Moments],
    /// Features a group in the moments.
    pub(super) observed: u64,
    pub(super) scores: Scores<'m>,
    /// The normalization, one a group each.
    pub(super) offset: &'m mut [i32],
    pub(super) multiplier: &'m mut [i32],
    pub(super) shift: &'m mut [i8],
    /// Whether it replaces the blob's.
    pub(super) renormalized: bool,
    pub(super) phase: Phase,
}

impl<'m> Recalibration<'m> {
    /// Words of memory that a model with so many [groups](crate::frontend::Frontend::groups) needs:
    /// 1 KB and 33 bytes a group, rounded up.
    pub const fn memory_len(groups: usize) -> usize {
        BINS / 2 + 3 * groups + 2 * groups.div_ceil(2) + groups.div_ceil(8)
    }

    /// Cuts the memory; nothing is learnt yet.
    pub(crate) fn new(model: &Model<'_>, memory: &'m mut [u64]) -> Result<Self, VaeError> {
        let groups = model.frontend().groups();
        let (needed, got) = (Self::memory_len(groups), memory.len());
        let too_small = VaeError::LearningTooSmall { needed, got };
        let (scores, rest) = memory.split_at_mut_checked(BINS / 2).ok_or(too_small)?;
        let (moments, rest) = rest.split_at_mut_checked(3 * groups).ok_or(too_small)?;
        let (offset, rest) = rest.split_at_mut_checked(groups.div_ceil(2)).ok_or(too_small)?;
        let (multiplier, rest) = rest.split_at_mut_checked(groups.div_ceil(2)).ok_or(too_small)?;
        let shift = rest.get_mut(..groups.div_ceil(8)).ok_or(too_small)?;
        let offset = cast(offset).get_mut(..groups).ok_or(too_small)?;
        let multiplier = cast(multiplier).get_mut(..groups).ok_or(too_small)?;
        let shift = cast(shift).get_mut(..groups).ok_or(too_small)?;
        let counts = cast(scores);
        let mut this = Self {
            moments: cast(moments),
            observed: 0,
            scores: Scores::new(counts, model.score_kind(), model.score_floor()),
            offset,
            multiplier,
            shift,
            renormalized: false,
            phase: Phase::Rest,
        };
        this.forget();
        Ok(this)
    }

    /// As new.
    pub(super) fn forget(&mut self) {
        self.moments.fill(Moments::default());
        self.observed = 0;
        self.scores.clear();
        self.renormalized = false;
        self.phase = Phase::Rest;
    }

    /// The normalization in the blob's place, where one was learnt.
    pub(crate) fn normalization(&self) -> Option<Normalization<'_>> {
        self.renormalized.then_some(Normalization {
            offset: self.offset,
            multiplier: self.multiplier,
            shift: self.shift,
        })
    }
}

/// Words as smaller numbers; never fails for those used here.
fn cast<T: bytemuck::Pod>(words: &mut [u64]) -> &mut [T] {
    bytemuck::try_cast_slice_mut(words).unwrap_or(&mut [])
}
