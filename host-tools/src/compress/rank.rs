//! Every criterion of importance at equal size and steps, side by side.

use serde::Serialize;

use super::{
    Criterion, PruneConfig, PruneError, PruneReport, Quality, Yardstick, YardstickError, prune,
};
use crate::graph::Vae;
use crate::recording::WindowSet;
use crate::train::Watch;

/// What pruning by one criterion gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The criterion.
    pub criterion: Criterion,
    /// The pruned float model on windows nothing was trained on.
    pub quality: Quality,
    /// What pruning did.
    #[serde(flatten)]
    pub report: PruneReport,
    /// The model.
    #[serde(skip)]
    pub vae: Vae,
}

/// All criteria, the least negative ELBO first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// The model to begin with.
    pub reference: Quality,
    /// What each criterion made of it.
    pub criteria: Vec<Ranked>,
}

/// Why criteria cannot be compared.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum RankError {
    /// Pruning.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prune(#[from] PruneError),
    /// Measuring.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Yardstick(#[from] YardstickError),
}

/// Prunes `start` by every criterion, all else as `config` says, and measures on `held_out`, which must be no
/// part of `data`. Blocks have no activation: that criterion is left out where some are to be pruned, and refused as `config`'s own.
///
/// # Errors
/// [`RankError`].
pub fn rank<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    held_out: &WindowSet<'_>,
    config: &PruneConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<Ranking, RankError> {
    config.validate()?;
    let watch = watch.into();
    let yardstick = Yardstick::new(start, held_out, config.fit.seed)?;
    let mut criteria = Vec::new();
    for criterion in Criterion::ALL {
        if config.blocks > 0.0 && criterion == Criterion::Activation {
            continue;
        }
        watch.progress.set_prefix(criterion.name());
        let (vae, report) =
            prune(start, data, &PruneConfig { criterion, ..config.clone() }, watch)?;
        criteria.push(Ranked { criterion, quality: yardstick.of_float(&vae)?, report, vae });
    }
    let loss = |ranked: &Ranked| ranked.quality.negative_elbo;
    criteria.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    Ok(Ranking { reference: yardstick.of_float(start)?, criteria })
}
