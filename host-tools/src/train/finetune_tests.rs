//! Training in integers, and with a teacher.

use indicatif::ProgressBar;
use ndarray::Array2;
use rand::RngExt;

use super::features::Features;
use super::gradient::Float;
use super::validate::validate;
use super::*;
use crate::compress::{DistillConfig, distill};
use crate::graph::{Likelihood, LikelihoodKind, ScoreKind};
use crate::import::{ForeignOptions, read_safetensors, read_settled, write_trained};
use crate::quantize::mirror_tests::mirror_is_the_core;
use crate::quantize::{Mirror, QuantizeOptions, QuantizedVae, Settled, WeightBits, lower, observe};
use crate::recording::Recording;

/// Two sines of random phases in 24 pixels of 0 to 255.
pub(super) fn recording(windows: usize, seed: u64) -> Recording {
    let mut rng = stream(seed, Stream::Init);
    let mut samples = Vec::new();
    for _ in 0..windows {
        let (a, b) = (rng.random_range(0.0..6.2f32), rng.random_range(0.0..6.2f32));
        let wave = |t: usize| (a + 0.5 * t as f32).sin() + (b + 1.1 * t as f32).sin();
        samples.extend((0..24).map(|t| (127.5 + 60.0 * wave(t)).round()));
    }
    Recording::from_samples("waves", vec![windows, 24], samples).unwrap()
}

pub(super) fn shape(hidden: usize) -> Architecture {
    Architecture {
        likelihood: LikelihoodKind::Bernoulli,
        score: ScoreKind::BernoulliExcess,
        ..Architecture::mirrored("waves", &[hidden], 4)
    }
}

pub(super) fn fit_config(epochs: usize, seed: u64) -> FitConfig {
    FitConfig {
        epochs,
        batch: 32,
        learning_rate: 3e-3,
        cosine: true,
        patience: None,
        validation: 0.2,
        seed,
        ..FitConfig::default()
    }
}

pub(super) fn teacher(data: &WindowSet<'_>, hidden: usize, epochs: usize) -> Vae {
    let config = TrainConfig {
        starts: 1,
        architecture: shape(hidden),
        normalize: Normalize::Unit255,
        fit: fit_config(epochs, 5),
    };
    let frontend = Frontend::identity(24, 24, 1);
    train(data, &frontend, &config, &ProgressBar::hidden()).unwrap().0
}

/// Held-out loss in the integers of `quantized`.
fn integer_loss(vae: &Vae, quantized: &QuantizedVae, data: &WindowSet<'_>, fit: &FitConfig) -> f64 {
    let (_, held_out) = split::split(data, fit.validation, &mut stream(fit.seed, Stream::Split));
    let mirror = Mirror::new(vae, quantized).unwrap();
    let features = Features::new(data, &vae.frontend);
    validate(vae, &mirror, &features, &held_out, fit).unwrap()
}

#[test]
fn what_was_validated_in_training_is_what_the_blob_computes() {
    let recording = recording(400, 41);
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    let start = teacher(&data, 20, 12);
    let fit = fit_config(4, 6);
    let options = QuantizeOptions {
        weight_bits: "4,decoder.2=8".parse().unwrap(),
        ..QuantizeOptions::default()
    };
    let config = FineTuneConfig { fit: fit.clone(), quantization: Some(options.clone()) };
    let tuned = finetune(&start, &data, None, &config, &ProgressBar::hidden()).unwrap();

    // Through a file, as the commands do it.
    let path = std::env::temp_dir().join(format!("picovae-qat-{}.safetensors", std::process::id()));
    write_trained(&path, &tuned.vae, tuned.settled.as_ref()).unwrap();
    let settled: Settled = read_settled(&path).unwrap().unwrap();
    let vae = read_safetensors(&path, &ForeignOptions::default()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Some(&settled.ranges), tuned.settled.as_ref().map(|settled| &settled.ranges));
    assert_eq!(vae, tuned.vae);
    let quantized = settled.lower(&vae).unwrap();
    let loss = integer_loss(&vae, &quantized, &data, &fit);
    assert_eq!(Some(loss), tuned.report.validation_loss);
    let windows = Array2::from_shape_vec((400, 24), recording.samples.clone()).unwrap();
    let some = windows.slice(ndarray::s![..20, ..]).to_owned();
    mirror_is_the_core(&vae, &quantized, &some);
}

#[test]
fn training_in_integers_beats_rounding_afterwards() {
    let recording = recording(400, 47);
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    let config = TrainConfig {
        starts: 1,
        architecture: Architecture {
            likelihood: LikelihoodKind::Gaussian,
            score: ScoreKind::NegativeElbo,
            ..shape(32)
        },
        normalize: Normalize::Global,
        fit: fit_config(60, 5),
    };
    let bar = ProgressBar::hidden();
    let (start, _) = train(&data, &Frontend::identity(24, 24, 1), &config, &bar).unwrap();
    let quantization =
        QuantizeOptions { weight_bits: WeightBits::uniform(4), ..QuantizeOptions::default() };
    for seed in [6, 7] {
        let fit = FitConfig { learning_rate: 1e-3, ..fit_config(12, seed) };
        let config = FineTuneConfig { fit: fit.clone(), quantization: Some(quantization.clone()) };
        let tuned = finetune(&start, &data, None, &config, &bar).unwrap();
        let loss = tuned.report.validation_loss.unwrap();
        // As many float steps, then 4 bits.
        let (float, report) = super::fit(&start, &data, &fit, &bar).unwrap();
        let features = data.features(&float.frontend, &(0..data.len()).collect::<Vec<_>>());
        let ranges = observe(&float, features.view(), &quantization).unwrap();
        let rounded = lower(&float, &ranges, &quantization).unwrap();
        let after = integer_loss(&float, &rounded, &data, &fit);
        let float = report.validation_loss.unwrap();
        println!("seed {seed}: float {float}, in integers {loss}, rounded afterwards {after}");
        assert!(loss - float < 0.7 * (after - float), "{float}, {loss}, {after}");
    }
}

