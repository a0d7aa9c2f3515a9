//! Up or down, for every weight of some rows: a continuous choice, learnt and then forced to one side.
//!
//! A weight is `floor + h`, with `h` the rectified sigmoid of a variable that Adam moves against the
//! squared error of the rows' outputs; a regularizer that grows steeper drives every `h` to 0 or 1
//! (Nagel et al. 2020). Rows share nothing but their inputs, so parts of a layer run side by side.

use indicatif::ProgressBar;
use ndarray::{Array2, ArrayView2, Axis};

use crate::graph::Activation;

/// The sigmoid is stretched to reach beyond 0 and 1, and cut there.
const STRETCH: (f32, f32) = (-0.1, 1.1);
/// Exponent of the regularizer, from the first step to the last.
const STEEPNESS: (f32, f32) = (20.0, 2.0);
/// Share of the steps before the regularizer sets in.
const FREE: f64 = 0.2;
/// What the regularizer weighs against the error of a rounding step.
const WEIGHT: f32 = 0.5;
/// How fast variables move.
const RATE: f32 = 0.05;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-10;
/// Newton steps for a bias.
const NEWTON: usize = 5;

/// Rows of a layer, and what they are to give.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    /// `[row][column]`, in steps of the row's scale.
    pub(super) steps: Array2<f32>,
    /// Real size of each row's step.
    pub(super) scales: Vec<f32>,
    /// Of the float model.
    pub(super) bias: Vec<f32>,
    /// Least and greatest integer.
    pub(super) reach: (f32, f32),
    /// Behind the sums.
    pub(super) activation: Activation,
    /// `[sample][column]`.
    pub(super) inputs: ArrayView2<'a, f32>,
    /// `[sample][row]`.
    pub(super) targets: ArrayView2<'a, f32>,
}

/// Integers and biases of some rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rounded {
    /// `[row][column]`.
    pub(super) integers: Array2<f32>,
    /// Real.
    pub(super) bias: Vec<f32>,
    /// Mean squared error of each row's outputs.
    pub(super) error: Vec<f64>,
}

