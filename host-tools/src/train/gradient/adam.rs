//! AdamW (Loshchilov and Hutter 2019), step by step over a model's layers.

use serde::{Deserialize, Serialize};

use super::Gradients;
use crate::graph::Vae;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of every trained number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Adam {
    moments: Vec<Moments>,
    weight_decay: f32,
    steps: i32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Moments {
    weight: Vec<[f32; 2]>,
    bias: Vec<[f32; 2]>,
}

impl Adam {
    /// For a model of this shape, before its first step.
    pub(crate) fn new(vae: &Vae, weight_decay: f32) -> Self {
        let moments = vae
            .layers()
            .map(|layer| Moments {
                weight: vec![[0.0; 2]; layer.op.weight().len()],
                bias: vec![[0.0; 2]; layer.op.bias().map_or(0, |bias| bias.len())],
            })
            .collect();
        Self { moments, weight_decay, steps: 0 }
    }

    /// Moves every parameter against its gradient.
    pub(crate) fn step(&mut self, vae: &mut Vae, gradients: &Gradients, learning_rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let rate = learning_rate as f32;
        // Bias correction of both moments.
        let (first, second) = (1.0 - BETA1.powi(self.steps), 1.0 - BETA2.powi(self.steps));
        let decay = rate * self.weight_decay;
        // `rate * (m / first) / (sqrt(v / second) + epsilon)` with one division an element.
        let (rate, epsilon) = (rate * second.sqrt() / first, EPSILON * second.sqrt());
        let update = |parameters: &mut [f32], moments: &mut [[f32; 2]], gradients: &[f32]| {
            for ((p, [m, v]), g) in parameters.iter_mut().zip(moments).zip(gradients) {
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *p -= rate * *m / (v.sqrt() + epsilon) + decay * *p;
            }
        };
        let layers = vae.layers_mut().zip(&mut self.moments).zip(&gradients.layers);
        for ((layer, moments), gradient) in layers {
            let Some((weight, bias)) = layer.op.parameters_mut() else { continue };
            update(weight, &mut moments.weight, &gradient.weight);
            if let Some(bias) = bias.as_slice_mut() {
                update(bias, &mut moments.bias, &gradient.bias);
            }
        }
    }
}
