//! Training on data small enough to take well under a second.

use super::*;
use crate::graph::{Activation, Frontend, LikelihoodKind, ScoreKind};
use crate::recording::Recording;
use rand::RngExt;

/// Sines of random phase, `[n, 16]`: two numbers describe each window.
fn sines(n: usize) -> Recording {
    let mut rng = stream(99, Stream::Init);
    let mut samples = Vec::new();
    for _ in 0..n {
        let phase = rng.random_range(0.0..std::f32::consts::TAU);
        samples.extend((0..16).map(|t| 3.0 + 2.0 * (phase + 0.4 * t as f32).sin()));
    }
    Recording::from_samples("sines", vec![n, 16], samples).unwrap()
}

fn config(likelihood: LikelihoodKind) -> TrainConfig {
    TrainConfig {
        architecture: Architecture {
            name: "sines".into(),
            hidden: vec![24],
            decoder_hidden: vec![24],
            latent: 3,
            activation: Activation::Elu { alpha: 1.0 },
            likelihood,
            score: ScoreKind::NegativeElbo,
        },
        normalize: Normalize::PerChannel,
        fit: FitConfig {
            epochs: 12,
            batch: 32,
            learning_rate: 5e-3,
            beta_warmup: 2.0,
            seed: 7,
            ..FitConfig::default()
        },
    }
}

fn run(config: &TrainConfig) -> Result<(Vae, TrainReport), TrainError> {
    let recording = sines(600);
    let frontend = Frontend::identity(16, 16, 1);
    let mut data = WindowSet::new();
    data.add(recording.clips(&frontend).unwrap()).unwrap();
    train(&data, &frontend, config, &ProgressBar::hidden())
}

#[test]
fn gaussian_learns_and_repeats() {
    let config = config(LikelihoodKind::Gaussian);
    let (vae, report) = run(&config).unwrap();
    let first = report.history[0].validation_loss.unwrap();
    let best = report.validation_loss.unwrap();
    assert!(best < first - 3.0, "{first} to {best}");
    assert_eq!((report.train_windows, report.validation_windows), (540, 60));
    let Likelihood::Gaussian { precision: Some(precision) } = &vae.likelihood else {
        panic!("no precision");
    };
    // Features have unit variance; what is left after decoding is far less.
    assert!(precision.iter().all(|p| *p > 2.0), "{precision}");
    assert!((vae.frontend.offset[0] - 3.0).abs() < 0.2);
    // Range 5 x 4 over i16: 20 / 32767 rounds up to 2^-10.
    assert_eq!(vae.frontend.lsb(0), 2f32.powi(-10));
    assert_eq!(run(&config).unwrap().0, vae);
}

#[test]
fn seed_changes_the_weights() {
    let mut config = config(LikelihoodKind::Gaussian);
    config.fit.epochs = 1;
    let (a, _) = run(&config).unwrap();
    config.fit.seed = 8;
    let (b, _) = run(&config).unwrap();
    assert_ne!(a.mu, b.mu);
}

#[test]
fn bernoulli_wants_unit_features() {
    let mut config = config(LikelihoodKind::Bernoulli);
    config.fit.epochs = 2;
    assert!(matches!(run(&config), Err(TrainError::FeaturesOutOfUnit { .. })));
    config.normalize = Normalize::Unit255;
    let (vae, report) = run(&config).unwrap();
    assert_eq!(vae.likelihood, Likelihood::Bernoulli);
    assert!(report.history[1].train_loss < report.history[0].train_loss);
}

#[test]
fn settings_are_checked() {
    let mut config = config(LikelihoodKind::Gaussian);
    config.fit.learning_rate = f64::NAN;
    let error = run(&config).unwrap_err();
    assert_eq!(error.to_string(), "lr is NaN, it must be positive");
    config.fit.learning_rate = 0.1;
    config.architecture.latent = 0;
    assert!(run(&config).is_err());
}
