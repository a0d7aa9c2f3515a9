//! The distribution of scores in 1 KB: a histogram over their logarithm.

use crate::score::ScoreKind;

/// Bins; a u32 each.
pub(super) const BINS: usize = 256;
/// log2 of the bins an octave: none is wider than an eighth of its scores.
const PER_OCTAVE: u32 = 3;
/// Scores at which all counts are halved.
const MOST: u64 = 1 << 31;

/// Counts of scores above what no window of the model can score less than. The order in which they come
/// does not matter, and no number of them overflows.
#[derive(Debug)]
pub(super) struct Scores<'m> {
    counts: &'m mut [u32],
    total: u64,
    /// The score of a perfect reconstruction.
    floor: i64,
    /// log2 of the lowest bin's end.
    octave: u32,
}

impl<'m> Scores<'m> {
    /// An empty histogram of `BINS` counts: 32 octaves of scores of this kind.
    pub fn new(counts: &'m mut [u32], kind: ScoreKind, floor: i64) -> Self {
        counts.fill(0);
        // From 2^-16 of a unit on.
        Self { counts, total: 0, floor, octave: kind.frac_bits().saturating_sub(16) }
    }

    /// Scores counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// Takes a score.
    pub fn add(&mut self, score: i64) {
        let above = score.saturating_sub(self.floor).max(0) as u64;
        let bin = self.bin(above);
        if let Some(count) = self.counts.get_mut(bin) {
            *count = count.saturating_add(1);
            self.total = self.total.wrapping_add(1);
        }
        if self.total >= MOST {
            self.halve();
        }
    }

    /// Counts, lowest first.
    pub fn counts(&self) -> &[u32] {
        self.counts
    }

    /// Sets one count; `None` where there is no such bin, or the total would leave its bound.
    pub fn set(&mut self, bin: usize, count: u32) -> Option<()> {
        let slot = self.counts.get_mut(bin)?;
        let total = self.total - u64::from(*slot) + u64::from(count);
        *slot = count;
        self.total = total;
        (total < MOST).then_some(())
    }

    fn halve(&mut self) {
        self.total = 0;
        for count in self.counts.iter_mut() {
            // What is rare stays: a tail of single scores is not forgotten.
            *count = count.div_ceil(2);
            self.total = self.total.wrapping_add((*count).into());
        }
    }

    fn bin(&self, above: u64) -> usize {
        // The score in eighths of the lowest octave's end.
        let scaled = match self.octave.checked_sub(PER_OCTAVE) {
            Some(down) => above >> down.min(63),
            None => above.min(1 << 60) << (PER_OCTAVE - self.octave),
        };
        let Some(exponent) = (scaled >> PER_OCTAVE).checked_ilog2() else { return 0 };
        let part = (scaled >> exponent) as usize & ((1 << PER_OCTAVE) - 1);
        ((exponent as usize) << PER_OCTAVE | part).min(BINS - 1)
    }

    /// Where a bin begins, above the floor; bin 0 begins at 0.
    fn start(&self, bin: usize) -> u64 {
        if bin == 0 {
            return 0;
        }
        let (exponent, part) = (bin as u32 >> PER_OCTAVE, bin as u64 & ((1 << PER_OCTAVE) - 1));
        let eighths = (1 << PER_OCTAVE | part) << exponent.min(56);
        (eighths << self.octave.min(24)) >> PER_OCTAVE
    }

