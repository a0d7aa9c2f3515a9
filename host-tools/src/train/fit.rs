//! The training loop: batches, warm-up, validation, early stopping.

use super::features::Features;
use super::finetune::{FineTuneConfig, FineTuned, Teacher};
use super::gradient::{Adam, Batch, Float, LossConfig, gradients};
use super::qat::{Qat, View};
use super::teacher::Lessons;
use super::validate::{check_unit_range, validate};
use super::{FitConfig, Stream, TrainError, split, stream};
use crate::graph::Vae;
use crate::recording::WindowSet;
use indicatif::ProgressBar;
use ndarray::Array2;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::Serialize;
use std::time::Instant;

/// What a training run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// Epochs run.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1.
    pub best_epoch: usize,
    /// Mean loss over the training windows in that epoch, nats a window.
    pub train_loss: f64,
    /// Loss over the validation windows after that epoch; `None` without any.
    pub validation_loss: Option<f64>,
    /// Windows trained on.
    pub train_windows: usize,
    /// Windows held out.
    pub validation_windows: usize,
    /// Trained numbers.
    pub params: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Wall-clock milliseconds a step, batch preparation included.
    pub step_ms: f64,
    /// Wall-clock seconds in all.
    pub seconds: f64,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
}

/// One epoch. All in nats a window; loss is `nll + beta * kl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Training loss, with the KL weight of that epoch.
    pub train_loss: f64,
    /// Its likelihood part.
    pub nll: f64,
    /// Its KL part, unweighted.
    pub kl: f64,
    /// Loss over the held-out windows, with the final KL weight.
    pub validation_loss: Option<f64>,
}

/// Fits `start` to the windows, weights of all layers free, and returns the
/// model of the best epoch.
///
/// # Errors
/// As [`super::train`].
pub fn fit(
    start: &Vae,
    data: &WindowSet<'_>,
    config: &FitConfig,
    progress: &ProgressBar,
) -> Result<(Vae, TrainReport), TrainError> {
    let config = FineTuneConfig { fit: config.clone(), quantization: None };
    let FineTuned { vae, report, .. } = finetune(start, data, None, &config, progress)?;
    Ok((vae, report))
}

/// Windows the ranges of quantization-aware training are taken from, at most.
const CALIBRATION: usize = 1_000;

