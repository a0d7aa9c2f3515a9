//! Gradual structured pruning: remove some units, fine-tune, again, until the size is reached.

use serde::Serialize;

use super::importance::{Criterion, importance};
use super::remove::{Unit, remove};
use crate::graph::Vae;
use crate::recording::WindowSet;
use crate::train::{FitConfig, TrainError, Watch, fit};

/// How a model is pruned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PruneConfig {
    /// Share of the parameters to keep, in (0, 1].
    pub keep: f64,
    /// What the importance of a unit is taken from.
    pub criterion: Criterion,
    /// Rounds of removal and fine-tuning.
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
    /// Multiply-accumulates left.
    pub macs: usize,
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

/// Prunes a model to a share of its parameters. Sizes fall geometrically from round to round.
///
/// # Errors
/// [`PruneError`].
pub fn prune<'w>(
    start: &Vae,
    data: &WindowSet<'_>,
    config: &PruneConfig,
    watch: impl Into<Watch<'w>>,
) -> Result<(Vae, PruneReport), PruneError> {
    let watch = watch.into();
    let bad = |setting, value: String, must| Err(PruneError::Setting { setting, value, must });
    if !(config.keep > 0.0 && config.keep <= 1.0) {
        return bad("keep", config.keep.to_string(), "above 0 and at most 1");
    }
    if config.rounds == 0 {
        return bad("rounds", "0".into(), "at least 1");
    }
    let params = start.params();
    let target = |round: usize| {
        let share = config.keep.powf(round as f64 / config.rounds as f64);
        (params as f64 * share).round() as usize
    };
    let least = remove(start, &super::remove::units(start)).params();
    if least > target(config.rounds) {
        return Err(PruneError::TooSmall { least, params });
    }
    let mut vae = start.clone();
    let mut report = PruneReport {
        params_before: params,
        params,
        macs_before: start.macs(),
        macs: start.macs(),
        steps: 0,
        rounds: Vec::new(),
    };
    for round in 1..=config.rounds {
        watch.progress.set_message(format!("round {round} of {}", config.rounds));
        let ranked = importance(&vae, data, config.criterion, config.windows, config.fit.seed);
        let gone = choose(&vae, ranked, target(round));
        vae = remove(&vae, &gone);
        let last = round == config.rounds;
        let fine_tuning = FitConfig {
            epochs: config.fit.epochs * if last { 2 } else { 1 },
            seed: config.fit.seed.wrapping_add(round as u64),
            cosine: last || config.fit.cosine,
            ..config.fit.clone()
        };
        let (tuned, trained) = fit(&vae, data, &fine_tuning, watch)?;
        vae = tuned;
        report.steps += trained.steps;
        report.rounds.push(PruneRound {
            round,
            removed: gone.len(),
            params: vae.params(),
            macs: vae.macs(),
            validation_loss: trained.validation_loss,
        });
    }
    (report.params, report.macs) = (vae.params(), vae.macs());
    Ok((vae, report))
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
mod tests {
    use super::*;
    use crate::graph::{Activation, Frontend, LikelihoodKind, ScoreKind};
    use crate::recording::Recording;
    use crate::train::{Architecture, Normalize, Stream, TrainConfig, stream, train};
    use indicatif::ProgressBar;
    use rand::RngExt;

    /// Two sines of random phases in 24 samples: a handful of numbers describe a window.
    fn recording() -> Recording {
        let mut rng = stream(31, Stream::Init);
        let mut samples = Vec::new();
        for _ in 0..700 {
            let (a, b) = (rng.random_range(0.0..6.2f32), rng.random_range(0.0..6.2f32));
            let wave = |t: usize| (a + 0.5 * t as f32).sin() + 0.5 * (b + 1.1 * t as f32).sin();
            samples.extend((0..24).map(wave));
        }
        Recording::from_samples("waves", vec![700, 24], samples).unwrap()
    }

    #[test]
    fn taylor_keeps_what_matters_and_the_rest_is_gone() {
        let recording = recording();
        let frontend = Frontend::identity(24, 24, 1);
        let mut data = WindowSet::new();
        data.add(recording.clips(&frontend).unwrap()).unwrap();
        let config = TrainConfig {
            architecture: Architecture {
                name: "waves".into(),
                convolutions: Vec::new(),
                decoder_convolutions: None,
                image: None,
                hidden: vec![48, 24],
                decoder_hidden: vec![24, 48],
                latent: 6,
                activation: Activation::Relu,
                likelihood: LikelihoodKind::Gaussian,
                score: ScoreKind::ReconstructionError,
            },
            normalize: Normalize::PerChannel,
            fit: FitConfig {
                epochs: 40,
                batch: 32,
                learning_rate: 3e-3,
                seed: 5,
                ..FitConfig::default()
            },
        };
        let bar = ProgressBar::hidden();
        let (teacher, _) = train(&data, &frontend, &config, &bar).unwrap();
        let loss = |criterion: Criterion, seed: u64| {
            let config = PruneConfig {
                keep: 0.4,
                criterion,
                rounds: 3,
                fit: FitConfig {
                    epochs: 1,
                    patience: None,
                    learning_rate: 1e-3,
                    batch: 32,
                    seed,
                    ..FitConfig::default()
                },
                ..PruneConfig::default()
            };
            let (small, report) = prune(&teacher, &data, &config, &bar).unwrap();
            small.validate().unwrap();
            assert_eq!(report.params, small.params());
            let share = small.params() as f64 / teacher.params() as f64;
            assert!((0.34..=0.4).contains(&share), "{share}");
            assert!(report.rounds.windows(2).all(|r| r[1].params < r[0].params));
            report.rounds[2].validation_loss.unwrap()
        };
        let mean = |criterion| (0..3).map(|seed| loss(criterion, seed)).sum::<f64>() / 3.0;
        let (taylor, random) = (mean(Criterion::Taylor), mean(Criterion::Random));
        assert!(taylor < random - 1.0, "taylor {taylor}, random {random}");
    }

    #[test]
    fn settings_are_checked() {
        let recording = recording();
        let vae = crate::graph::tests::tiny();
        let mut data = WindowSet::new();
        data.add(recording.clips(&vae.frontend).unwrap()).unwrap();
        let run = |keep: f64| {
            let config = PruneConfig { keep, ..PruneConfig::default() };
            prune(&vae, &data, &config, &ProgressBar::hidden()).unwrap_err().to_string()
        };
        assert!(run(f64::NAN).contains("keep is NaN"), "{}", run(f64::NAN));
        assert!(run(0.01).contains("parameters must stay"));
    }
}
