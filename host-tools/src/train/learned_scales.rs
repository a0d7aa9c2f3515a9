//! The grid of 4-bit weights, learnt with them: a learned step size (LSQ, Esser et al. 2020).

use serde::{Deserialize, Serialize};

use super::gradient::Gradients;
use crate::graph::Vae;
use crate::quantize::{WeightScales, integer};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-12;
/// The least and greatest 4-bit weight.
const RANGE: (f64, f64) = (-8.0, 7.0);

/// Moments of every row's scale.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LearnedScales {
    moments: Vec<Vec<[f64; 2]>>,
    steps: i32,
}

impl LearnedScales {
    /// Moves every scale against its gradient, by a share of itself (Adam), and zeroes the
    /// gradient of weights that the range clips.
    ///
    /// A weight `w` stands for `s * q`; its derivative by `s` is `q - w / s` inside of the range,
    /// `q` outside of it.
    pub(super) fn step(
        &mut self,
        scales: &mut WeightScales,
        vae: &Vae,
        gradients: &mut Gradients,
        rate: f64,
    ) {
        self.steps = self.steps.saturating_add(1);
        let (first, second) = (1.0 - BETA1.powi(self.steps), 1.0 - BETA2.powi(self.steps));
        for (index, (layer, gradient)) in vae.layers().zip(&mut gradients.layers).enumerate() {
            let Some(scales) = scales.layer_mut(&layer.name) else { continue };
            if self.moments.len() <= index {
                self.moments.resize(index + 1, Vec::new());
            }
            let moments = &mut self.moments[index];
            moments.resize(scales.len(), [0.0; 2]);
            let row = layer.op.weight().len().div_ceil(scales.len().max(1)).max(1);
            let rows = layer.op.weight().chunks(row).zip(gradient.weight.chunks_mut(row));
            for ((scale, [m, v]), (weights, gradients)) in scales.iter_mut().zip(moments).zip(rows)
            {
                let mut slope = 0.0;
                for (&w, g) in weights.iter().zip(gradients) {
                    let steps = f64::from(w) / *scale;
                    let q = f64::from(integer(w.into(), *scale, 4));
                    if (RANGE.0..=RANGE.1).contains(&steps) {
                        slope += f64::from(*g) * (q - steps);
                    } else {
                        slope += f64::from(*g) * q;
                        // Only what leads further out is stopped.
                        if f64::from(*g) * steps < 0.0 {
                            *g = 0.0;
                        }
                    }
                }
                *m = BETA1 * *m + (1.0 - BETA1) * slope;
                *v = BETA2 * *v + (1.0 - BETA2) * slope * slope;
                let step = rate * (*m / first) / ((*v / second).sqrt() + EPSILON);
                *scale = (*scale * (1.0 - step.clamp(-0.5, 0.5))).max(1e-30);
            }
        }
    }
}
