//! From scores of overlapping windows to episodes: what one alarm would be.

/// What of a decision matters for the number of alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voting {
    /// Windows of the last `of` that must reach the threshold.
    pub votes: usize,
    /// Windows that vote.
    pub of: usize,
    /// Windows within which two alarms are one: those that overlap, and a hold-off.
    pub apart: usize,
}

impl Voting {
    /// Every window alarms by itself.
    pub const SINGLE: Self = Self { votes: 1, of: 1, apart: 1 };

    /// N of M votes over windows of a stream: those that overlap carry one alarm, and so do those within the
    /// hold-off.
    pub fn of((votes, of): (u8, u8), hold_off: u32, window_len: usize, hop: usize) -> Self {
        let overlapping = window_len.div_ceil(hop.max(1));
        let apart = overlapping + usize::from(of) - 1 + hold_off as usize;
        Self { votes: votes.into(), of: of.into(), apart }
    }
}

/// Scores as the decision sees them: for each window the greatest threshold at which
/// its vote would carry an alarm.
#[derive(Debug, Clone)]
pub struct Episodes {
    clips: Vec<Vec<f64>>,
    apart: usize,
}

impl Episodes {
    /// Takes the scores of every clip in order of time; those that are not finite are left out.
    pub fn new(clips: &[Vec<f64>], voting: Voting) -> Self {
        let of = voting.of.max(1);
        let votes = voting.votes.clamp(1, of);
        let vote = |scores: &Vec<f64>| {
            let scores: Vec<f64> = scores.iter().copied().filter(|s| s.is_finite()).collect();
            let carried = |end: usize| {
                let mut last = scores[(end + 1).saturating_sub(of)..=end].to_vec();
                last.sort_by(|a, b| b.total_cmp(a));
                last.get(votes - 1).copied()
            };
            (0..scores.len()).filter_map(carried).collect()
        };
        Self { clips: clips.iter().map(vote).collect(), apart: voting.apart.max(1) }
    }

    /// All votes, ascending.
    pub fn sorted_votes(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.clips.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The greatest vote of each episode at or above `level`: windows that reach it with
    /// fewer than `apart` windows between them belong together.
    pub fn peaks_above(&self, level: f64) -> Vec<f64> {
        let mut peaks = Vec::new();
        for clip in &self.clips {
            let mut last: Option<usize> = None;
            for (at, &vote) in clip.iter().enumerate() {
                if vote < level {
                    continue;
                }
                match (last, peaks.last_mut()) {
                    (Some(before), Some(peak)) if at - before <= self.apart => {
                        *peak = f64::max(*peak, vote);
                    }
                    _ => peaks.push(vote),
                }
                last = Some(at);
            }
        }
        peaks
    }

    /// The least of the `sorted` votes beyond which at most `allowed` episodes lie.
    pub fn counted(&self, sorted: &[f64], allowed: f64) -> f64 {
        // Few windows reach a high level, so episodes grow in number as it falls, up to
        // where they merge: from the top down.
        let (mut low, mut high) = (sorted.len() / 2, sorted.len());
        while low < high {
            let middle = (low + high) / 2;
            let level = sorted[middle].next_up();
            if self.peaks_above(level).len() as f64 <= allowed {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        sorted.get(low).or(sorted.last()).map_or(0.0, |level| level.next_up())
    }
}
