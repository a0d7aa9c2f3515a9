//! The training loop: batches, warm-up, validation, early stopping.

use super::checkpoint::{Outcome, Settings, State, Watch};
use super::course::Course;
use super::features::Features;
use super::finetune::{FineTuneConfig, FineTuned, Teacher};
use super::gradient::LossConfig;
use super::precision::with_residual_precision;
use super::sampler::Sampler;
use super::starts::{self, fit_weights};
use super::teacher::Lessons;
use super::validate::{check_length, check_unit_range};
use super::{FitConfig, Stream, TrainError, split, stream};
use crate::graph::Vae;
use crate::quantize::QuantizeOptions;
use crate::recording::WindowSet;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What a training run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Epochs run.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 1; 0 where none was better than the model given
    /// ([`FitConfig::keep_start`]), whose weights are as they were then.
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
    /// Where several beginnings were tried ([`super::TrainConfig::starts`]), the loss of each: over the
    /// held-out windows, or in training without any; infinite where it diverged.
    pub starts: Vec<f64>,
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
/// model of the best epoch, a Gaussian one with the precision of its residuals.
///
/// # Errors
/// As [`super::train`].
pub fn fit<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    config: &FitConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<(Vae, TrainReport), TrainError> {
    let (vae, report) = fit_weights(start, std::iter::empty(), data, config, watch.into())?;
    Ok((with_residual_precision(vae, data)?, report))
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
    let tuned = run(start, std::iter::empty(), data, teacher, config, watch.into())?;
    Ok(FineTuned { vae: with_residual_precision(tuned.vae, data)?, ..tuned })
}

/// [`finetune`] of the weights of the best beginning of `start` and `others`, which are of its shape ([`starts`]).
pub(super) fn run(
    start: &Vae,
    others: impl ExactSizeIterator<Item = Vae>,
    data: &WindowSet<'_>,
    teacher: Option<Teacher<'_>>,
    config: &FineTuneConfig,
    watch: Watch<'_>,
) -> Result<FineTuned, TrainError> {
    let FineTuneConfig { fit: config, quantization } = config;
    config.validate()?;
    start.validate()?;
    let options = quantization.as_ref();
    let state = match watch.checkpoint {
        Some(checkpoint) => {
            let settings = Settings::default()
                .and("starts", 1 + others.len())
                .and_all(config)
                .and_quantization(options)
                .and_teacher(teacher)
                .and_data("data", data)
                .and_model("model", start);
            checkpoint.begin(settings)?
        }
        None => State::Begun,
    };
    if let State::Finished(outcome) = state {
        return Ok(outcome.tuned(start, options));
    }
    let is_fresh = matches!(state, State::Begun);
    let training = Training::new(start, data, config)?;
    let state = starts::best(&training, others, state, watch)?;
    let mut course = training.course(start, teacher, options, state)?;
    if is_fresh && config.keep_start {
        course.count_start(config, &training.features, &training.held_out);
    }
    training.run(&mut course, config.epochs, watch)?;
    watch.progress.finish_and_clear();
    let tuned = course.finish()?;
    if let Some(checkpoint) = watch.checkpoint {
        checkpoint.keep(State::Finished(Box::new(Outcome::of(&tuned))))?;
    }
    Ok(tuned)
}

/// What a training is run on, which no epoch changes.
pub(super) struct Training<'t, 's> {
    /// The network, or the first of those that are tried.
    pub(super) start: &'t Vae,
    pub(super) config: &'t FitConfig,
    data: &'t WindowSet<'s>,
    features: Features<'t, 's>,
    train: Vec<usize>,
    held_out: Vec<usize>,
    pub(super) begun: Instant,
}

impl<'t, 's> Training<'t, 's> {
    fn new(
        start: &'t Vae,
        data: &'t WindowSet<'s>,
        config: &'t FitConfig,
    ) -> Result<Self, TrainError> {
        let begun = Instant::now();
        let mut rng = stream(config.seed, Stream::Split);
        let (train, held_out) = split::split(data, config.validation, &mut rng);
        if train.is_empty() {
            return Err(TrainError::TooFewWindows { windows: data.len() });
        }
        check_length(start, data)?;
        check_unit_range(start, data)?;
        let features = Features::new(data, &start.frontend);
        Ok(Self { start, config, data, features, train, held_out, begun })
    }

    /// Before the next epoch of a training of `start` that is as far as `state`.
    pub(super) fn course<'c>(
        &self,
        start: &'c Vae,
        teacher: Option<Teacher<'c>>,
        quantization: Option<&QuantizeOptions>,
        state: State,
    ) -> Result<Course<'c>, TrainError> {
        let config = self.config;
        let lessons = teacher
            .map(|Teacher { vae, config: lessons }| {
                Lessons::new(vae, start, &self.features, self.data.len(), lessons, config.seed)
            })
            .transpose()?;
        let calibration = quantization.map(|options| {
            let every = self.train.len().div_ceil(CALIBRATION);
            let rows: Vec<usize> = self.train.iter().step_by(every).copied().collect();
            (self.features.of(&rows), options)
        });
        let sampler = Sampler::new(start, config);
        if let State::Running(snapshot) = state {
            return Course::resumed(start, sampler, lessons, calibration, *snapshot);
        }
        let report = TrainReport {
            epochs: 0,
            best_epoch: 0,
            train_loss: f64::INFINITY,
            validation_loss: None,
            train_windows: self.train.len(),
            validation_windows: self.held_out.len(),
            params: start.params(),
            steps: 0,
            step_ms: 0.0,
            seconds: 0.0,
            starts: Vec::new(),
            history: Vec::new(),
        };
        Course::new(start, config, sampler, lessons, calibration, report)
    }

    /// Runs the epochs up to the one numbered `last`, or until nothing becomes better.
    pub(super) fn run(
        &self,
        course: &mut Course<'_>,
        last: usize,
        watch: Watch<'_>,
    ) -> Result<(), TrainError> {
        let Watch { progress, checkpoint } = watch;
        let config = self.config;
        progress.set_length((self.train.len().div_ceil(config.batch) * last) as u64);
        progress.set_position(course.report.steps as u64);
        let (done, earlier) = (course.report.epochs, course.report.seconds);
        course.report.seconds = earlier + self.begun.elapsed().as_secs_f64();
        if done > 0 && course.is_over(config) {
            return Ok(());
        }
        let mut shuffle = stream(config.seed, Stream::Shuffle);
        let mut order = self.train.clone();
        // Each order is shuffled out of the one before.
        (0..done).for_each(|_| order.shuffle(&mut shuffle));
        for epoch in done + 1..=last {
            order.shuffle(&mut shuffle);
            course.epoch(config, &self.features, &order, progress)?;
            course.judge(config, &self.features, &self.held_out, progress)?;
            course.report.seconds = earlier + self.begun.elapsed().as_secs_f64();
            if epoch == last || course.is_over(config) {
                break;
            }
            if let Some(checkpoint) = checkpoint {
                checkpoint.keep(State::Running(Box::new(course.snapshot())))?;
            }
        }
        Ok(())
    }
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