    /// The score that one yet to come exceeds with a chance of `1 - share_q16 / 2^16` at most: that of rank
    /// `ceil(share (n + 1))`, the greatest where there is none (order statistics of exchangeable scores; by
    /// `ceil(share n)`, the second of a hundred scores would pass for their 99th percentile, which twice as
    /// many exceed); evenly spread within a bin. `None` of no scores.
    pub fn quantile(&self, share_q16: u32) -> Option<i64> {
        let total = self.total;
        let ranks = (total + 1) * u64::from(share_q16);
        let rank = ranks.div_ceil(1 << 16).clamp(1, total.max(1));
        let mut before = 0u64;
        for (bin, &count) in self.counts.iter().enumerate() {
            let within = rank - before;
            if within <= count.into() {
                let (start, end) = (self.start(bin), self.start(bin + 1));
                // The middle of the rank's part; 2^31 ranks at most.
                let width = u128::from(end - start) * u128::from(2 * within - 1);
                let place = crate::fixed::wide_division::divide(width, 2 * u128::from(count));
                return Some(self.floor.saturating_add_unsigned(start + place));
            }
            before += u64::from(count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of many magnitudes, with the shape of a sum of squares.
    fn draws(count: usize, scale: f64) -> std::vec::Vec<i64> {
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        (0..count).map(|_| (scale * (0..4).map(|_| -uniform().ln()).sum::<f64>()) as i64).collect()
    }
    extern crate std;

    #[test]
    fn quantiles_are_those_of_sorted_scores() {
        for (kind, scale, floor) in [
            (ScoreKind::ReconstructionError, 2e7, 0),
            (ScoreKind::ReconstructionError, 3e12, 0),
            (ScoreKind::GaussianNll, 4e5, -9_000_000),
            (ScoreKind::KlDivergence, 700.0, 0),
        ] {
            for count in [120, 3_000, 40_000] {
                let mut sorted = draws(count, scale);
                let mut counts = [5; BINS];
                let mut scores = Scores::new(&mut counts, kind, floor);
                sorted.iter().for_each(|&score| scores.add(score + floor));
                assert_eq!(scores.total(), count as u64);
                sorted.sort_unstable();
                for share in [0.5, 0.9, 0.99] {
                    let rank = (share * (count + 1) as f64).ceil() as usize;
                    let exact = sorted[rank - 1] as f64;
                    let found = scores.quantile((share * 65_536.0) as u32).unwrap() - floor;
                    // Never further than a bin; a few percent where it is well filled.
                    let bound = if count > 1_000 { 0.03 } else { 0.125 };
                    assert!((found as f64 / exact - 1.0).abs() < bound, "{found} {exact} {share}");
                }
            }
        }
    }

    #[test]
    fn bins_meet_and_hold_what_falls_in_them() {
        for kind in [ScoreKind::ReconstructionError, ScoreKind::GaussianNll] {
            let mut counts = [0; BINS];
            let scores = Scores::new(&mut counts, kind, 0);
            let top = scores.start(BINS);
            for bin in 0..BINS {
                let (start, end) = (scores.start(bin), scores.start(bin + 1));
                assert!(start <= end);
                if start < end && start > 8 {
                    assert_eq!(scores.bin(start), bin);
                    assert_eq!(scores.bin(end - 1), bin);
                }
            }
            assert_eq!(scores.bin(top), BINS - 1);
            assert_eq!(scores.bin(u64::MAX), BINS - 1);
        }
    }

    #[test]
    fn any_number_of_scores_keeps_the_distribution() {
        let mut counts = [0; BINS];
        let mut scores = Scores::new(&mut counts, ScoreKind::GaussianNll, 0);
        draws(10_000, 4e5).into_iter().for_each(|score| scores.add(score));
        let before = [16_000, 32_768, 64_881].map(|share| scores.quantile(share).unwrap());
        // As many more of each, up to the limit.
        for bin in 0..BINS {
            let count = scores.counts()[bin];
            scores.set(bin, count * 200_000).unwrap();
        }
        let full = scores.total();
        while scores.total() >= full {
            scores.add(1_000_000);
        }
        let after = [16_000, 32_768, 64_881].map(|share| scores.quantile(share).unwrap());
        for (before, after) in before.into_iter().zip(after) {
            assert!((after as f64 / before as f64 - 1.0).abs() < 0.08, "{before} {after}");
        }
    }

    #[test]
    fn no_scores_have_no_quantile_and_too_many_are_refused() {
        let mut counts = [0; BINS];
        let mut scores = Scores::new(&mut counts, ScoreKind::KlDivergence, 0);
        assert_eq!(scores.quantile(32_768), None);
        assert_eq!(scores.set(BINS, 1), None);
        assert_eq!(scores.set(3, u32::MAX), None);
    }
}