impl Rows<'_> {
    /// Every weight to the nearest integer.
    pub(super) fn nearest(&self) -> Rounded {
        let (least, most) = self.reach;
        self.finish(self.steps.mapv(|w| w.clamp(least, most).round()))
    }

    /// Rounding that is learnt; no row is worse than with the nearest integers.
    pub(super) fn learn(&self, batches: &[Vec<usize>], progress: &ProgressBar) -> Rounded {
        let nearest = self.nearest();
        let (least, most) = self.reach;
        let floor = self.steps.mapv(|w| w.floor().clamp(least, most - 1.0));
        let mut up = Up::new(&self.steps, &floor);
        let mut bias = nearest.bias.clone();
        let power = self.inputs.iter().map(|x| f64::from(x * x)).sum::<f64>();
        let power = (power / self.inputs.len().max(1) as f64).max(1e-30) as f32;
        for (step, batch) in batches.iter().enumerate() {
            let inputs = self.inputs.select(Axis(0), batch);
            let weights = self.real(&(&floor + &up.share));
            let mut slopes = inputs.dot(&weights.t());
            self.residuals(&mut slopes, &bias, batch);
            // A bias follows at once: what it could mend is no reason to round otherwise.
            for ((bias, residual), live) in
                bias.iter_mut().zip(slopes.sum_axis(Axis(0))).zip(self.live(&slopes))
            {
                *bias -= 0.1 * residual / live.max(1.0);
            }
            let mut gradient = slopes.t().dot(&inputs);
            // In units of a step of a weight of an ordinary input.
            let unit = 2.0 / (batch.len().max(1) as f32 * power);
            for (mut row, scale) in gradient.rows_mut().into_iter().zip(&self.scales) {
                row.mapv_inplace(|g| g * unit / scale);
            }
            let done = step as f64 / batches.len().max(1) as f64;
            up.step(gradient.view(), step, regularizer(done));
            progress.inc(1);
        }
        let learnt = self.finish(floor + up.share.mapv(|h| f32::from(u8::from(h >= 0.5))));
        learnt.better_rows(nearest)
    }

    /// Real weights of integers, or of what lies between.
    fn real(&self, integers: &Array2<f32>) -> Array2<f32> {
        let mut weights = integers.clone();
        for (mut row, scale) in weights.rows_mut().into_iter().zip(&self.scales) {
            row.mapv_inplace(|q| q * scale);
        }
        weights
    }

    /// Sums without bias become what is wrong behind the activation, times its slope.
    fn residuals(&self, sums: &mut Array2<f32>, bias: &[f32], samples: &[usize]) {
        for (mut sums, sample) in sums.rows_mut().into_iter().zip(samples) {
            let targets = self.targets.row(*sample);
            for ((sum, bias), target) in sums.iter_mut().zip(bias).zip(targets) {
                *sum = residual(self.activation, *sum + bias, *target);
            }
        }
    }

    /// Samples of each row that a bias moves.
    fn live(&self, residuals: &Array2<f32>) -> Vec<f32> {
        let count = |column: ndarray::ArrayView1<'_, f32>| {
            column.iter().filter(|r| **r != 0.0).count() as f32
        };
        residuals.columns().into_iter().map(count).collect()
    }

    /// The best bias of integers, and the error that is left.
    fn finish(&self, integers: Array2<f32>) -> Rounded {
        let sums = self.inputs.dot(&self.real(&integers).t());
        let mut rounded = Rounded { integers, bias: self.bias.clone(), error: Vec::new() };
        for ((bias, sums), targets) in
            rounded.bias.iter_mut().zip(sums.columns()).zip(self.targets.columns())
        {
            let error = |bias: f32| -> f64 {
                let square = |(sum, target): (&f32, &f32)| {
                    let (a, b) = (f(self.activation, sum + bias), f(self.activation, *target));
                    f64::from(a - b).powi(2)
                };
                sums.iter().zip(targets).map(square).sum::<f64>() / sums.len().max(1) as f64
            };
            let mut best = (error(*bias), *bias);
            for _ in 0..NEWTON {
                let (mut wrong, mut live) = (0f64, 0f64);
                for (sum, target) in sums.iter().zip(targets) {
                    let r = residual(self.activation, sum + *bias, *target);
                    wrong += f64::from(r);
                    live += f64::from(u8::from(r != 0.0));
                }
                *bias -= (wrong / live.max(1.0)) as f32;
                let found = error(*bias);
                if found < best.0 {
                    best = (found, *bias);
                }
            }
            *bias = best.1;
            rounded.error.push(best.0);
        }
        rounded
    }
}

impl Rounded {
    /// Row by row, the better of two.
    fn better_rows(mut self, other: Self) -> Self {
        for (row, error) in other.error.iter().enumerate() {
            if *error < self.error[row] {
                self.integers.row_mut(row).assign(&other.integers.row(row));
                (self.bias[row], self.error[row]) = (other.bias[row], *error);
            }
        }
        self
    }
}

/// Rectifiers are part of what is compared: how far below 0 a sum is does not matter.
fn f(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu | Activation::LeakyRelu { .. } => activation.apply(x),
        _ => x,
    }
}

/// Half the slope of the squared error by the sum.
fn residual(activation: Activation, sum: f32, target: f32) -> f32 {
    let slope = match activation {
        Activation::Relu if sum <= 0.0 => 0.0,
        Activation::LeakyRelu { alpha } if sum <= 0.0 => alpha,
        _ => 1.0,
    };
    slope * (f(activation, sum) - f(activation, target))
}

/// Weight and exponent of the regularizer, `done` of the way.
fn regularizer(done: f64) -> Option<(f32, f32)> {
    let done = (done - FREE) / (1.0 - FREE);
    // Half a cosine from the one exponent to the other.
    let fallen = 0.5 * (1.0 + (std::f64::consts::PI * done).cos()) as f32;
    let exponent = STEEPNESS.1 + (STEEPNESS.0 - STEEPNESS.1) * fallen;
    (done > 0.0).then_some((WEIGHT, exponent))
}

/// How far up each weight is, and Adam's view of it.
struct Up {
    /// `h`, 0 to 1.
    share: Array2<f32>,
    variable: Vec<f32>,
    moments: Vec<[f32; 2]>,
}

