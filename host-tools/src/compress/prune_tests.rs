//! Pruning of units and blocks on data small enough for seconds.

use super::*;
use crate::compress::{DistillConfig, distill};
use crate::graph::{Frontend, ScoreKind};
use crate::import::{ForeignOptions, read_safetensors, write_safetensors};
use crate::needs::needs;
use crate::quantize::{QuantizeOptions, WeightBits};
use crate::recording::Recording;
use crate::train::{
    Architecture, FineTuneConfig, Normalize, Stream, TrainConfig, finetune, fit, stream, train,
};
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

fn windows(recording: &Recording) -> WindowSet<'_> {
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    data
}

fn teacher(data: &WindowSet<'_>) -> Vae {
    let config = TrainConfig {
        starts: 1,
        architecture: Architecture {
            score: ScoreKind::ReconstructionError,
            ..Architecture::mirrored("waves", &[48, 24], 6)
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
    let frontend = Frontend::identity(24, 24, 1);
    train(data, &frontend, &config, &ProgressBar::hidden()).unwrap().0
}

/// Two rounds of an epoch, and one of two.
fn fine_tuning(seed: u64) -> FitConfig {
    FitConfig { epochs: 1, patience: None, batch: 32, seed, ..FitConfig::default() }
}

#[test]
fn taylor_keeps_what_matters_and_the_rest_is_gone() {
    let recording = recording();
    let data = windows(&recording);
    let (teacher, bar) = (teacher(&data), ProgressBar::hidden());
    let loss = |criterion: Criterion, seed: u64| {
        let config = PruneConfig {
            keep: 0.4,
            criterion,
            rounds: 3,
            fit: fine_tuning(seed),
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
    let config = PruneConfig {
        keep: 1.0,
        blocks: 0.5,
        criterion: Criterion::Activation,
        ..PruneConfig::default()
    };
    let said = prune(&vae, &data, &config, &ProgressBar::hidden()).unwrap_err().to_string();
    assert!(said.contains("a block of weights has no activation"), "{said}");
}

#[test]
fn pruned_blocks_are_gone_from_blob_and_count_and_stay_so() {
    let recording = recording();
    let data = windows(&recording);
    let (teacher, bar) = (teacher(&data), ProgressBar::hidden());
    let loss = |criterion: Criterion, seed: u64| {
        let config = PruneConfig {
            keep: 1.0,
            blocks: 0.6,
            criterion,
            rounds: 3,
            fit: fine_tuning(seed),
            ..PruneConfig::default()
        };
        let (sparse, report) = prune(&teacher, &data, &config, &bar).unwrap();
        assert_eq!((report.params, report.rounds.len()), (teacher.params(), 3));
        assert_eq!(report.empty_blocks, (0.6 * report.blocks as f64).round() as usize);
        assert_eq!(blocks::count(&sparse), (report.blocks, report.empty_blocks));
        (report.rounds[2].validation_loss.unwrap(), sparse)
    };
    let mean = |criterion| (0..3).map(|seed| loss(criterion, seed).0).sum::<f64>() / 3.0;
    let (taylor, random) = (mean(Criterion::Taylor), mean(Criterion::Random));
    println!("taylor {taylor}, magnitude {}, random {random}", mean(Criterion::Magnitude));
    assert!(taylor < random - 1.0, "taylor {taylor}, random {random}");

    let sparse = loss(Criterion::Taylor, 0).1;
    let eight = QuantizeOptions::default();
    let four = QuantizeOptions { weight_bits: WeightBits::uniform(4), ..eight.clone() };
    for options in [&eight, &four] {
        let [of_dense, of_sparse] =
            [&teacher, &sparse].map(|vae| needs(vae, options, "cortex-m4").unwrap());
        assert!(of_sparse.blob_bytes < of_dense.blob_bytes, "{of_sparse:?} {of_dense:?}");
        assert!(of_sparse.instructions < of_dense.instructions, "{of_sparse:?} {of_dense:?}");
    }

    // Through a file, then trained on: in float, in integers, with a teacher.
    let path = std::env::temp_dir().join(format!("picovae-blocks-{}", std::process::id()));
    write_safetensors(&path, &sparse).unwrap();
    let read = read_safetensors(&path, &ForeignOptions::default()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read, sparse);
    let empty = blocks::count(&sparse).1;
    for quantization in [None, Some(four)] {
        let config = FineTuneConfig { fit: fine_tuning(9), quantization };
        let tuned = finetune(&read, &data, None, &config, &bar).unwrap();
        assert_eq!(blocks::count(&tuned.vae).1, empty);
        assert_ne!(tuned.vae.encoder, read.encoder);
        let lessons = DistillConfig { fine_tune: config, ..DistillConfig::default() };
        let taught = distill(&teacher, &read, &data, &lessons, &bar).unwrap();
        assert_eq!(blocks::count(&taught.vae).1, empty);
    }
    // What is not said to be pruned is free.
    let free = Vae { pruned_blocks: false, ..read };
    let (tuned, _) = fit(&free, &data, &fine_tuning(9), &bar).unwrap();
    assert_eq!(blocks::count(&tuned).1, 0);
}
