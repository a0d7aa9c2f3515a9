//! Many windows at a time against one after the other: every committed model, and int8 models of another framework.

use std::path::{Path, PathBuf};

use picovae::emit::{Calibrated, write};
use picovae::graph::{Frontend, ScoreKind as Kind};
use picovae::import::{
    ForeignOptions, TfliteContents, TfliteOptions, parse_tflite, read_safetensors,
};
use picovae::quantize::{QuantizeOptions, lower, observe};
use picovae::recording::{Recording, WindowSet};
use picovae::simulate::{
    DetectorOptions, FalseAlarms, Scorer, ScorerWeights, Simulator, SimulatorArena, assemble,
    frontend_of, real_score, score_all, score_set, window_noise,
};
use picovae_core::trace::ActivationHash;
use picovae_core::{Model, ScoreKind};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Waves, noise, silence and samples beyond the converter's range: `count` windows.
fn recording(frontend: &Frontend, count: usize) -> Recording {
    let len = frontend.input_len();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut samples = Vec::new();
    for window in 0..count {
        let amplitude = [0.0, 30.0, 500.0, 9_000.0, 40_000.0][window % 5] * frontend.lsb(0);
        let step = random.random_range(0.01f32..1.0);
        samples.extend(
            (0..len).map(|i| {
                amplitude * (0.7 * (step * i as f32).sin() + random.random_range(-0.3..0.3))
            }),
        );
    }
    Recording::from_samples("drawn", vec![count, len], samples).unwrap()
}

/// Scores, means and the hash over every activation.
fn check(name: &str, model: &Model<'_>) {
    // Two chunks that threads take, the second one not a whole batch.
    const WINDOWS: usize = 64 + 37;
    let recording = recording(&frontend_of(model), WINDOWS);
    let clips = recording.clips(&frontend_of(model)).unwrap();
    assert_eq!(clips.window_count(), WINDOWS, "{name}");

    let mut arena = SimulatorArena::new(model);
    let mut simulator = Simulator::new(model, &mut arena).unwrap();
    let (mut scores, mut hash) = (Vec::new(), ActivationHash::new());
    let mut sums = [[0f64; 3]; 2];
    for window in clips.windows() {
        scores.push(simulator.score(window.samples, &mut hash).unwrap());
        let [nll, kl, error] = &mut sums[window.index / 64];
        let vae = simulator.vae();
        *kl += real_score(vae.kl_divergence(), ScoreKind::KlDivergence);
        *error += real_score(vae.reconstruction_error(), ScoreKind::ReconstructionError);
        vae.decode_sample(&mut window_noise(5, window.index));
        *nll += real_score(vae.nll(), ScoreKind::NegativeElbo);
    }

    let all = score_all(model, &clips, 5).unwrap();
    assert!(all.windows.iter().map(|window| window.score).eq(scores.iter().copied()), "{name}");
    assert_eq!(all.saturated, simulator.saturated, "{name}");
    let mean = |part: usize| (sums[0][part] + sums[1][part]) / WINDOWS as f64;
    let means = [all.means.nll, all.means.kl_divergence, all.means.reconstruction_error];
    assert_eq!(means, [mean(0), mean(1), mean(2)], "{name}: not one bit may differ");

    let mut set = WindowSet::new();
    set.add(clips).unwrap();
    assert_eq!(score_set(model, &set).unwrap(), scores, "{name}");

    let mut weights = ScorerWeights::new(model);
    let scorer = Scorer::new(model, &mut weights).unwrap();
    let mut batched = ActivationHash::new();
    let samples = clips.windows().map(|window| window.samples);
    let saturated = scorer.run(samples, |batch, scores, _| {
        (0..).zip(scores).for_each(|(at, &score)| batch.replay(at, score, &mut batched));
    });
    assert_eq!(saturated.unwrap(), simulator.saturated, "{name}");
    assert_eq!(batched, hash, "{name}: activations");
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_committed_model_gives_the_same_bits() {
    let blobs = files(&root().join("models"), ".pvae");
    assert!(blobs.len() >= 4, "{blobs:?}");
    for path in blobs {
        let bytes = std::fs::read(&path).unwrap();
        let mut aligned = vec![0u128; bytes.len().div_ceil(16)];
        let blob: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
        let blob = &mut blob[..bytes.len()];
        blob.copy_from_slice(&bytes);
        check(&path.display().to_string(), &Model::parse(blob).unwrap());
    }
}

/// Convolutions, pools, tables, layers that round in another way, heads that are int8 first.
#[test]
fn int8_models_of_another_framework_give_the_same_bits() {
    let mut widened = 0;
    for path in files(&root().join("tests/fixtures/tflite"), "_int8.tflite") {
        let bytes = std::fs::read(&path).unwrap();
        let contents =
            parse_tflite(&path, &bytes, &TfliteOptions::default(), &ForeignOptions::default())
                .unwrap();
        let TfliteContents::Int8(model) = contents else { continue };
        for target in ["portable", "cortex-m0", "cortex-m4"] {
            let blob = write(&model.vae, target, Calibrated::default()).unwrap();
            let model = blob.model().unwrap();
            widened += (0..model.layer_count())
                .filter(|&index| model.layer(index).unwrap().narrow().is_some())
                .count();
            check(&format!("{} {target}", path.display()), &model);
        }
    }
    assert!(widened > 0, "no model shows a widened head");
}

/// Scores that read the latent, or decode samples of it, too.
#[test]
fn every_score_is_the_same() {
    use Kind::*;
    let gaussian =
        [GaussianNll, KlDivergence, NegativeElbo, Mahalanobis, ReconstructionProbability];
    let bernoulli = [ReconstructionError, BernoulliNll, BernoulliExcess, ReconstructionProbability];
    for (name, kinds) in [("fan-vae", &gaussian[..]), ("mnist-seed-vae", &bernoulli[..])] {
        let path = root().join("models").join(name).join(format!("{name}.safetensors"));
        let mut vae = read_safetensors(&path, &ForeignOptions::default()).unwrap();
        let mut recording = recording(&vae.frontend, 40);
        if kinds.contains(&BernoulliNll) {
            // Pixels.
            recording.samples.iter_mut().for_each(|x| *x = x.abs().min(255.0));
        }
        let mut set = WindowSet::new();
        set.add(recording.clips(&vae.frontend).unwrap()).unwrap();
        let options = QuantizeOptions::default();
        let all: Vec<usize> = (0..set.len()).collect();
        let ranges = observe(&vae, set.features(&vae.frontend, &all).view(), &options).unwrap();
        for &kind in kinds {
            vae.score = kind;
            let quantized = lower(&vae, &ranges, &options).unwrap();
            let detector = DetectorOptions {
                target: "portable".into(),
                false_alarms: FalseAlarms::Share(0.01),
                decision: picovae::simulate::DecisionOptions::default(),
            };
            let detector = assemble(quantized, &set, &detector).unwrap();
            let model = detector.blob.model().unwrap();
            assert_eq!(model.score_kind().name(), kind.name());
            check(&format!("{name} {}", kind.name()), &model);
        }
    }
}