#[test]
fn equal_seeds_give_equal_integers() {
    let recording = recording(96, 42);
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    let start = teacher(&data, 8, 2);
    let quantization =
        Some(QuantizeOptions { weight_bits: WeightBits::uniform(4), ..QuantizeOptions::default() });
    let config = FineTuneConfig { fit: fit_config(2, 6), quantization };
    let lessons = Teacher { vae: &start, config: TeacherConfig::default() };
    let run = || finetune(&start, &data, Some(lessons), &config, &ProgressBar::hidden()).unwrap();
    let (a, b) = (run(), run());
    assert_eq!((a.vae, a.settled), (b.vae, b.settled));
}

#[test]
fn a_distilled_student_beats_the_same_from_scratch() {
    let (many, few, unseen) = (recording(900, 43), recording(100, 44), recording(200, 45));
    let sets = [&many, &few, &unseen].map(|recording| {
        let mut set = WindowSet::new();
        set.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
        set
    });
    let [many, few, unseen] = &sets;
    let gaussian = |hidden| Architecture { likelihood: LikelihoodKind::Gaussian, ..shape(hidden) };
    let gaussian = |hidden| Architecture { score: ScoreKind::NegativeElbo, ..gaussian(hidden) };
    let bar = ProgressBar::hidden();
    let config = TrainConfig {
        starts: 1,
        architecture: gaussian(40),
        normalize: Normalize::Global,
        fit: fit_config(40, 5),
    };
    let (teacher, _) = train(many, &Frontend::identity(24, 24, 1), &config, &bar).unwrap();
    let fit = FitConfig { validation: 0.0, ..fit_config(100, 7) };
    let start = student(&teacher, &gaussian(16), 7).unwrap();
    let (scratch, _) = super::fit(&start, few, &fit, &bar).unwrap();
    let config = DistillConfig {
        fine_tune: FineTuneConfig { fit: fit.clone(), quantization: None },
        teacher: TeacherConfig { prior: 0.5, spliced: 0.0, ..TeacherConfig::default() },
    };
    let distilled = distill(&teacher, &start, few, &config, &bar).unwrap().vae;
    let all: Vec<usize> = (0..unseen.len()).collect();
    let features = Features::new(unseen, &start.frontend);
    let loss = |vae: &Vae| validate(vae, &Float, &features, &all, &fit).unwrap();
    let (scratch, distilled) = (loss(&scratch), loss(&distilled));
    assert!(distilled < scratch - 5.0, "distilled {distilled}, from scratch {scratch}");
}

#[test]
fn a_teacher_must_fit() {
    let recording = recording(64, 46);
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    let teacher = teacher(&data, 8, 1);
    let narrow = student(&teacher, &Architecture { latent: 3, ..shape(8) }, 1).unwrap();
    let attempt = |student: &Vae, lessons: TeacherConfig| {
        let config = DistillConfig {
            fine_tune: FineTuneConfig { fit: fit_config(1, 1), quantization: None },
            teacher: lessons,
        };
        distill(&teacher, student, &data, &config, &ProgressBar::hidden())
    };
    let lessons = TeacherConfig::default();
    assert!(matches!(
        attempt(&narrow, lessons),
        Err(TrainError::TeacherLatent { teacher: 4, student: 3 })
    ));
    assert!(attempt(&narrow, TeacherConfig { posterior: 0.0, ..lessons }).is_ok());
    let mut other = student(&teacher, &shape(8), 1).unwrap();
    other.frontend.scale = vec![256.0];
    assert!(matches!(attempt(&other, lessons), Err(TrainError::TeacherFeatures)));
    let out = TeacherConfig { reconstruction: 1.5, ..lessons };
    assert!(matches!(attempt(&teacher, out), Err(TrainError::Setting { .. })));
}

/// A step too far: what was given is kept, with the precision of its residuals.
#[test]
fn training_that_only_makes_it_worse_changes_no_weight() {
    let recording = recording(96, 48);
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(24, 24, 1)).unwrap()).unwrap();
    let mut start = teacher(&data, 12, 20);
    start.likelihood = Likelihood::Gaussian { precision: None };
    start.score = ScoreKind::ReconstructionError;
    let worse = FitConfig { learning_rate: 3.0, keep_start: true, ..fit_config(2, 6) };
    let (kept, report) = super::fit(&start, &data, &worse, &ProgressBar::hidden()).unwrap();
    assert_eq!((&kept.encoder, &kept.decoder), (&start.encoder, &start.decoder));
    assert_eq!(report.best_epoch, 0);
    assert!(report.history.iter().all(|e| e.validation_loss > report.validation_loss));
    let precision = Some(residual_precision(&start, &data));
    assert_eq!(kept.likelihood, Likelihood::Gaussian { precision });
}
