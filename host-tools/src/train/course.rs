//! Everything that moves while a model is trained: epoch by epoch, and to and from a checkpoint.

use std::time::Instant;

use indicatif::ProgressBar;
use ndarray::Array2;

use super::checkpoint::{Grids, Snapshot, Weights};
use super::features::Features;
use super::gradient::{Adam, Float, gradients};
use super::qat::{Qat, View};
use super::sampler::Sampler;
use super::teacher::Lessons;
use super::validate::validate;
use super::{EpochRecord, FineTuned, FitConfig, TrainError, TrainReport};
use crate::blocks::Mask;
use crate::graph::Vae;
use crate::quantize::{QuantizeOptions, Settled};

/// A training under way.
pub(super) struct Course<'t> {
    vae: Vae,
    best: Best,
    optimizer: Adam,
    /// Pruned blocks, which stay empty.
    mask: Mask,
    sampler: Sampler<'t>,
    lessons: Option<Lessons<'t>>,
    qat: Option<Qat>,
    /// What happened so far.
    pub(super) report: TrainReport,
    /// Seconds of all steps.
    stepping: f64,
}

/// The best epoch so far.
struct Best {
    vae: Vae,
    settled: Option<Settled>,
    /// Held-out loss that a better one is below.
    to_beat: f64,
}

/// Features that ranges are taken from, and how a training quantizes.
type Calibration<'t> = Option<(Array2<f32>, &'t QuantizeOptions)>;

impl<'t> Course<'t> {
    /// Before the first step.
    pub(super) fn new(
        start: &Vae,
        config: &FitConfig,
        sampler: Sampler<'t>,
        lessons: Option<Lessons<'t>>,
        calibration: Calibration<'_>,
        report: TrainReport,
    ) -> Result<Self, TrainError> {
        let qat = calibration.map(|(features, options)| Qat::new(start, features, options));
        Ok(Self {
            vae: start.clone(),
            best: Best { vae: start.clone(), settled: None, to_beat: f64::INFINITY },
            optimizer: Adam::new(start, config.weight_decay),
            mask: Mask::of(start),
            sampler,
            lessons,
            qat: qat.transpose()?,
            report,
            stepping: 0.0,
        })
    }

    /// Where [`snapshot`](Self::snapshot) was taken.
    pub(super) fn resumed(
        start: &Vae,
        mut sampler: Sampler<'t>,
        mut lessons: Option<Lessons<'t>>,
        calibration: Calibration<'_>,
        snapshot: Snapshot,
    ) -> Result<Self, TrainError> {
        let [latent, corruption, teacher] = snapshot.streams;
        sampler.seek([latent, corruption]);
        if let Some(lessons) = &mut lessons {
            lessons.seek(teacher);
        }
        let vae = snapshot.weights.of_model(start);
        let options = calibration.as_ref().map(|(_, options)| *options);
        let settled = |grids: Grids| Some(grids.settled(start, options?));
        let best = Best {
            vae: snapshot.best.of_model(start),
            settled: snapshot.best_grids.and_then(settled),
            to_beat: snapshot.to_beat,
        };
        let qat = match (calibration, snapshot.qat) {
            (Some((features, options)), Some((grids, learned))) => {
                Some(Qat::resumed(&vae, features, grids.settled(start, options), learned)?)
            }
            _ => None,
        };
        let (report, stepping) = (snapshot.report, snapshot.stepping);
        let (optimizer, mask) = (snapshot.optimizer, Mask::of(start));
        Ok(Self { vae, best, optimizer, mask, sampler, lessons, qat, report, stepping })
    }

    /// All that the epochs to come depend on.
    pub(super) fn snapshot(&self) -> Snapshot {
        let [latent, corruption] = self.sampler.positions();
        let teacher = self.lessons.as_ref().map_or(0, Lessons::position);
        Snapshot {
            weights: Weights::of(&self.vae),
            optimizer: self.optimizer.clone(),
            best: Weights::of(&self.best.vae),
            best_grids: self.best.settled.as_ref().map(|grids| Grids::of(grids, &self.vae)),
            to_beat: self.best.to_beat,
            streams: [latent, corruption, teacher],
            qat: self.qat.as_ref().map(|qat| {
                let (settled, learned) = qat.kept();
                (Grids::of(settled, &self.vae), learned.clone())
            }),
            report: self.report.clone(),
            stepping: self.stepping,
        }
    }

    /// Lets the network as it was given compete with what epochs make of it. One trained in integers
    /// does not: its ranges move yet.
    pub(super) fn count_start(
        &mut self,
        config: &FitConfig,
        features: &Features<'_, '_>,
        held_out: &[usize],
    ) {
        if self.qat.is_some() {
            return;
        }
        let loss = validate(&self.vae, &Float, features, held_out, config);
        // One that is no number is beaten by any.
        let Some(loss) = loss.filter(|loss| loss.is_finite()) else { return };
        self.best.to_beat = loss;
        self.report.validation_loss = Some(loss);
    }

    /// Whether ranges are still chosen anew in an epoch.
    fn is_settling(epoch: usize, config: &FitConfig) -> bool {
        2 * epoch <= config.epochs + 1
    }

