//! The training loop: batches, warm-up, validation, early stopping.

use super::checkpoint::{Outcome, Settings, State, Watch};
use super::course::Course;
use super::features::Features;
use super::finetune::{FineTuneConfig, FineTuned, Teacher};
use super::gradient::LossConfig;
use super::sampler::Sampler;
use super::teacher::Lessons;
use super::validate::check_unit_range;
use super::{FitConfig, Stream, TrainError, split, stream};
use crate::graph::Vae;
use crate::recording::WindowSet;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What a training run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
pub fn fit<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    config: &FitConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<(Vae, TrainReport), TrainError> {
    let config = FineTuneConfig { fit: config.clone(), quantization: None };
    let FineTuned { vae, report, .. } = finetune(start, data, None, &config, watch)?;
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
/// As [`super::train`]; [`TrainError::Quantize`]; a teacher that does not fit the student;
/// [`TrainError::Checkpoint`].
pub fn finetune<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    teacher: Option<Teacher<'_>>,
    config: &FineTuneConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<FineTuned, TrainError> {
    let Watch { progress, checkpoint } = watch.into();
    let FineTuneConfig { fit: config, quantization } = config;
    config.validate()?;
    start.validate()?;
    let state = match checkpoint {
        Some(checkpoint) => {
            let settings = Settings::default()
                .and_all(config)
                .and_quantization(quantization.as_ref())
                .and_teacher(teacher)
                .and_data("data", data)
                .and_model("model", start);
            checkpoint.begin(settings)?
        }
        None => State::Begun,
    };
    if let State::Finished(outcome) = state {
        return Ok(outcome.tuned(start, quantization.as_ref()));
    }
    let begun = Instant::now();
    let mut rng = stream(config.seed, Stream::Split);
    let (mut train, held_out) = split::split(data, config.validation, &mut rng);
    if train.is_empty() {
        return Err(TrainError::TooFewWindows { windows: data.len() });
    }
    check_unit_range(start, data)?;

    let features = Features::new(data, &start.frontend);
    let lessons = teacher
        .map(|Teacher { vae, config: lessons }| {
            Lessons::new(vae, start, &features, data.len(), lessons, config.seed)
        })
        .transpose()?;
    let calibration = quantization.as_ref().map(|options| {
        let every = train.len().div_ceil(CALIBRATION);
        let rows: Vec<usize> = train.iter().step_by(every).copied().collect();
        (features.of(&rows), options)
    });
    let mut shuffle = stream(config.seed, Stream::Shuffle);
    let steps_per_epoch = train.len().div_ceil(config.batch);
    progress.set_length((steps_per_epoch * config.epochs) as u64);
    let report = TrainReport {
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
    let sampler = Sampler::new(start, config);
    let mut course = match state {
        State::Running(snapshot) => {
            Course::resumed(start, sampler, lessons, calibration, *snapshot)?
        }
        _ => Course::new(start, config, sampler, lessons, calibration, report)?,
    };
    let (done, earlier) = (course.report.epochs, course.report.seconds);
    // Each order is shuffled out of the one before.
    (0..done).for_each(|_| train.shuffle(&mut shuffle));
    progress.set_position(course.report.steps as u64);
    for epoch in done + 1..=config.epochs {
        train.shuffle(&mut shuffle);
        course.epoch(config, &features, &train, progress)?;
        course.judge(config, &features, &held_out, progress)?;
        course.report.seconds = earlier + begun.elapsed().as_secs_f64();
        if epoch == config.epochs || course.is_over(config) {
            break;
        }
        if let Some(checkpoint) = checkpoint {
            checkpoint.keep(State::Running(Box::new(course.snapshot())))?;
        }
    }
    progress.finish_and_clear();
    let tuned = course.finish()?;
    if let Some(checkpoint) = checkpoint {
        checkpoint.keep(State::Finished(Box::new(Outcome::of(&tuned))))?;
    }
    Ok(tuned)
}

impl FitConfig {
    /// Learning rate and KL weight of the step numbered `step` from 0.
    pub(super) fn step(&self, step: usize, steps_per_epoch: usize) -> StepConfig {
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
pub(super) struct StepConfig {
    pub(super) learning_rate: f64,
    pub(super) loss: LossConfig,
}
