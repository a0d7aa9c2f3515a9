//! Chains of passes that bring a model under a budget, cheapest first.

use std::time::Instant;

use super::student::student;
use super::{
    Chain, ChainReport, Criterion, DistillConfig, PruneConfig, PruneError, Quality, Yardstick,
    YardstickError, distill, importance, prune, shrink,
};
use crate::emit::{Blob, BlobError};
use crate::graph::Vae;
use crate::needs::{Needs, NeedsError, instructions, needs};
use crate::quantize::{QuantizeError, QuantizeOptions, Settled, WeightBits, quantize_on};
use crate::recording::WindowSet;
use crate::report::Pass;
use crate::search::Budget;
use crate::simulate::{AssembleError, DetectorOptions, assemble_apart};
use crate::train::{FineTuneConfig, FitConfig, Image, TeacherConfig, TrainError, Watch, finetune};

/// What a model is brought to.
#[derive(Debug, Clone, PartialEq)]
pub struct CompressConfig {
    /// Hard limits.
    pub budget: Budget,
    /// How much the negative ELBO of held-out windows may rise, as a share.
    pub max_loss: f64,
    /// Rounds and epochs of training a chain takes are multiples of this.
    pub effort: usize,
    /// Students convolve the features as an image of this size.
    pub image: Option<Image>,
    /// Steps, rates, seed of all training.
    pub fit: FitConfig,
    /// Ranges and rounding.
    pub quantize: QuantizeOptions,
    /// Target, false-alarm rate, decision.
    pub detector: DetectorOptions,
}

/// A compressed model.
#[derive(Debug, Clone)]
pub struct Compressed {
    /// The blob.
    pub blob: Blob,
    /// Its float weights.
    pub vae: Vae,
    /// Every chain that was looked at, in order.
    pub chains: Vec<ChainReport>,
    /// The one the blob is of.
    pub chosen: usize,
    /// Quality of the model to begin with.
    pub reference: Quality,
}

/// Why a model cannot be compressed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum CompressError {
    /// Nothing comes under the budget.
    #[error("no chain of passes comes under the budget: {blocked}")]
    #[diagnostic(help("raise what blocks, or search for another network with `picovae search`"))]
    Nothing {
        /// What the smallest network needs, and which limit that is beyond.
        blocked: String,
    },
    /// Training.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    /// Pruning.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prune(#[from] PruneError),
    /// Quantization.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Quantize(#[from] QuantizeError),
    /// Planning.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Needs(#[from] NeedsError),
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Assemble(#[from] AssembleError),
    /// Reading the blob back.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// Measuring.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Yardstick(#[from] YardstickError),
}

/// Epochs of a student, or as many as make so many steps; its first learning rate, over that of a model that
/// is trained further.
const STUDENT_EPOCHS: usize = 8;
const STUDENT_STEPS: usize = 2_000;
const STUDENT_RATE: f64 = 8.0;
/// Windows importance is taken on.
const OBSERVED: usize = 2_000;
/// The least share of the parameters pruning is tried with.
const LEAST: f64 = 0.01;
/// Widths differ from the plan where importance changes while pruning: so much is kept free for it.
const SPARE: f64 = 0.98;
/// And where that is not enough, the network is cut by this share, at most so often.
const TRIM: f64 = 0.99;
const TRIMS: i32 = 40;

/// What a chain begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Whole,
    Pruned,
    Student,
}

