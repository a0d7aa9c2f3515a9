//! Gradual pruning: remove some units or empty some blocks, fine-tune, again, until the size is reached.

use serde::Serialize;

use super::importance::{Criterion, importance};
use super::prune_blocks;
use super::remove::{Unit, remove};
use crate::blocks;
use crate::graph::Vae;
use crate::recording::WindowSet;
use crate::train::{FitConfig, TrainError, Watch, fit_weights, with_residual_precision};

/// How a model is pruned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneConfig {
    /// Share of the parameters to keep, in (0, 1]: whole units go.
    pub keep: f64,
    /// Share of the [blocks] of weights to empty, in [0, 1), once the units are gone.
    pub blocks: f64,
    /// What the importance of a unit or block is taken from.
    pub criterion: Criterion,
    /// Rounds of removal and fine-tuning, of units and of blocks.
    pub rounds: usize,
    /// Windows the importance is taken on, at most.
    pub windows: usize,
    /// The fine-tuning of each round; its epochs are those of a round, the last round's are doubled.
    pub fit: FitConfig,
}

impl Default for PruneConfig {
    fn default() -> Self {
        Self {
            keep: 0.25,
            blocks: 0.0,
            criterion: Criterion::Taylor,
            rounds: 6,
            windows: 4_096,
            fit: FitConfig { epochs: 1, patience: None, ..FitConfig::default() },
        }
    }
}

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PruneRound {
    /// From 1.
    pub round: usize,
    /// Units removed.
    pub removed: usize,
    /// Parameters left.
    pub params: usize,
    /// Multiply-accumulates left, those with empty blocks counted.
    pub macs: usize,
    /// Blocks that are empty.
    pub empty_blocks: usize,
    /// Held-out loss after fine-tuning, nats a window; `None` without held-out windows.
    pub validation_loss: Option<f64>,
}

/// What pruning did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneReport {
    /// Parameters before.
    pub params_before: usize,
    /// Parameters after.
    pub params: usize,
    /// Multiply-accumulates before.
    pub macs_before: usize,
    /// Multiply-accumulates after.
    pub macs: usize,
    /// Blocks of the weights, in all.
    pub blocks: usize,
    /// Of these, empty ones.
    pub empty_blocks: usize,
    /// Optimizer steps of all rounds.
    pub steps: usize,
    /// Every round.
    pub rounds: Vec<PruneRound>,
}

/// Why a model cannot be pruned.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum PruneError {
    /// A setting is out of range.
    #[error("{setting} is {value}, it must be {must}")]
    #[diagnostic(help("`picovae prune --help` lists ranges and defaults"))]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// Even with one unit a layer the model is larger.
    #[error("at least {least} of {params} parameters must stay: every hidden layer keeps a unit")]
    #[diagnostic(help("raise --keep, or train a narrower network"))]
    TooSmall {
        /// Parameters of the smallest network.
        least: usize,
        /// Parameters of the model.
        params: usize,
    },
    /// The fine-tuning failed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
}

/// Prunes a model to a share of its parameters, then to a share of its blocks. Both fall geometrically from round
/// to round. Blocks stay empty in all further training ([`Vae::pruned_blocks`]).
///
/// # Errors
/// [`PruneError`].
pub fn prune<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    config: &PruneConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<(Vae, PruneReport), PruneError> {
    config.validate()?;
    let params = start.params();
    let target = |round: usize| {
        let share = config.keep.powf(round as f64 / config.rounds as f64);
        (params as f64 * share).round() as usize
    };
    let least = remove(start, &super::remove::units(start)).params();
    if least > target(config.rounds) {
        return Err(PruneError::TooSmall { least, params });
    }
    let (all, empty) = blocks::count(start);
    let mut pruning = Pruning {
        data,
        config,
        watch: watch.into(),
        vae: start.clone(),
        report: PruneReport {
            params_before: params,
            params,
            macs_before: start.macs(),
            macs: start.macs(),
            blocks: all,
            empty_blocks: empty,
            steps: 0,
            rounds: Vec::new(),
        },
    };
    let seed = config.fit.seed;
    // With neither asked for, the rounds fine-tune alone.
    if config.keep < 1.0 || config.blocks == 0.0 {
        for round in 1..=config.rounds {
            let vae = &pruning.vae;
            let ranked = importance(vae, data, config.criterion, config.windows, seed);
            let gone = choose(vae, ranked, target(round));
            pruning.vae = remove(vae, &gone);
            pruning.tune(round, gone.len())?;
        }
    }
    if config.blocks > 0.0 {
        pruning.vae.pruned_blocks = true;
        for round in 1..=config.rounds {
            let share = 1.0 - (1.0 - config.blocks).powf(round as f64 / config.rounds as f64);
            let (vae, windows) = (&pruning.vae, config.windows);
            let gone = prune_blocks::choose(vae, data, config.criterion, share, windows, seed);
            blocks::empty(&mut pruning.vae, &gone);
            pruning.tune(round, 0)?;
        }
    }
    Ok((with_residual_precision(pruning.vae, data)?, pruning.report))
}

