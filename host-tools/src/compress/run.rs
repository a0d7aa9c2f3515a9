//! A chain of passes at work: trains, quantizes, measures; [`compress`](super::compress) says which.

use std::time::Instant;

use super::chain::{CompressConfig, CompressError};
use super::{
    Chain, ChainReport, Criterion, DistillConfig, PruneConfig, Quality, Unit, Yardstick, distill,
    importance, prune, shrink,
};
use crate::emit::Blob;
use crate::graph::Vae;
use crate::needs::{Needs, instructions, needs};
use crate::quantize::{QuantizeOptions, Settled, WeightBits, quantize_on};
use crate::recording::WindowSet;
use crate::report::Pass;
use crate::simulate::assemble_apart;
use crate::train::{FineTuneConfig, FitConfig, TeacherConfig, TrainError, Watch, fit};

/// Epochs of a student, or as many as make so many steps; its first learning rate, over that of a model that
/// is trained further.
const STUDENT_EPOCHS: usize = 8;
const STUDENT_STEPS: usize = 2_000;
const STUDENT_RATE: f64 = 8.0;
/// Windows importance is taken on.
pub(super) const OBSERVED: usize = 2_000;
/// Where a pruned network is beyond the plan, it is cut by this share, at most so often.
const TRIM: f64 = 0.99;
const TRIMS: i32 = 40;

/// What a chain made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) blob: Blob,
    /// Its float weights.
    pub(super) vae: Vae,
    /// What training in integers settled on.
    pub(super) settled: Option<Settled>,
}

/// What every chain needs.
pub(super) struct Run<'r, 'w> {
    pub(super) model: &'r Vae,
    /// Its units and what they are worth.
    pub(super) ranked: Vec<(Unit, f64)>,
    pub(super) data: &'r WindowSet<'w>,
    pub(super) held_out: &'r WindowSet<'w>,
    pub(super) config: &'r CompressConfig,
    pub(super) yardstick: &'r Yardstick,
    pub(super) reference: Quality,
    pub(super) watch: Watch<'r>,
}

impl Run<'_, '_> {
    pub(super) fn options(&self, bits: u8) -> QuantizeOptions {
        QuantizeOptions { weight_bits: WeightBits::uniform(bits), ..self.config.quantize.clone() }
    }

    /// Whether the planner says that a network keeps every limit.
    pub(super) fn within_budget(&self, vae: &Vae, options: &QuantizeOptions) -> bool {
        let needs = needs(vae, options, &self.config.detector.target);
        needs.is_ok_and(|needs| self.config.budget.broken(&needs).is_empty())
    }

    /// The model with this share of its parameters, the least important units gone.
    pub(super) fn cut(&self, keep: f64) -> Vae {
        shrink(self.model, self.ranked.clone(), (self.model.params() as f64 * keep) as usize)
    }

