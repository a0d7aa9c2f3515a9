//! Chains of passes that bring a model under a budget, cheapest first.

use std::time::Instant;

use serde::Serialize;

use super::{
    Criterion, DistillConfig, PruneConfig, PruneError, Quality, Yardstick, YardstickError, distill,
    importance, prune, shrink,
};
use crate::emit::{Blob, BlobError};
use crate::graph::Vae;
use crate::needs::{Needs, NeedsError, instructions, needs};
use crate::quantize::{QuantizeError, QuantizeOptions, Settled, WeightBits, quantize_on};
use crate::recording::WindowSet;
use crate::report::Pass;
use crate::search::{Budget, Limit};
use crate::simulate::{AssembleError, DetectorOptions, assemble_apart};
use crate::train::{FineTuneConfig, FitConfig, TeacherConfig, TrainError, Watch};

/// What a model is brought to.
#[derive(Debug, Clone, PartialEq)]
pub struct CompressConfig {
    /// Hard limits.
    pub budget: Budget,
    /// How much the negative ELBO of held-out windows may rise, as a share.
    pub max_loss: f64,
    /// Rounds and epochs of training a chain takes are multiples of this.
    pub effort: usize,
    /// Steps, rates, seed of all training.
    pub fit: FitConfig,
    /// Ranges and rounding.
    pub quantize: QuantizeOptions,
    /// Target, false-alarm rate, decision.
    pub detector: DetectorOptions,
}

/// A chain of passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chain {
    /// Share of the parameters that pruning keeps; 1 prunes nothing.
    pub keep: f64,
    /// Bits of the weights; 4 bits are trained in the device's integers.
    pub bits: u8,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.keep < 1.0 {
            write!(f, "prune to {:.1} %, ", 100.0 * self.keep)?;
        }
        match self.bits {
            4 => f.write_str("4-bit weights trained in integers, quantize"),
            _ => f.write_str("quantize"),
        }
    }
}

/// What a chain gave, or why it was not run.
#[derive(Debug, Clone, Serialize)]
pub struct ChainReport {
    /// The passes, in words.
    pub chain: String,
    /// The passes.
    #[serde(flatten)]
    pub passes: Chain,
    /// Flash, RAM and time: of the blob, or predicted where the chain was not run.
    pub needs: Needs,
    /// Limits it is beyond.
    pub beyond: Vec<Limit>,
    /// The model, and what it is after each pass; empty where the chain was not run.
    pub after: Vec<Pass>,
    /// Of the float model before quantization; `None` where the chain was not run.
    pub float: Option<Quality>,
    /// Of the blob.
    pub int8: Option<Quality>,
    /// Rise of the negative ELBO over the model's, as a share of it.
    pub loss: Option<f64>,
    /// Whether budget and loss are kept.
    pub fits: bool,
    /// Seconds it took.
    pub seconds: f64,
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

/// Windows importance is taken on.
const OBSERVED: usize = 2_000;
/// The least share of the parameters pruning is tried with.
const LEAST: f64 = 0.01;
/// Widths differ from the plan where importance changes while pruning: so much is kept free for it.
const SPARE: f64 = 0.98;
/// And where that is not enough, the network is cut by this share, at most so often.
const TRIM: f64 = 0.99;
const TRIMS: i32 = 40;

/// Looks for the cheapest chain that keeps budget and loss: 8 bits, 4 bits, 8 bits after
/// pruning, 4 bits after pruning less. Where none keeps the loss, what keeps the budget
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
    for (pruned, bits) in [(false, 8), (false, 4), (true, 8), (true, 4)] {
        let options = run.options(bits);
        let target = &config.detector.target;
        let whole = needs(model, &options, target)?;
        let beyond = config.budget.broken(&whole);
        let chain = match pruned {
            false if beyond.is_empty() => Chain { keep: 1.0, bits },
            // What already fits whole was tried, and lost too much: pruning will not mend it.
            true if beyond.is_empty() => continue,
            false => {
                chains.push(ChainReport::planned(Chain { keep: 1.0, bits }, whole, beyond));
                continue;
            }
            true => {
                let fits = |keep: f64| {
                    let small = needs(&at(keep), &options, target);
                    small.is_ok_and(|needs| config.budget.broken(&needs).is_empty())
                };
                if !fits(LEAST) {
                    let small = needs(&at(LEAST), &options, target)?;
                    let beyond = config.budget.broken(&small);
                    chains.push(ChainReport::planned(Chain { keep: LEAST, bits }, small, beyond));
                    continue;
                }
                let (mut low, mut high) = (LEAST, 1.0);
                for _ in 0..12 {
                    let middle = (low * high).sqrt();
                    if fits(middle) { low = middle } else { high = middle }
                }
                Chain { keep: low * SPARE, bits }
            }
        };
        let (report, blob, vae) = run.chain(chain)?;
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

impl ChainReport {
    /// Of a chain that the planner alone rules out.
    fn planned(passes: Chain, needs: Needs, beyond: Vec<Limit>) -> Self {
        Self {
            chain: passes.to_string(),
            passes,
            needs,
            beyond,
            after: Vec::new(),
            float: None,
            int8: None,
            loss: None,
            fits: false,
            seconds: 0.0,
        }
    }

    /// Why it was chosen, or not.
    pub fn reason(&self, max_loss: f64) -> String {
        let beyond: Vec<String> = self.beyond.iter().map(ToString::to_string).collect();
        match self.loss {
            _ if !beyond.is_empty() => format!("beyond the limit of {}", beyond.join(", ")),
            Some(loss) if loss <= max_loss => "fits".into(),
            Some(loss) => {
                format!("loses {:.2} %, more than {:.2} %", 100.0 * loss, 100.0 * max_loss)
            }
            None => "not run".into(),
        }
    }
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

    /// Runs a chain and measures what comes out.
    fn chain(&self, chain: Chain) -> Result<(ChainReport, Blob, Vae), CompressError> {
        let begun = Instant::now();
        let config = self.config;
        let options = self.options(chain.bits);
        let mut vae = self.model.clone();
        let mut after = vec![self.float_pass("float model", &vae, self.reference)];
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
        let mut settled = None;
        if chain.keep < 1.0 || chain.bits == 4 {
            // Further steps with the model as the teacher, in integers where they are coarse.
            self.watch.progress.set_prefix("distil");
            let fine_tune = FineTuneConfig {
                fit: FitConfig { epochs: 4 * config.effort, cosine: true, ..config.fit.clone() },
                quantization: (chain.bits == 4).then(|| options.clone()),
            };
            let teacher = TeacherConfig::of(self.model, &vae);
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
        let fits = |vae: &Vae| {
            let needs = needs(vae, options, &config.detector.target);
            needs.is_ok_and(|needs| config.budget.broken(&needs).is_empty())
        };
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