/// [`fit`] with what compression asks for: forward passes in the device's integers, and a teacher.
///
/// Ranges of activations are chosen anew at the start of each epoch of the first half, and stay
/// from there on: what is kept is of the second half.
///
/// # Errors
/// As [`super::train`]; [`TrainError::Quantize`]; a teacher that does not fit the student.
pub fn finetune(
    start: &Vae,
    data: &WindowSet<'_>,
    teacher: Option<Teacher<'_>>,
    config: &FineTuneConfig,
    progress: &ProgressBar,
) -> Result<FineTuned, TrainError> {
    let FineTuneConfig { fit: config, quantization } = config;
    config.validate()?;
    start.validate()?;
    let begun = Instant::now();
    let mut rng = stream(config.seed, Stream::Split);
    let (mut train, held_out) = split::split(data, config.validation, &mut rng);
    if train.is_empty() {
        return Err(TrainError::TooFewWindows { windows: data.len() });
    }
    check_unit_range(start, data)?;

    let mut optimizer = Adam::new(start, config.weight_decay);
    let features = Features::new(data, &start.frontend);
    let mut sampler = Sampler::new(start, config);
    let mut lessons = teacher
        .map(|Teacher { vae, config: lessons }| {
            Lessons::new(vae, start, &features, data.len(), lessons, config.seed)
        })
        .transpose()?;
    let mut qat = match quantization {
        Some(options) => {
            let every = train.len().div_ceil(CALIBRATION);
            let rows: Vec<usize> = train.iter().step_by(every).copied().collect();
            Some(Qat::new(start, features.of(&rows), options)?)
        }
        None => None,
    };
    let mut shuffle = stream(config.seed, Stream::Shuffle);
    let steps_per_epoch = train.len().div_ceil(config.batch);
    progress.set_length((steps_per_epoch * config.epochs) as u64);
    let mut vae = start.clone();
    let mut best = (start.clone(), None, f64::INFINITY);
    let mut report = TrainReport {
        epochs: 0,
        best_epoch: 0,
        train_loss: f64::INFINITY,
        validation_loss: None,
        train_windows: train.len(),
        validation_windows: held_out.len(),
        params: start.params(),
        steps: 0,
        step_ms: 0.0,
        seconds: 0.0,
        history: Vec::new(),
    };
    let mut stepping = 0.0;
    for epoch in 1..=config.epochs {
        let epoch_begun = Instant::now();
        let settling = 2 * epoch <= config.epochs + 1;
        if let Some(qat) = qat.as_mut().filter(|_| settling && epoch > 1) {
            qat.observe(&vae)?;
        }
        train.shuffle(&mut shuffle);
        let (mut nll, mut kl, mut loss) = (0.0, 0.0, 0.0);
        for indices in train.chunks(config.batch) {
            let step = config.step(report.steps, steps_per_epoch);
            let mut batch = sampler.batch(&features, indices);
            if let Some(lessons) = &mut lessons {
                let left = 1.0 - report.steps as f32 / (steps_per_epoch * config.epochs) as f32;
                lessons.teach(&mut batch, indices, left);
            }
            let (gradient, batch_loss) = match &mut qat {
                Some(qat) => {
                    let View { mirror, effective } = qat.lower(&vae)?;
                    let (mut gradient, loss) =
                        gradients(effective, &batch, step.loss, config.shards, mirror);
                    qat.learn(&vae, &mut gradient, step.learning_rate);
                    (gradient, loss)
                }
                None => gradients(&vae, &batch, step.loss, config.shards, &Float),
            };
            optimizer.step(&mut vae, &gradient, step.learning_rate);
            let total = batch_loss.nll
                + f64::from(step.loss.beta) * batch_loss.kl
                + batch_loss.distillation;
            if !total.is_finite() {
                return Err(TrainError::Diverged { epoch, loss: total });
            }
            let share = indices.len() as f64 / train.len() as f64;
            nll += share * batch_loss.nll;
            kl += share * batch_loss.kl;
            loss += share * total;
            report.steps += 1;
            progress.inc(1);
        }
        stepping += epoch_begun.elapsed().as_secs_f64();
        let (settled, validation_loss) = match &qat {
            Some(qat) => {
                let (settled, View { mirror, effective }) = qat.settle(&vae)?;
                (Some(settled), validate(&effective, &mirror, &features, &held_out, config))
            }
            None => (None, validate(&vae, &Float, &features, &held_out, config)),
        };
        report.epochs = epoch;
        report.history.push(EpochRecord { epoch, train_loss: loss, nll, kl, validation_loss });
        progress.set_message(match validation_loss {
            Some(held_out) => format!("epoch {epoch}: loss {loss:.3}, held out {held_out:.3}"),
            None => format!("epoch {epoch}: loss {loss:.3}"),
        });
        // Without held-out windows the last epoch is as good as any; with ranges that still
        // move, the last of these.
        let provisional = qat.is_some() && settling;
        if provisional || validation_loss.is_none_or(|v| v < best.2) {
            let to_beat = if provisional { f64::INFINITY } else { validation_loss.unwrap_or(loss) };
            best = (vae.clone(), settled, to_beat);
            report.best_epoch = epoch;
            report.train_loss = loss;
            report.validation_loss = validation_loss;
        }
        // While the KL weight still grows, a worse loss means nothing.
        let warm = epoch as f32 >= config.beta_warmup;
        let stale = epoch - report.best_epoch.max(config.beta_warmup as usize).min(epoch);
        if warm && config.patience.is_some_and(|patience| stale >= patience.max(1)) {
            break;
        }
    }
    progress.finish_and_clear();
    report.step_ms = 1e3 * stepping / report.steps.max(1) as f64;
    report.seconds = begun.elapsed().as_secs_f64();
    let (vae, settled, _) = best;
    vae.validate()?;
    Ok(FineTuned { vae, settled, report })
}

impl FitConfig {
    /// Learning rate and KL weight of the step numbered `step` from 0.
    fn step(&self, step: usize, steps_per_epoch: usize) -> StepConfig {
        let epochs = step as f64 / steps_per_epoch as f64;
        let progress = epochs / self.epochs as f64;
        let factor =
            if self.cosine { 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()) } else { 1.0 };
        let warm =
            if self.beta_warmup > 0.0 { (epochs as f32 / self.beta_warmup).min(1.0) } else { 1.0 };
        StepConfig {
            learning_rate: self.learning_rate * factor,
            loss: LossConfig { beta: self.beta * warm, sigma: self.sigma },
        }
    }
}

/// What one step uses.
struct StepConfig {
    learning_rate: f64,
    loss: LossConfig,
}

/// Draws batches with their noise.
struct Sampler<'a> {
    vae: &'a Vae,
    input_noise: f32,
    input_dropout: f32,
    latent: rand_chacha::ChaCha8Rng,
    corruption: rand_chacha::ChaCha8Rng,
}

impl<'a> Sampler<'a> {
    fn new(vae: &'a Vae, config: &FitConfig) -> Self {
        Self {
            vae,
            input_noise: config.input_noise,
            input_dropout: config.input_dropout,
            latent: stream(config.seed, Stream::Latent),
            corruption: stream(config.seed, Stream::Corruption),
        }
    }

    fn batch(&mut self, data: &Features<'_, '_>, indices: &[usize]) -> Batch {
        let target = data.of(indices);
        let mut input = target.clone();
        let rng = &mut self.corruption;
        if self.input_noise > 0.0 {
            let noise = normal((input.nrows(), input.ncols()), rng);
            input.scaled_add(self.input_noise, &noise);
        }
        if self.input_dropout > 0.0 {
            let p = self.input_dropout;
            input.mapv_inplace(|x| if rng.random::<f32>() < p { 0.0 } else { x });
        }
        Batch {
            input,
            target,
            noise: normal((indices.len(), self.vae.latent_len()), &mut self.latent),
            teacher: None,
        }
    }
}

/// Standard normal draws.
pub(super) fn normal(shape: (usize, usize), rng: &mut impl Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || StandardNormal.sample(rng))
}
