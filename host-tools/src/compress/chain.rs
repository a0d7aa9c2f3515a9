//! Chains of passes that bring a model under a budget, cheapest first.

use super::nearest::{blocked, nearest};
use super::run::{Made, OBSERVED, Run};
use super::student::{Student, student};
use super::{
    Chain, ChainReport, Criterion, PruneError, Quality, Yardstick, YardstickError, importance,
};
use crate::emit::{Blob, BlobError};
use crate::graph::Vae;
use crate::needs::{Needs, NeedsError, needs};
use crate::quantize::{QuantizeError, QuantizeOptions, Settled};
use crate::recording::WindowSet;
use crate::search::Budget;
use crate::simulate::{AssembleError, DetectorOptions};
use crate::train::{FitConfig, Image, TrainError, Watch, known_precision};

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
    /// What training in integers settled on, of 4-bit weights: the blob's integers are these, and no
    /// others come of the float weights alone.
    pub settled: Option<Settled>,
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
        /// What the network nearest to the budget needs, and which limits that is beyond.
        blocked: String,
        /// Its chain, of `chains`.
        nearest: Option<usize>,
        /// Every chain that was looked at, in order.
        chains: Vec<ChainReport>,
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

/// The least share of the parameters pruning is tried with.
const LEAST: f64 = 0.01;
/// Widths differ from the plan where importance changes while pruning: so much is kept free for it.
const SPARE: f64 = 0.98;

/// What a chain begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Whole,
    Pruned,
    Student,
}

/// What the planner says of a chain.
enum Plan {
    /// It keeps the budget: to be run from this network, which prunes to what needs so much.
    Run { chain: Chain, start: Box<Vae>, needs: Needs },
    /// Even its smallest network is beyond the budget.
    Beyond(ChainReport),
    /// The whole model fits, was tried, and lost too much or failed: a smaller one will not mend it.
    Vain,
}

/// Looks for the cheapest chain that keeps budget and loss: 8 bits, 4 bits, 8 bits after
/// pruning, 4 bits after pruning less, a student of 8 bits, a larger one of 4. Where none keeps the loss, what keeps the budget
/// with the least loss is given; `chains[chosen].fits` tells. A chain that fails does not end the others.
///
/// # Errors
/// [`CompressError`]: what is wrong with model, data or configuration, or with the checkpoint; where nothing
/// came of any chain, the failure of the first that failed, else [`CompressError::Nothing`].
pub fn compress<'w>(
    model: &Vae,
    data: &WindowSet<'_>,
    held_out: &WindowSet<'_>,
    config: &CompressConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<Compressed, CompressError> {
    // Students come last: nobody is to wait for them to hear of this.
    if let Some(image) = config.image {
        image.shape(model.frontend.feature_len())?;
    }
    let model = &known_precision(model.clone(), data);
    let yardstick = Yardstick::new(model, held_out, config.fit.seed)?;
    let reference = yardstick.of_float(model)?;
    let run = Run {
        model,
        ranked: importance(model, data, Criterion::Taylor, OBSERVED, config.fit.seed),
        data,
        held_out,
        config,
        yardstick: &yardstick,
        reference,
        watch: watch.into(),
    };
    let mut tried = Tried::default();
    let ways = [Way::Whole, Way::Pruned, Way::Student];
    for (way, bits) in ways.into_iter().flat_map(|way| [(way, 8), (way, 4)]) {
        let whole = match needs(model, &run.options(bits), &config.detector.target) {
            Ok(whole) => whole,
            Err(error) => {
                tried.first_error(error.into());
                continue;
            }
        };
        let (chain, start, planned) = match run.plan(way, bits, whole) {
            Ok(Plan::Run { chain, start, needs }) => (chain, *start, needs),
            Ok(Plan::Beyond(report)) => {
                tried.chains.push(report);
                continue;
            }
            Ok(Plan::Vain) => continue,
            Err(error) => {
                tried.failed(way.least(bits), whole, error)?;
                continue;
            }
        };
        match run.chain(chain, start) {
            Ok((report, made)) => {
                if tried.made(report, made) {
                    break;
                }
            }
            Err(error) => tried.failed(chain, planned, error)?,
        }
    }
    let Tried { chains, best, error } = tried;
    match (best, error) {
        (Some((chosen, Made { blob, vae, settled })), _) => {
            Ok(Compressed { blob, vae, settled, chains, chosen, reference })
        }
        (None, Some(error)) => Err(error),
        (None, None) => {
            let nearest = nearest(&chains, &config.budget);
            let blocked = blocked(nearest.and_then(|at| chains.get(at)));
            Err(CompressError::Nothing { blocked, nearest, chains })
        }
    }
}

