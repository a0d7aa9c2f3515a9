//! The threshold from a stated number of false alarms.
//!
//! Alarms are counted as a person would: an alarm that several overlapping windows
//! carry is one. Scores of normal windows become [episodes](Episodes), the
//! episodes' peaks get a [generalised Pareto tail](Tail), and the tail says where
//! so many a window are left ("peaks over threshold", Coles 2001, chapter 4). Pure
//! arithmetic; scores come from the core, [`crate::simulate`] writes the result
//! into a blob.

mod episodes;
mod pareto;

pub use episodes::{Episodes, Voting};
pub use pareto::{Pareto, Tail};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// How a threshold was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The rate is met within the calibration scores themselves.
    Counted,
    /// By a generalised Pareto tail.
    Pareto,
    /// Too few episodes for a shape of their own: a Pareto tail of the usual one.
    FixedShape,
    /// Too few for any tail: the greatest score, and a margin above it.
    Greatest,
}

impl Method {
    /// The name used in reports and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Pareto => "pareto",
            Self::FixedShape => "fixed_shape",
            Self::Greatest => "greatest",
        }
    }
}

/// A threshold, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TailThreshold {
    /// Scores at or above it count towards an alarm.
    pub threshold: f64,
    /// A 90 % interval of it: by resampling the episodes.
    pub interval: [f64; 2],
    /// How it was found.
    pub method: Method,
    /// Where the tail begins.
    pub tail_start: f64,
    /// Episodes beyond that.
    pub episodes: usize,
    /// Shape of the tail: 0 is exponential, more is heavier.
    pub shape: f64,
    /// Scale of the tail, in the score's unit.
    pub scale: f64,
    /// Calibration windows.
    pub windows: usize,
    /// False alarms a window that were asked for.
    pub rate: f64,
    /// How much rarer than once in the calibration data that is; up to 1 nothing is extrapolated.
    pub extrapolation: f64,
}

/// Fewest episodes for a shape of its own, and for any tail.
const FOR_SHAPE: usize = 15;
const FOR_SCALE: usize = 5;
/// Shares of the windows beyond the start of the tail that are tried, in order.
const SHARES: [f64; 6] = [0.02, 0.04, 0.07, 0.1, 0.15, MOST];
/// Share of normal windows that may reach a threshold, whatever is asked for.
pub const MOST: f64 = 0.2;
/// Episodes with which the first share is content.
const ENOUGH: usize = 60;
/// Resamplings behind the interval.
const RESAMPLINGS: usize = 200;

/// The threshold that leaves `rate` false alarms a window, from scores of normal
/// windows, a clip each, in order of time. `None` without a finite score.
pub fn tail_threshold(clips: &[Vec<f64>], voting: Voting, rate: f64) -> Option<TailThreshold> {
    let series = Episodes::new(clips, voting);
    let sorted = series.sorted_votes();
    let (&median, &greatest) = (sorted.get(sorted.len() / 2)?, sorted.last()?);
    let windows = sorted.len();
    let found = |threshold: f64, method: Method| TailThreshold {
        threshold,
        interval: [threshold; 2],
        method,
        tail_start: threshold,
        episodes: 0,
        shape: 0.0,
        scale: 0.0,
        windows,
        rate,
        extrapolation: 1.0 / (rate * windows as f64).max(f64::MIN_POSITIVE),
    };
    // Where many alarms are asked for, their number can be counted.
    let allowed = rate * windows as f64;
    let level = |share: f64| sorted[(((1.0 - share) * windows as f64) as usize).min(windows - 1)];
    let counted = || {
        let threshold = series.counted(&sorted, allowed);
        // Overlapping windows carry one alarm, so that no threshold may raise as many as are asked for; one
        // that most windows reach would be in alarm all the time.
        let least = if voting.apart > 1 { level(MOST) } else { threshold };
        Some(found(threshold.max(least), Method::Counted))
    };
    if allowed >= ENOUGH as f64 {
        return counted();
    }
    let mut best: Option<(f64, Vec<f64>)> = None;
    for share in SHARES {
        let start = level(share);
        let peaks = series.peaks_above(start);
        let more = best.as_ref().is_none_or(|(_, known)| peaks.len() > known.len());
        let content = peaks.len() >= ENOUGH;
        if more {
            best = Some((start, peaks));
        }
        if content {
            break;
        }
    }
    let (start, peaks) = best?;
    let excesses: Vec<f64> = peaks.iter().map(|peak| peak - start).filter(|e| *e > 0.0).collect();
    let tail = Tail::fit(&excesses, windows);
    if allowed >= 1.0 && tail.is_none_or(|tail| tail.rate <= rate) {
        // What is asked for lies before the tail, or there is none.
        return counted();
    }
    let Some(tail) = tail else {
        // As far above the greatest score as that is above the median.
        let margin = (greatest - median).max(1e-9 * greatest.abs());
        let threshold = greatest + margin;
        return Some(TailThreshold {
            interval: [greatest, threshold + margin],
            tail_start: start,
            episodes: excesses.len(),
            ..found(threshold, Method::Greatest)
        });
    };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let tails: Vec<Tail> = (0..RESAMPLINGS)
        .filter_map(|_| {
            // The number of episodes is as uncertain as their heights.
            let draws = (0..excesses.len()).map(|_| poisson_one(&mut rng)).sum::<usize>();
            let pick = (0..draws.max(FOR_SCALE))
                .map(|_| excesses[rng.random_range(0..excesses.len())])
                .collect::<Vec<_>>();
            Tail::fit(&pick, windows)
        })
        .collect();
    let mut levels: Vec<f64> = tails.iter().map(|tail| start + tail.level(rate)).collect();
    levels.sort_by(f64::total_cmp);
    let quantile = |p: f64| levels[((levels.len() - 1) as f64 * p).round() as usize];
    let threshold = start + predictive(&tails, rate).unwrap_or(tail.level(rate));
    Some(TailThreshold {
        interval: if levels.is_empty() {
            [threshold; 2]
        } else {
            [quantile(0.05).min(threshold), quantile(0.95).max(threshold)]
        },
        tail_start: start,
        episodes: excesses.len(),
        shape: tail.pareto.shape,
        scale: tail.pareto.scale,
        ..found(
            threshold,
            if excesses.len() < FOR_SHAPE { Method::FixedShape } else { Method::Pareto },
        )
    })
}

/// The excess beyond which all tails together expect `rate` a window. Where a tail is
/// uncertain, its heavier versions decide: a single best tail would alarm too often by as much
/// as it is unlucky.
fn predictive(tails: &[Tail], rate: f64) -> Option<f64> {
    let expected =
        |x: f64| tails.iter().map(|tail| tail.rate_beyond(x)).sum::<f64>() / tails.len() as f64;
    let mut high = tails.iter().map(|tail| tail.level(rate)).fold(0.0, f64::max);
    let mut low = 0.0;
    if tails.is_empty() || !high.is_finite() {
        return None;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if expected(middle) > rate {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// A Poisson number of mean 1, by products of uniform ones (Knuth).
fn poisson_one(rng: &mut impl rand::Rng) -> usize {
    let (mut count, mut product) = (0, rng.random::<f64>());
    while product > (-1.0f64).exp() {
        count += 1;
        product *= rng.random::<f64>();
    }
    count
}

#[cfg(test)]
mod tests;