    /// Runs a chain and measures what comes out.
    pub(super) fn chain(
        &self,
        chain: Chain,
        start: Vae,
    ) -> Result<(ChainReport, Made), CompressError> {
        let begun = Instant::now();
        let config = self.config;
        let options = self.options(chain.bits);
        let mut vae = start;
        let mut after = vec![self.float_pass("float model", self.model, self.reference)];
        if chain.keep < 1.0 {
            self.watch.progress.set_prefix("prune");
            let pruning = PruneConfig {
                keep: chain.keep,
                fit: FitConfig { epochs: config.effort, ..config.fit.clone() },
                ..PruneConfig::default()
            };
            let pruned = prune(&vae, self.data, &pruning, self.watch)?.0;
            vae = self.trimmed(pruned, chain.keep, &options);
            after.push(self.float_pass("prune", &vae, self.yardstick.of_float(&vae)?));
        }
        if chain.student {
            self.watch.progress.set_prefix("student");
            vae = self.trained(&vae)?;
            after.push(self.float_pass("train a student", &vae, self.yardstick.of_float(&vae)?));
        }
        let mut settled = None;
        if chain.student || chain.keep < 1.0 || chain.bits == 4 {
            // Further steps with the model as the teacher, in integers where they are coarse.
            self.watch.progress.set_prefix("distil");
            let fine_tune = FineTuneConfig {
                fit: FitConfig {
                    epochs: 4 * config.effort,
                    cosine: true,
                    keep_start: true,
                    ..config.fit.clone()
                },
                quantization: (chain.bits == 4).then(|| options.clone()),
            };
            let mut teacher = TeacherConfig::of(self.model, &vae);
            if chain.student {
                // A latent of its own is not to be turned into another one.
                teacher.posterior = 0.0;
            }
            let lessons = DistillConfig { fine_tune, teacher };
            let tuned = distill(self.model, &vae, self.data, &lessons, self.watch)?;
            (vae, settled) = (tuned.vae, tuned.settled);
            let pass = if settled.is_some() { "train in integers" } else { "distill" };
            after.push(self.float_pass(pass, &vae, self.yardstick.of_float(&vae)?));
        }
        let blob = self.blob(&vae, &options, settled.as_ref())?;
        let needs = Needs {
            blob_bytes: blob.bytes().len(),
            arena_bytes: blob.model()?.arena_len(),
            instructions: instructions(&vae, &options, &config.detector.target),
        };
        let (float, int8) = (self.yardstick.of_float(&vae)?, self.yardstick.of_blob(&blob)?);
        after.push(Pass {
            pass: format!("quantize to {} bits", chain.bits),
            bytes: needs.blob_bytes,
            arena_bytes: Some(needs.arena_bytes),
            instructions: needs.instructions,
            quality: int8,
        });
        let loss = self.yardstick.relative_loss(int8.negative_elbo, self.reference.negative_elbo);
        let beyond = config.budget.broken(&needs);
        let report = ChainReport {
            chain: chain.to_string(),
            passes: chain,
            needs,
            fits: beyond.is_empty() && loss <= config.max_loss,
            beyond,
            after,
            float: Some(float),
            int8: Some(int8),
            loss: Some(loss),
            failed: None,
            seconds: begun.elapsed().as_secs_f64(),
        };
        Ok((report, Made { blob, vae, settled }))
    }

    /// A student after its training. From random weights it learns best in steps that are small and many:
    /// half the windows each, and at first far larger than those of a model that knows something.
    fn trained(&self, network: &Vae) -> Result<Vae, CompressError> {
        let config = self.config;
        let batch = (config.fit.batch / 2).max(1);
        let steps = self.data.len().div_ceil(batch).max(1);
        let epochs = config.effort * STUDENT_EPOCHS.max(STUDENT_STEPS.div_ceil(steps));
        let run = |rate: f64| {
            let learning_rate = rate * config.fit.learning_rate;
            let config =
                FitConfig { epochs, batch, learning_rate, cosine: true, ..config.fit.clone() };
            fit(network, self.data, &config, self.watch)
        };
        match run(STUDENT_RATE) {
            Err(TrainError::Diverged { .. }) => Ok(run(1.0)?.0),
            trained => Ok(trained?.0),
        }
    }

    /// A float model after a pass, its instructions those of 8-bit weights.
    fn float_pass(&self, pass: &str, vae: &Vae, quality: Quality) -> Pass {
        Pass {
            pass: pass.into(),
            bytes: 4 * vae.params(),
            arena_bytes: None,
            instructions: instructions(vae, &self.options(8), &self.config.detector.target),
            quality,
        }
    }

    /// A pruned network whose widths came out differently than planned, cut to the budget by
    /// the few units that takes; the training behind it mends them. Where that does not do, the
    /// network of the plan, which fits.
    fn trimmed(&self, vae: Vae, keep: f64, options: &QuantizeOptions) -> Vae {
        let config = self.config;
        let fits = |vae: &Vae| self.within_budget(vae, options);
        if fits(&vae) {
            return vae;
        }
        let ranked = importance(&vae, self.data, Criterion::Taylor, OBSERVED, config.fit.seed);
        let target = |step| (vae.params() as f64 * TRIM.powi(step)) as usize;
        let mut smaller = (1..=TRIMS).map(|step| shrink(&vae, ranked.clone(), target(step)));
        smaller.find(fits).unwrap_or_else(|| self.cut(keep))
    }

    fn blob(
        &self,
        vae: &Vae,
        options: &QuantizeOptions,
        settled: Option<&Settled>,
    ) -> Result<Blob, CompressError> {
        let quantized = quantize_on(vae, self.data, settled, options)?;
        // The threshold is of windows nothing was trained on.
        let detector = &self.config.detector;
        Ok(assemble_apart(quantized, self.data, self.held_out, detector)?.blob)
    }
}