/// What came of the chains so far.
#[derive(Default)]
struct Tried {
    chains: Vec<ChainReport>,
    /// The chain within the budget that loses least, and what it made.
    best: Option<(usize, Made)>,
    /// Of the first chain that failed.
    error: Option<CompressError>,
}

impl Tried {
    /// Keeps what a chain made if nothing better is there; whether the search ends with it.
    fn made(&mut self, report: ChainReport, made: Made) -> bool {
        // A loss that is not a number is the greatest.
        let loss = |report: &ChainReport| {
            report.loss.filter(|loss| !loss.is_nan()).unwrap_or(f64::INFINITY)
        };
        let better =
            self.best.as_ref().is_none_or(|(at, _)| loss(&report) < loss(&self.chains[*at]));
        let fits = report.fits;
        if report.beyond.is_empty() && (fits || better) {
            self.best = Some((self.chains.len(), made));
        }
        self.chains.push(report);
        fits
    }

    /// Reports a chain that failed; gives the error back where it ends the search.
    fn failed(
        &mut self,
        chain: Chain,
        planned: Needs,
        error: CompressError,
    ) -> Result<(), CompressError> {
        if !error.is_of_chain() {
            return Err(error);
        }
        self.chains.push(ChainReport::failed(chain, planned, &error));
        self.first_error(error);
        Ok(())
    }

    fn first_error(&mut self, error: CompressError) {
        self.error.get_or_insert(error);
    }
}

impl CompressError {
    /// Whether another chain may still do. A checkpoint that was not kept, or windows that cannot be
    /// measured with, are the same for all of them.
    fn is_of_chain(&self) -> bool {
        match self {
            Self::Train(error) | Self::Prune(PruneError::Train(error)) => {
                !matches!(error, TrainError::Checkpoint(_))
            }
            Self::Assemble(error) => matches!(error, AssembleError::Blob(_)),
            Self::Yardstick(error) => matches!(error, YardstickError::Blob(_)),
            Self::Blob(_) | Self::Needs(_) | Self::Prune(_) | Self::Quantize(_) => true,
            Self::Nothing { .. } => false,
        }
    }
}

impl Way {
    fn chain(self, keep: f64, bits: u8) -> Chain {
        Chain { student: self == Self::Student, keep, bits }
    }

    /// The chain of the smallest network this way comes to.
    fn least(self, bits: u8) -> Chain {
        self.chain(if self == Self::Pruned { LEAST } else { 1.0 }, bits)
    }
}

impl Run<'_, '_> {
    /// The largest network that keeps the budget this way. `whole` is what the model needs as it is.
    fn plan(&self, way: Way, bits: u8, whole: Needs) -> Result<Plan, CompressError> {
        let (model, config) = (self.model, self.config);
        let options = self.options(bits);
        let needs = |vae: &Vae| needs(vae, &options, &config.detector.target);
        let fits = |vae: &Vae| self.within_budget(vae, &options);
        let beyond = |needs: Needs| {
            let limits = config.budget.broken(&needs);
            Plan::Beyond(ChainReport::planned(way.least(bits), needs, limits))
        };
        let from = |start: Vae, keep: f64, needs: Needs| {
            let (chain, start) = (way.chain(keep, bits), Box::new(start));
            Plan::Run { chain, start, needs }
        };
        let whole_fits = config.budget.broken(&whole).is_empty();
        Ok(match way {
            Way::Whole if whole_fits => from(model.clone(), 1.0, whole),
            Way::Whole => beyond(whole),
            _ if whole_fits => Plan::Vain,
            Way::Pruned => {
                let least = needs(&self.cut(LEAST))?;
                if !config.budget.broken(&least).is_empty() {
                    return Ok(beyond(least));
                }
                let (mut low, mut high) = (LEAST, 1.0);
                for _ in 0..12 {
                    let middle = (low * high).sqrt();
                    if fits(&self.cut(middle)) { low = middle } else { high = middle }
                }
                let keep = low * SPARE;
                from(model.clone(), keep, needs(&self.cut(keep))?)
            }
            Way::Student => match student(model, config.image, config.fit.seed, fits)? {
                Student::Widest(network) => {
                    let needs = needs(&network)?;
                    from(network, 1.0, needs)
                }
                Student::Narrowest(network) => beyond(needs(&network)?),
            },
        })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