    /// A pass over the windows in this order.
    pub(super) fn epoch(
        &mut self,
        config: &FitConfig,
        features: &Features<'_, '_>,
        order: &[usize],
        progress: &ProgressBar,
    ) -> Result<(), TrainError> {
        let begun = Instant::now();
        let epoch = self.report.epochs + 1;
        let steps_per_epoch = order.len().div_ceil(config.batch);
        let settling = Self::is_settling(epoch, config);
        if let Some(qat) = self.qat.as_mut().filter(|_| settling && epoch > 1) {
            qat.observe(&self.vae)?;
        }
        let (mut nll, mut kl, mut loss) = (0.0, 0.0, 0.0);
        for indices in order.chunks(config.batch) {
            let step = config.step(self.report.steps, steps_per_epoch);
            let mut batch = self.sampler.batch(features, indices);
            if let Some(lessons) = &mut self.lessons {
                let all = steps_per_epoch * config.epochs;
                let left = 1.0 - self.report.steps as f32 / all as f32;
                lessons.teach(&mut batch, indices, left);
            }
            let (gradient, batch_loss) = match &mut self.qat {
                Some(qat) => {
                    let View { mirror, effective } = qat.lower(&self.vae)?;
                    let (mut gradient, loss) =
                        gradients(effective, &batch, step.loss, config.shards, mirror);
                    qat.learn(&self.vae, &mut gradient, step.learning_rate);
                    (gradient, loss)
                }
                None => gradients(&self.vae, &batch, step.loss, config.shards, &Float),
            };
            self.optimizer.step(&mut self.vae, &gradient, step.learning_rate);
            self.mask.apply(&mut self.vae);
            let total = batch_loss.nll
                + f64::from(step.loss.beta) * batch_loss.kl
                + batch_loss.distillation;
            if !total.is_finite() {
                return Err(TrainError::Diverged { epoch, loss: total });
            }
            let share = indices.len() as f64 / order.len() as f64;
            nll += share * batch_loss.nll;
            kl += share * batch_loss.kl;
            loss += share * total;
            self.report.steps += 1;
            progress.inc(1);
        }
        self.stepping += begun.elapsed().as_secs_f64();
        self.report.epochs = epoch;
        let validation_loss = None;
        self.report.history.push(EpochRecord { epoch, train_loss: loss, nll, kl, validation_loss });
        Ok(())
    }

    /// Measures what the epoch gave, and keeps it if it is the best.
    pub(super) fn judge(
        &mut self,
        config: &FitConfig,
        features: &Features<'_, '_>,
        held_out: &[usize],
        progress: &ProgressBar,
    ) -> Result<(), TrainError> {
        let (settled, validation_loss) = match &self.qat {
            Some(qat) => {
                let (settled, View { mirror, effective }) = qat.settle(&self.vae)?;
                (Some(settled), validate(&effective, &mirror, features, held_out, config))
            }
            None => (None, validate(&self.vae, &Float, features, held_out, config)),
        };
        let report = &mut self.report;
        let Some(record) = report.history.last_mut() else { return Ok(()) };
        record.validation_loss = validation_loss;
        let EpochRecord { epoch, train_loss: loss, .. } = *record;
        progress.set_message(match validation_loss {
            Some(held_out) => format!("epoch {epoch}: loss {loss:.3}, held out {held_out:.3}"),
            None => format!("epoch {epoch}: loss {loss:.3}"),
        });
        // Without held-out windows the last epoch is as good as any; with ranges that still
        // move, the last of these.
        let provisional = self.qat.is_some() && Self::is_settling(epoch, config);
        if provisional || validation_loss.is_none_or(|v| v < self.best.to_beat) {
            let to_beat = if provisional { f64::INFINITY } else { validation_loss.unwrap_or(loss) };
            self.best = Best { vae: self.vae.clone(), settled, to_beat };
            report.best_epoch = epoch;
            report.train_loss = loss;
            report.validation_loss = validation_loss;
        }
        Ok(())
    }

    /// After the last epoch: over the held-out windows, or in training without any.
    pub(super) fn loss(&self) -> f64 {
        let last = self.report.history.last();
        last.map_or(f64::INFINITY, |last| last.validation_loss.unwrap_or(last.train_loss))
    }

    /// Whether it has not become better for too long.
    pub(super) fn is_over(&self, config: &FitConfig) -> bool {
        let epoch = self.report.epochs;
        // While the KL weight still grows, a worse loss means nothing.
        let warm = epoch as f32 >= config.beta_warmup;
        let stale = epoch - self.report.best_epoch.max(config.beta_warmup as usize).min(epoch);
        warm && config.patience.is_some_and(|patience| stale >= patience.max(1))
    }

    /// The best epoch's model.
    pub(super) fn finish(self) -> Result<FineTuned, TrainError> {
        let Self { best, mut report, stepping, .. } = self;
        report.step_ms = 1e3 * stepping / report.steps.max(1) as f64;
        best.vae.validate()?;
        Ok(FineTuned { vae: best.vae, settled: best.settled, report })
    }
}
