//! From what a user asks of a decision to the blob's section.

use picovae_core::model::wire::sections::Decision;

use crate::emit::Calibrated;
use crate::quantize::IntDecision;
use crate::recording::WindowSet;
use crate::threshold::Voting;

/// What a decision is to be; the default alarms at every window that reaches the threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionOptions {
    /// Windows scored but not judged at first.
    pub warm_up: u32,
    /// Windows of the last `of` that must reach the threshold.
    pub votes: u8,
    /// Windows that vote.
    pub of: u8,
    /// How far below the threshold an alarm goes on, as a share of the distance
    /// from the normal median to the threshold.
    pub hysteresis: f64,
    /// Windows after an alarm without a new one.
    pub hold_off: u32,
    /// Watch for channels that do not move.
    pub stuck: bool,
    /// Watch for samples at the converter's ends: how many a window may lie there.
    pub saturated: Option<u16>,
    /// The converter's ends.
    pub rails: (i16, i16),
    /// Watch for samples outside of the calibrated range, stretched about its
    /// middle by this factor.
    pub margin: Option<f64>,
    /// Say where the features of normal windows lie, so that a device can learn its own normalization.
    pub renormalize: bool,
}

impl Default for DecisionOptions {
    fn default() -> Self {
        Self {
            warm_up: 0,
            votes: 1,
            of: 1,
            hysteresis: 0.0,
            hold_off: 0,
            stuck: false,
            saturated: None,
            rails: (i16::MIN, i16::MAX),
            margin: None,
            renormalize: false,
        }
    }
}

impl DecisionOptions {
    /// What of the decision matters for how many alarms there are: windows that overlap carry
    /// one alarm, and so do those within the hold-off.
    pub fn voting(&self, window_len: usize, hop: usize) -> Voting {
        Voting::of((self.votes, self.of), self.hold_off, window_len, hop)
    }

    /// The section; `None` where the default does. `raw` gives a window's device counts.
    pub(super) fn section(
        &self,
        calibrated: &Calibrated,
        normal: &WindowSet<'_>,
        channels: usize,
        mut raw: impl FnMut(&[f32]) -> Vec<i16>,
    ) -> Option<IntDecision> {
        if *self == (Self { renormalize: self.renormalize, ..Self::default() }) {
            return None;
        }
        let clear = calibrated.threshold.filter(|_| self.hysteresis > 0.0).map(|threshold| {
            let above = threshold.saturating_sub(calibrated.summary.median).max(0);
            threshold.saturating_sub((above as f64 * self.hysteresis.min(1.0)) as i64)
        });
        let range = self.margin.map(|margin| {
            let mut seen = vec![[i16::MAX, i16::MIN]; channels];
            for index in 0..normal.len() {
                for (at, x) in raw(normal.window(index).samples).into_iter().enumerate() {
                    let [low, high] = &mut seen[at % channels];
                    (*low, *high) = ((*low).min(x), (*high).max(x));
                }
            }
            let stretch = |[low, high]: [i16; 2]| {
                let (low, high) = (f64::from(low), f64::from(high));
                let (middle, half) = ((low + high) / 2.0, margin * (high - low) / 2.0);
                // `as` saturates.
                [(middle - half).floor() as i16, (middle + half).ceil() as i16]
            };
            seen.into_iter().map(stretch).collect()
        });
        let section = Decision {
            warm_up: self.warm_up,
            votes: self.votes,
            of: self.of,
            clear,
            hold_off: self.hold_off,
            stuck: self.stuck,
            rails: self.saturated.map(|most| (self.rails.0, self.rails.1, most)),
            range: None,
            outside: 0,
        };
        Some(IntDecision { section, range })
    }
}