impl PruneConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`PruneError::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), PruneError> {
        let bad = |setting, value: String, must| Err(PruneError::Setting { setting, value, must });
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            return bad("keep", self.keep.to_string(), "above 0 and at most 1");
        }
        if !(0.0..1.0).contains(&self.blocks) {
            return bad("blocks", self.blocks.to_string(), "at least 0 and below 1");
        }
        if self.blocks > 0.0 && self.criterion == Criterion::Activation {
            let must = "taylor, magnitude or random: a block of weights has no activation";
            return bad("criterion", self.criterion.to_string(), must);
        }
        if self.rounds == 0 {
            return bad("rounds", "0".into(), "at least 1");
        }
        Ok(())
    }
}

/// A model between rounds.
struct Pruning<'p, 'd> {
    data: &'p WindowSet<'d>,
    config: &'p PruneConfig,
    watch: Watch<'p>,
    vae: Vae,
    report: PruneReport,
}

impl Pruning<'_, '_> {
    /// Fine-tunes what is left after a round.
    fn tune(&mut self, round: usize, removed: usize) -> Result<(), PruneError> {
        let config = self.config;
        self.watch.progress.set_message(format!("round {round} of {}", config.rounds));
        let last = round == config.rounds;
        let number = self.report.rounds.len() + 1;
        let fine_tuning = FitConfig {
            epochs: config.fit.epochs * if last { 2 } else { 1 },
            seed: config.fit.seed.wrapping_add(number as u64),
            cosine: last || config.fit.cosine,
            ..config.fit.clone()
        };
        let others = std::iter::empty();
        let (tuned, trained) = fit_weights(&self.vae, others, self.data, &fine_tuning, self.watch)?;
        self.vae = tuned;
        let report = &mut self.report;
        (report.params, report.macs) = (self.vae.params(), self.vae.macs());
        (report.blocks, report.empty_blocks) = blocks::count(&self.vae);
        report.steps += trained.steps;
        report.rounds.push(PruneRound {
            round: number,
            removed,
            params: report.params,
            macs: report.macs,
            empty_blocks: report.empty_blocks,
            validation_loss: trained.validation_loss,
        });
        Ok(())
    }
}

/// The model cut to `target` parameters at one stroke, without training: the shape that
/// pruning will come to, but for what importance changes on the way.
pub fn shrink(vae: &Vae, ranked: Vec<(Unit, f64)>, target: usize) -> Vae {
    remove(vae, &choose(vae, ranked, target))
}

/// The least important units whose removal brings the model to `target` parameters: global across
/// layers, each layer's importances divided by their Euclidean length (Molchanov et al. 2017) and
/// by the parameters the unit costs.
fn choose(vae: &Vae, ranked: Vec<(Unit, f64)>, target: usize) -> Vec<Unit> {
    let layers = vae.layers().count();
    let mut squares = vec![0f64; layers];
    for (unit, importance) in &ranked {
        squares[unit.layer] += importance * importance;
    }
    let cost: Vec<usize> = (0..layers)
        .map(|layer| vae.params() - remove(vae, &[Unit { layer, channel: 0 }]).params())
        .collect();
    let mut ranked: Vec<(Unit, f64)> = ranked
        .into_iter()
        .map(|(unit, importance)| {
            let length = squares[unit.layer].sqrt().max(f64::MIN_POSITIVE);
            (unit, importance / length / cost[unit.layer].max(1) as f64)
        })
        .collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    // The fewest that suffice; removal is monotone, so halving finds them.
    let (mut few, mut many) = (0, ranked.len());
    let units: Vec<Unit> = ranked.into_iter().map(|(unit, _)| unit).collect();
    while few < many {
        let middle = (few + many) / 2;
        if remove(vae, &units[..middle]).params() <= target {
            many = middle;
        } else {
            few = middle + 1;
        }
    }
    units[..few].to_vec()
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
