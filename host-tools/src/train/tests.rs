//! Training on data small enough to take well under a second.

use super::*;
use crate::graph::{Activation, Frontend, Likelihood, LikelihoodKind, Shape};
use crate::recording::Recording;
use indicatif::ProgressBar;
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
        starts: 1,
        architecture: Architecture {
            activation: Activation::Elu { alpha: 1.0 },
            likelihood,
            ..Architecture::mirrored("sines", &[24], 3)
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
    config.starts = 0;
    assert_eq!(run(&config).unwrap_err().to_string(), "starts is 0, it must be between 1 and 1000");
    config.starts = 1;
    config.architecture.latent = 0;
    assert!(run(&config).is_err());
}

#[test]
fn convolutions_learn_and_repeat() {
    let mut config = config(LikelihoodKind::Gaussian);
    config.architecture.convolutions = vec!["6x5s2".parse().unwrap(), "8x3s2".parse().unwrap()];
    config.architecture.hidden = Vec::new();
    config.architecture.decoder_hidden = vec![7];
    let (vae, report) = run(&config).unwrap();
    let names: Vec<_> = vae.layers().map(|l| (l.name.as_str(), l.op.name())).collect();
    assert_eq!(
        names,
        [
            ("encoder.0", "convolution"),
            ("encoder.2", "convolution"),
            ("mu", "fully_connected"),
            ("logvar", "fully_connected"),
            ("decoder.0", "fully_connected"),
            ("decoder.2", "fully_connected"),
            ("decoder.5", "transposed_convolution"),
            ("decoder.7", "transposed_convolution"),
        ]
    );
    assert_eq!(vae.decoder[1].output_len(), 4 * 8);
    let first = report.history[0].validation_loss.unwrap();
    let best = report.validation_loss.unwrap();
    assert!(best < first - 3.0, "{first} to {best}");
    assert_eq!(run(&config).unwrap().0, vae);
}

#[test]
fn weights_are_drawn_again_as_they_were() {
    let mut shape = config(LikelihoodKind::Gaussian).architecture;
    shape.convolutions = vec!["6x5s2".parse().unwrap(), "8x3s2".parse().unwrap()];
    let draw = || stream(3, Stream::Init);
    let first = random_vae(Frontend::identity(16, 16, 1), &shape, &mut draw()).unwrap();
    let mut rng = draw();
    let [same, other] = [(); 2].map(|()| redrawn(&first, &mut rng));
    assert_eq!(same, first);
    assert_eq!(other.params(), first.params());
    assert!(other.layers().zip(first.layers()).all(|(a, b)| a.name == b.name && a.op != b.op));
}

#[test]
fn an_image_is_convolved_along_both_axes() {
    let mut config = config(LikelihoodKind::Bernoulli);
    config.normalize = Normalize::Unit255;
    config.fit.epochs = 1;
    let architecture = &mut config.architecture;
    architecture.image = Some("4x4".parse().unwrap());
    architecture.convolutions = vec!["4x3s2".parse().unwrap()];
    architecture.decoder_convolutions =
        Some(vec!["5x3s2".parse().unwrap(), "1x3".parse().unwrap()]);
    let (vae, _) = run(&config).unwrap();
    let shapes: Vec<_> = vae.decoder.iter().map(|layer| layer.op.output().to_string()).collect();
    assert_eq!(shapes, ["24", "16", "4x4x5", "4x4x1"]);

    // From a single place: the latent itself, without a fully connected layer between.
    let architecture = &mut config.architecture;
    architecture.decoder_hidden = Vec::new();
    architecture.decoder_convolutions =
        Some(vec!["3x2s2".parse().unwrap(), "1x3s2".parse().unwrap()]);
    let latent = architecture.latent;
    let (vae, _) = run(&config).unwrap();
    let shapes: Vec<_> = vae.decoder.iter().map(|layer| layer.op.output().to_string()).collect();
    assert_eq!(shapes, ["2x2x3", "4x4x1"]);
    assert_eq!(vae.decoder[0].op.geometry().unwrap().input, Shape::new(1, 1, latent));
}

#[test]
fn convolutions_that_do_not_fit_are_named() {
    let error = |change: &dyn Fn(&mut Architecture)| {
        let mut config = config(LikelihoodKind::Gaussian);
        change(&mut config.architecture);
        run(&config).unwrap_err().to_string()
    };
    let conv = |text: &str| text.split(',').map(|c| c.parse().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        error(&|a| a.convolutions = conv("4x5s4,4x3s5")),
        "convolution 4x3s5: its stride of 5 is longer than the 4x4 it moves over"
    );
    assert_eq!(
        error(&|a| a.convolutions = conv("4x17")),
        "convolution 4x17: its kernel of 17 is longer than the 16x1 it moves over"
    );
    assert_eq!(
        error(&|a| {
            a.convolutions = conv("4x3");
            a.decoder_convolutions = Some(conv("4x3,2x3"));
        }),
        "the decoder's last convolution 2x3 writes 2 channels, the features have 1"
    );
    assert_eq!(
        error(&|a| {
            a.convolutions = conv("4x3");
            a.image = Some(Image { rows: 3, columns: 5 });
        }),
        "16 features are no image of 3x5 pixels"
    );
}
