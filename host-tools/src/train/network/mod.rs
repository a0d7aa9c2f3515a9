//! The network on the training framework: this folder alone names burn.
//!
//! A [`Network`] is made from a [`Vae`], stepped, and read back into one.
//! It draws no random numbers: noise comes in as tensors.

mod layer;
mod loss;
mod windows;

use self::layer::{Step, Weights};
use self::windows::Signal;
use super::Sigma;
use crate::graph::{Likelihood, Vae};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2, Axis, s};

/// Parameters of all layers, in [`Vae::layers`]' order.
#[derive(Module, Debug)]
struct Parameters {
    layers: Vec<Weights>,
}

/// How many layers each part has, and what each does.
#[derive(Debug, Clone)]
struct Plan {
    encoder: usize,
    has_logvar: bool,
    steps: Vec<Step>,
    bernoulli: bool,
}

/// A network being trained, with its optimizer.
pub(super) struct Network {
    parameters: Parameters,
    plan: Plan,
    optimizer: ModuleOptimizer,
    device: Device,
}

/// One batch, `[window][…]` each.
pub(super) struct Batch {
    /// What the encoder reads.
    pub(super) input: Array2<f32>,
    /// What the decoder should give.
    pub(super) target: Array2<f32>,
    /// Standard normal noise of the latent.
    pub(super) noise: Array2<f32>,
}

/// What a step weighs its losses with.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepConfig {
    pub(super) learning_rate: f64,
    pub(super) beta: f32,
    pub(super) sigma: Sigma,
    pub(super) shards: usize,
}

/// Mean losses of a batch, nats a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepLoss {
    pub(super) nll: f64,
    pub(super) kl: f64,
}

impl Network {
    pub(super) fn new(vae: &Vae, weight_decay: f32) -> Self {
        let device = Device::flex().autodiff();
        Self {
            parameters: Parameters {
                layers: vae.layers().map(|layer| Weights::new(layer, &device)).collect(),
            },
            plan: Plan {
                encoder: vae.encoder.len(),
                has_logvar: vae.logvar.is_some(),
                steps: vae.layers().map(|layer| Step::new(layer, &device)).collect(),
                bernoulli: matches!(vae.likelihood, Likelihood::Bernoulli),
            },
            optimizer: AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(weight_decay).init(),
            device,
        }
    }

    /// One optimizer step. The batch is split into shards, each with its own
    /// graph on its own thread; gradients are summed in the shards' order, so
    /// that the result does not depend on timing.
    pub(super) fn step(&mut self, batch: &Batch, config: StepConfig) -> StepLoss {
        let rows = batch.input.nrows();
        let shard_rows = rows.div_ceil(config.shards.clamp(1, rows.max(1)));
        let starts: Vec<usize> = (0..rows).step_by(shard_rows.max(1)).collect();
        let run = |start: usize| {
            let end = (start + shard_rows).min(rows);
            // A fork has graph nodes of its own: shards do not share a lock.
            let parameters = self.parameters.clone().fork(&self.device);
            self.plan.gradients(&parameters, batch, start..end, config, &self.device)
        };
        let results: Vec<(GradientsParams, StepLoss)> = match starts[..] {
            [only] => vec![run(only)],
            _ => std::thread::scope(|scope| {
                let (first, others) = (starts[0], &starts[1..]);
                let handles: Vec<_> =
                    others.iter().map(|start| scope.spawn(|| run(*start))).collect();
                let mut results = vec![run(first)];
                for handle in handles {
                    match handle.join() {
                        Ok(result) => results.push(result),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                results
            }),
        };
        let mut sum = GradientsAccumulator::new();
        let mut loss = StepLoss::default();
        for (gradients, shard) in results {
            sum.accumulate(&self.parameters, gradients);
            loss.nll += shard.nll;
            loss.kl += shard.kl;
        }
        let parameters = self.parameters.clone();
        self.parameters = self.optimizer.step(config.learning_rate, parameters, sum.grads());
        loss
    }

    /// Writes the current weights into a graph of the same shape.
    pub(super) fn write_to(&self, vae: &mut Vae) {
        let graph = vae
            .encoder
            .iter_mut()
            .chain(std::iter::once(&mut vae.mu))
            .chain(vae.logvar.iter_mut())
            .chain(vae.decoder.iter_mut());
        for (layer, weights) in graph.zip(&self.parameters.layers) {
            weights.write_to(layer);
        }
    }
}

impl Plan {
    /// Gradients and losses of rows `range`, as their share of the batch.
    fn gradients(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        range: std::ops::Range<usize>,
        config: StepConfig,
        device: &Device,
    ) -> (GradientsParams, StepLoss) {
        let rows = batch.input.nrows() as f32;
        let part = |all: &Array2<f32>| tensor(all.slice(s![range.clone(), ..]), device);
        let (input, target) = (part(&batch.input), part(&batch.target));
        let head =
            |at: usize, h: Signal| self.steps[at].forward(&parameters.layers[at], h).into_vectors();
        let run = |layers: std::ops::Range<usize>, x: Tensor<2>| {
            let x = Signal::vectors(x);
            layers.fold(x, |x, at| self.steps[at].forward(&parameters.layers[at], x))
        };
        let h = run(0..self.encoder, input);
        let mu = head(self.encoder, h.clone());
        let (z, kl, decoder_at) = if self.has_logvar {
            let logvar = head(self.encoder + 1, h);
            let deviation = logvar.clone().mul_scalar(0.5).exp();
            let z = mu.clone() + deviation.clone() * part(&batch.noise);
            let kl = (mu.powi_scalar(2) + deviation.powi_scalar(2) - logvar - 1.0).sum();
            (z, Some(kl.mul_scalar(0.5 / rows)), self.encoder + 2)
        } else {
            (mu, None, self.encoder + 1)
        };
        let y = run(decoder_at..self.steps.len(), z).into_vectors();
        let nll = if self.bernoulli {
            loss::bernoulli_nll(y, target).mul_scalar(1.0 / rows)
        } else {
            let share = range.len() as f32 / rows;
            loss::gaussian_nll(y, target, config.sigma).mul_scalar(share)
        };
        let mut losses = StepLoss { nll: value(&nll), kl: 0.0 };
        let mut loss = nll;
        if let Some(kl) = kl {
            losses.kl = value(&kl);
            loss = loss + kl.mul_scalar(config.beta);
        }
        let gradients = GradientsParams::from_grads(loss.backward(), parameters);
        (gradients, losses)
    }
}

fn tensor(array: ArrayView2<'_, f32>, device: &Device) -> Tensor<2> {
    let shape = [array.len_of(Axis(0)), array.len_of(Axis(1))];
    let values = array.iter().copied().collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor, row-major.
///
/// # Panics
/// When they are not f32, which no tensor of this file is.
fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors of this file are f32")
}

fn value(scalar: &Tensor<1>) -> f64 {
    scalar.clone().into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