/// Looks for the cheapest chain that keeps budget and loss: 8 bits, 4 bits, 8 bits after
/// pruning, 4 bits after pruning less, a student of 8 bits, a larger one of 4. Where none keeps the loss, what keeps the budget
/// with the least loss is given; `chains[chosen].fits` tells.
///
/// # Errors
/// [`CompressError`]; [`CompressError::Nothing`] where nothing comes under the budget.
pub fn compress<'w>(
    model: &Vae,
    data: &WindowSet<'_>,
    held_out: &WindowSet<'_>,
    config: &CompressConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<Compressed, CompressError> {
    let yardstick = Yardstick::new(model, held_out, config.fit.seed)?;
    let reference = yardstick.of_float(model)?;
    let run = Run {
        model,
        data,
        held_out,
        config,
        yardstick: &yardstick,
        reference,
        watch: watch.into(),
    };
    let ranked = importance(model, data, Criterion::Taylor, OBSERVED, config.fit.seed);
    let at = |keep: f64| shrink(model, ranked.clone(), (model.params() as f64 * keep) as usize);
    let mut chains: Vec<ChainReport> = Vec::new();
    let mut best: Option<(usize, Blob, Vae)> = None;
    let ways = [Way::Whole, Way::Pruned, Way::Student];
    for (way, bits) in ways.into_iter().flat_map(|way| [(way, 8), (way, 4)]) {
        let options = run.options(bits);
        let target = &config.detector.target;
        let whole = needs(model, &options, target)?;
        let beyond = config.budget.broken(&whole);
        let plan = |keep: f64| Chain { student: way == Way::Student, keep, bits };
        let fits = |vae: &Vae| run.within_budget(vae, &options);
        let (chain, start) = match way {
            Way::Whole if beyond.is_empty() => (plan(1.0), model.clone()),
            Way::Whole => {
                chains.push(ChainReport::planned(plan(1.0), whole, beyond));
                continue;
            }
            // What already fits whole was tried, and lost too much: a smaller one will not mend it.
            _ if beyond.is_empty() => continue,
            Way::Pruned => {
                if !fits(&at(LEAST)) {
                    let small = needs(&at(LEAST), &options, target)?;
                    let beyond = config.budget.broken(&small);
                    chains.push(ChainReport::planned(plan(LEAST), small, beyond));
                    continue;
                }
                let (mut low, mut high) = (LEAST, 1.0);
                for _ in 0..12 {
                    let middle = (low * high).sqrt();
                    if fits(&at(middle)) { low = middle } else { high = middle }
                }
                (plan(low * SPARE), model.clone())
            }
            Way::Student => match student(model, config.image, config.fit.seed, fits)? {
                Some(network) => (plan(1.0), network),
                None => continue,
            },
        };
        let (report, blob, vae) = run.chain(chain, start)?;
        let loss = |report: &ChainReport| report.loss.unwrap_or(f64::INFINITY);
        let better = best.as_ref().is_none_or(|(at, ..)| loss(&report) < loss(&chains[*at]));
        let fits = report.fits;
        if report.beyond.is_empty() && (fits || better) {
            best = Some((chains.len(), blob, vae));
        }
        chains.push(report);
        if fits {
            break;
        }
    }
    let Some((chosen, blob, vae)) = best else {
        let nearest = chains.iter().min_by_key(|chain| chain.needs.blob_bytes);
        let blocked = nearest.map_or("there is no chain".into(), |chain| {
            let Needs { blob_bytes, arena_bytes, instructions } = chain.needs;
            let time = instructions.map_or("no prediction of".into(), |n| n.to_string());
            let beyond: Vec<String> = chain.beyond.iter().map(ToString::to_string).collect();
            format!(
                "the smallest takes {blob_bytes} bytes of flash, {arena_bytes} of RAM, {time} instructions; beyond the limit of {}",
                beyond.join(", ")
            )
        });
        return Err(CompressError::Nothing { blocked });
    };
    Ok(Compressed { blob, vae, chains, chosen, reference })
}

/// What every chain needs.
struct Run<'r, 'w> {
    model: &'r Vae,
    data: &'r WindowSet<'w>,
    held_out: &'r WindowSet<'w>,
    config: &'r CompressConfig,
    yardstick: &'r Yardstick,
    reference: Quality,
    watch: Watch<'r>,
}

impl Run<'_, '_> {
    fn options(&self, bits: u8) -> QuantizeOptions {
        QuantizeOptions { weight_bits: WeightBits::uniform(bits), ..self.config.quantize.clone() }
    }

    /// Whether the planner says that a network keeps every limit.
    fn within_budget(&self, vae: &Vae, options: &QuantizeOptions) -> bool {
        let needs = needs(vae, options, &self.config.detector.target);
        needs.is_ok_and(|needs| self.config.budget.broken(&needs).is_empty())
    }

    /// Runs a chain and measures what comes out.
    fn chain(&self, chain: Chain, start: Vae) -> Result<(ChainReport, Blob, Vae), CompressError> {
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
            vae = self.trimmed(prune(&vae, self.data, &pruning, self.watch)?.0, &options);
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
                fit: FitConfig { epochs: 4 * config.effort, cosine: true, ..config.fit.clone() },
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
            seconds: begun.elapsed().as_secs_f64(),
        };
        Ok((report, blob, vae))
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
            let fit =
                FitConfig { epochs, batch, learning_rate, cosine: true, ..config.fit.clone() };
            let config = FineTuneConfig { fit, quantization: None };
            finetune(network, self.data, None, &config, self.watch)
        };
        match run(STUDENT_RATE) {
            Err(TrainError::Diverged { .. }) => Ok(run(1.0)?.vae),
            tuned => Ok(tuned?.vae),
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
    /// the few units that takes; the training behind it mends them.
    fn trimmed(&self, vae: Vae, options: &QuantizeOptions) -> Vae {
        let config = self.config;
        let fits = |vae: &Vae| self.within_budget(vae, options);
        if fits(&vae) {
            return vae;
        }
        let ranked = importance(&vae, self.data, Criterion::Taylor, OBSERVED, config.fit.seed);
        let target = |step| (vae.params() as f64 * TRIM.powi(step)) as usize;
        let mut smaller = (1..=TRIMS).map(|step| shrink(&vae, ranked.clone(), target(step)));
        smaller.find(fits).unwrap_or(vae)
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
