//! The generalised Pareto distribution of excesses, fitted by probability-weighted moments.

use super::{FOR_SCALE, FOR_SHAPE};

/// `P(excess > x) = (1 + shape x / scale)^(-1 / shape)`, exponential for shape 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pareto {
    /// Heavier tails are greater; below 0 the tail ends at `scale / -shape`.
    pub shape: f64,
    /// In the unit of the excesses.
    pub scale: f64,
}

/// Shapes beyond which moments do not exist, or the tail ends too soon to be believed.
const SHAPES: (f64, f64) = (-0.3, 0.7);
/// The shape that few excesses are drawn towards, heavier than noise would be as errors of
/// reconstruction are, and how many excesses that is worth.
const PRIOR: (f64, f64) = (0.15, 20.0);

impl Pareto {
    /// Hosking and Wallis (1987): from the mean and the mean weighted with the share of
    /// greater excesses; the shape is then drawn towards a prior one, as a few dozen
    /// excesses alone leave it within ±0.2. `None` where the excesses do not spread.
    pub fn fit(excesses: &[f64]) -> Option<Self> {
        let count = excesses.len() as f64;
        let mut sorted = excesses.to_vec();
        sorted.sort_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / count;
        if !(mean.is_finite() && mean > 0.0) {
            return None;
        }
        if excesses.len() < FOR_SHAPE {
            return Some(Self { shape: PRIOR.0, scale: mean * (1.0 - PRIOR.0) });
        }
        let weighted = sorted.iter().enumerate().map(|(at, x)| x * (count - 1.0 - at as f64));
        let weighted = weighted.sum::<f64>() / (count * (count - 1.0));
        let spread = mean - 2.0 * weighted;
        let shape = if spread > 0.0 { 2.0 - mean / spread } else { SHAPES.0 };
        let (prior, worth) = PRIOR;
        let shape = (count * shape.clamp(SHAPES.0, SHAPES.1) + worth * prior) / (count + worth);
        // The scale that keeps the mean.
        Some(Self { shape, scale: mean * (1.0 - shape) })
    }

    /// The excess that `share` of all excesses are greater than.
    pub fn level(&self, share: f64) -> f64 {
        let log = -share.ln();
        if self.shape.abs() < 1e-9 {
            return self.scale * log;
        }
        self.scale * ((self.shape * log).exp() - 1.0) / self.shape
    }
}

impl Tail {
    /// Excesses a window beyond `x`.
    pub fn rate_beyond(&self, x: f64) -> f64 {
        let Pareto { shape, scale } = self.pareto;
        let share = if shape.abs() < 1e-9 {
            (-x / scale).exp()
        } else {
            (1.0 + shape * x / scale).max(0.0).powf(-1.0 / shape)
        };
        self.rate * share
    }
}

/// Excesses over the start of a tail, and how often there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tail {
    /// How excesses are distributed.
    pub pareto: Pareto,
    /// Excesses a window.
    pub rate: f64,
}

impl Tail {
    /// Fits the excesses seen in so many windows; `None` for too few.
    pub fn fit(excesses: &[f64], windows: usize) -> Option<Self> {
        if excesses.len() < FOR_SCALE {
            return None;
        }
        let rate = excesses.len() as f64 / windows.max(1) as f64;
        Some(Self { pareto: Pareto::fit(excesses)?, rate })
    }

    /// The excess beyond which `rate` a window are left; at the start where there are fewer at all.
    pub fn level(&self, rate: f64) -> f64 {
        self.pareto.level((rate / self.rate).clamp(f64::MIN_POSITIVE, 1.0))
    }
}