impl Up {
    /// Where the float weights are.
    fn new(steps: &Array2<f32>, floor: &Array2<f32>) -> Self {
        let share = (steps - floor).mapv(|h| h.clamp(0.0, 1.0));
        let logit = |h: &f32| {
            let p = (h - STRETCH.0) / (STRETCH.1 - STRETCH.0);
            (p / (1.0 - p)).ln()
        };
        let variable: Vec<f32> = share.iter().map(logit).collect();
        Self { moments: vec![[0.0; 2]; variable.len()], share, variable }
    }

    /// Moves every variable against `gradient`, the error's slope by `h`, and the regularizer's.
    fn step(
        &mut self,
        gradient: ArrayView2<'_, f32>,
        step: usize,
        regularizer: Option<(f32, f32)>,
    ) {
        let exponent = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let (first, second) = (1.0 - BETA1.powi(exponent), 1.0 - BETA2.powi(exponent));
        let (rate, epsilon) = (RATE * second.sqrt() / first, EPSILON * second.sqrt());
        let variables = self.variable.iter_mut().zip(&mut self.moments);
        for ((h, gradient), (v, [m1, m2])) in self.share.iter_mut().zip(gradient).zip(variables) {
            let p = 1.0 / (1.0 + (-*v).exp());
            let stretched = STRETCH.0 + (STRETCH.1 - STRETCH.0) * p;
            let inside = (0.0..=1.0).contains(&stretched);
            let mut slope = 0.0;
            if inside {
                slope = *gradient;
                if let Some((weight, exponent)) = regularizer {
                    let off = 2.0 * *h - 1.0;
                    slope -= weight * 2.0 * exponent * off.abs().powf(exponent - 1.0).copysign(off);
                }
                slope *= (STRETCH.1 - STRETCH.0) * p * (1.0 - p);
            }
            *m1 = BETA1 * *m1 + (1.0 - BETA1) * slope;
            *m2 = BETA2 * *m2 + (1.0 - BETA2) * slope * slope;
            *v -= rate * *m1 / (m2.sqrt() + epsilon);
            let p = 1.0 / (1.0 + (-*v).exp());
            *h = (STRETCH.0 + (STRETCH.1 - STRETCH.0) * p).clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_row_is_at_least_as_good_and_most_are_better() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut random = |rows: usize, columns: usize, low: f32| {
            Array2::from_shape_simple_fn((rows, columns), || rng.random_range(low..1.0f32))
        };
        // Rectified, and made of less than there are: where inputs go together, roundings can cancel.
        let inputs = random(400, 5, -1.0).dot(&random(5, 20, -1.0)).mapv(|x| x.max(0.0));
        let steps = random(12, 20, -1.0) * 7.0;
        let targets = inputs.dot(&steps.t()) * 0.1 + 0.3;
        let batches: Vec<Vec<usize>> = (0..400)
            .map(|at| (0..64).map(|sample| (at * 64 + sample * 7) % 400).collect())
            .collect();
        for activation in [Activation::Relu, Activation::Silu] {
            let rows = Rows {
                steps: steps.clone(),
                scales: vec![0.1; 12],
                bias: vec![0.3; 12],
                reach: (-8.0, 7.0),
                activation,
                inputs: inputs.view(),
                targets: targets.view(),
            };
            let nearest = rows.nearest();
            let learnt = rows.learn(&batches, &ProgressBar::hidden());
            assert_eq!(learnt, rows.learn(&batches, &ProgressBar::hidden()));
            let errors = learnt.error.iter().zip(&nearest.error);
            assert!(errors.clone().all(|(a, b)| a <= b));
            assert!(errors.filter(|(a, b)| *a < b).count() >= 10);
            let sum = |rounded: &Rounded| rounded.error.iter().sum::<f64>();
            assert!(sum(&learnt) < 0.8 * sum(&nearest), "{} {}", sum(&learnt), sum(&nearest));
            assert!(learnt.integers.iter().all(|q| q.fract() == 0.0 && (-8.0..=7.0).contains(q)));
        }
    }
}
