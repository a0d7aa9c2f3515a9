//! One yardstick for float models and blobs, and for models that say less of themselves than others.

use super::*;
use crate::graph::Frontend;
use crate::quantize::{QuantizeOptions, quantize_on};
use crate::simulate::{DecisionOptions, DetectorOptions, FalseAlarms, assemble};
use crate::train::{Architecture, FitConfig, Normalize, TrainConfig, known_precision, train};
use indicatif::ProgressBar;

const FRAMES: usize = 24;

/// Sines of every phase, far from 0 and large.
fn recording() -> Recording {
    let wave = |row: usize, t: usize| 400.0 + 90.0 * (0.37 * row as f32 + 0.4 * t as f32).sin();
    let samples = (0..300 * FRAMES).map(|at| wave(at / FRAMES, at % FRAMES)).collect();
    Recording::from_samples("waves", vec![300, FRAMES], samples).unwrap()
}

fn trained(data: &WindowSet<'_>, score: ScoreKind, normalize: Normalize, epochs: usize) -> Vae {
    let architecture = Architecture { score, ..Architecture::mirrored("waves", &[24], 3) };
    let fit = FitConfig { epochs, batch: 16, learning_rate: 3e-3, ..FitConfig::default() };
    let config = TrainConfig { starts: 1, architecture, normalize, fit };
    let frontend = Frontend::identity(FRAMES, FRAMES, 1);
    train(data, &frontend, &config, &ProgressBar::hidden()).unwrap().0
}

#[test]
fn a_blob_has_the_score_of_its_model() {
    let recording = recording();
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(FRAMES, FRAMES, 1)).unwrap()).unwrap();
    for score in [ScoreKind::Mahalanobis, ScoreKind::ReconstructionError, ScoreKind::NegativeElbo] {
        let vae = trained(&data, score, Normalize::PerChannel, 20);
        let yardstick = Yardstick::new(&vae, &data, 1).unwrap();
        let quantized = quantize_on(&vae, &data, None, &QuantizeOptions::default()).unwrap();
        let options = DetectorOptions {
            target: "portable".into(),
            false_alarms: FalseAlarms::Share(0.05),
            decision: DecisionOptions::default(),
        };
        let blob = assemble(quantized, &data, &options).unwrap().blob;
        let (float, int8) = (yardstick.of_float(&vae).unwrap(), yardstick.of_blob(&blob).unwrap());
        assert!((float.agreement - 1.0).abs() < 1e-9, "{score:?}: {float:?}");
        assert!(int8.agreement > 0.97, "{score:?}: {int8:?}");
        assert!((float.damage_auc - int8.damage_auc).abs() < 0.03, "{score:?}: {float:?} {int8:?}");
    }
}

#[test]
fn a_ruined_network_loses_against_a_model_that_knows_no_precision() {
    let recording = recording();
    let mut data = WindowSet::new();
    data.add(recording.clips(&Frontend::identity(FRAMES, FRAMES, 1)).unwrap()).unwrap();
    let good = trained(&data, ScoreKind::ReconstructionError, Normalize::Global, 4);
    // As files of other tools have it, in the recording's own units: so the deviation is far from 1.
    let mut foreign = good.clone();
    foreign.likelihood = Likelihood::Gaussian { precision: None };
    foreign.frontend.scale = vec![1.0];
    let scale = good.frontend.scale[0];
    let first = foreign.encoder[0].op.parameters_mut().unwrap().0;
    first.iter_mut().for_each(|w| *w /= scale);
    let (weight, bias) = foreign.decoder.last_mut().unwrap().op.parameters_mut().unwrap();
    weight.iter_mut().chain(bias.iter_mut()).for_each(|w| *w *= scale);
    let mut ruined = foreign.clone();
    ruined.mu.op.parameters_mut().unwrap().0.iter_mut().for_each(|w| *w = 0.0);
    let ruined = known_precision(ruined, &data);

    let model = known_precision(foreign.clone(), &data);
    let loss = |reference: &Vae| {
        let yardstick = Yardstick::new(reference, &data, 1).unwrap();
        let before = yardstick.of_float(reference).unwrap().negative_elbo;
        yardstick.relative_loss(yardstick.of_float(&ruined).unwrap().negative_elbo, before)
    };
    assert!(loss(&foreign) < 0.0, "else this test shows nothing: {}", loss(&foreign));
    assert!(loss(&model) > 0.1, "{}", loss(&model));
    // A model that has one keeps it.
    assert_eq!(known_precision(good.clone(), &data), good);
}
