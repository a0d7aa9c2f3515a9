//! The core against the independent reference: every integer equal, every
//! score within 0.1 % of its f64 formula.

use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::{Activation, Vae};
use picovae::quantize::{QuantizeOptions, RangeMethod, WeightBits, lower, observe};
use picovae_core::fixed::Rounding;
use picovae_core::trace::Trace;
use picovae_core::{Arena, Score, ScoreKind};
use picovae_tests::random_convolutions::{self, OPERATORS};
use picovae_tests::random_model::{self, Recipe};
use picovae_tests::reference::{Activations, Reference};

/// Keeps everything the core shows.
#[derive(Default)]
struct Recorder(Activations);

impl Trace for Recorder {
    fn features(&mut self, features: &[i8]) {
        self.0.features = features.iter().map(|&q| q.into()).collect();
    }
    fn layer(&mut self, _: usize, activations: &[i8]) {
        self.0.layers.push(activations.iter().map(|&q| q.into()).collect());
    }
    fn head(&mut self, _: usize, values: &[i16]) {
        self.0.layers.push(values.iter().map(|&q| q.into()).collect());
    }
    fn latent(&mut self, z: &[i8]) {
        self.0.latent = z.iter().map(|&q| q.into()).collect();
    }
}

fn recipes() -> Vec<Recipe> {
    let base = Recipe {
        window_len: 20,
        channels: 3,
        hidden: vec![17, 9],
        latent: 4,
        activation: Activation::Relu,
        bernoulli: false,
        variational: true,
        remove_mean: true,
    };
    let mut recipes = vec![
        base.clone(),
        Recipe { remove_mean: false, ..base.clone() },
        Recipe { variational: false, ..base.clone() },
        Recipe { hidden: vec![], ..base.clone() },
        Recipe { hidden: vec![5], window_len: 1, channels: 1, latent: 1, ..base.clone() },
        Recipe { window_len: 64, channels: 1, bernoulli: true, ..base.clone() },
        Recipe { hidden: vec![33, 31, 15, 7], latent: 3, ..base.clone() },
    ];
    for activation in [
        Activation::Relu6,
        Activation::LeakyRelu { alpha: 0.2 },
        Activation::Elu { alpha: 1.0 },
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::Silu,
        Activation::Softplus,
        Activation::Identity,
    ] {
        recipes.push(Recipe { activation, ..base.clone() });
    }
    recipes
}

fn quantize(vae: &Vae, windows: &[Vec<i16>], options: &QuantizeOptions) -> Blob {
    let features = random_model::features(vae, windows);
    let ranges = observe(vae, features.view(), options).unwrap();
    let model = lower(vae, &ranges, options).unwrap();
    write(&model, "portable", Calibrated::default()).unwrap()
}

/// Within 0.1 % of the formula, or within the last digit of the score's format.
fn close(score: Score, kind: ScoreKind, real: f64, parts: f64) {
    let value = score.0 as f64 / (1u64 << kind.frac_bits()) as f64;
    // A difference of large parts (a Gaussian NLL near 0) is judged by its parts.
    let allowed = 1e-3 * real.abs().max(parts * 0.05) + 2.0 / (1u64 << kind.frac_bits()) as f64;
    assert!((value - real).abs() <= allowed, "{}: {value} against {real}", kind.name());
}

#[test]
fn every_activation_equals_the_reference_and_scores_are_within_a_thousandth() {
    for (seed, recipe) in recipes().iter().enumerate() {
        for rounding in [Rounding::Double, Rounding::Single] {
            for range in
                [RangeMethod::MinMax, RangeMethod::Percentile(0.999), RangeMethod::MseOptimal]
            {
                let options = QuantizeOptions { range, rounding, ..QuantizeOptions::default() };
                let vae = random_model::vae(recipe, seed as u64);
                let windows = random_model::windows(recipe, 60, seed as u64 + 100);
                let blob = quantize(&vae, &windows[..40], &options);
                check(&blob, &windows, &format!("{recipe:?} {rounding:?} {range}"));
            }
        }
    }
}

#[test]
fn heads_with_an_activation_equal_the_reference() {
    for (activation, bernoulli) in [
        (Activation::Sigmoid, false),
        (Activation::Tanh, false),
        (Activation::Relu, false),
        (Activation::Elu { alpha: 1.0 }, false),
        (Activation::LeakyRelu { alpha: 0.3 }, true),
    ] {
        let recipe = &Recipe { variational: false, bernoulli, ..recipes()[5].clone() };
        let mut vae = random_model::vae(recipe, 21);
        vae.mu.activation = activation;
        vae.decoder.last_mut().unwrap().activation = activation;
        let mut windows = random_model::windows(recipe, 60, 22);
        windows.retain(|window| window.iter().all(|x| x.abs() < 1_500));
        let blob = quantize(&vae, &windows[..40], &QuantizeOptions::default());
        let model = blob.model().unwrap();
        for index in [model.encoder_len() - 1, model.layer_count() - 1] {
            assert!(matches!(
                model.layer(index).unwrap().output,
                picovae_core::model::Output::Widened { .. }
            ));
        }
        check(&blob, &windows, &format!("{activation:?}"));
        // And the table says what the float activation says.
        let features = random_model::features(&vae, &windows[..40]);
        let (mu, _) = vae.encode(features.view());
        let float = vae.decode(mu.view());
        let mut arena = Arena::<8192>::new();
        let mut core = picovae_core::Vae::new(&model, arena.bytes()).unwrap();
        let mut error = 0.0;
        let spread = float.iter().fold(0f32, |max, x| max.max(x.abs()));
        for (window, float) in windows[..40].iter().zip(float.rows()) {
            core.score_window(window).unwrap();
            let grid = f32::from_bits(model.description().frontend.scale_bits);
            let zero_point = f32::from(model.description().frontend.zero_point);
            for (&y, x) in core.output().iter().zip(float) {
                let real = match bernoulli {
                    true => f32::from(y) / 256.0,
                    false => grid * (f32::from(y) / 64.0 - zero_point),
                };
                error += (real - x).abs() / (spread * float.len() as f32);
            }
        }
        assert!(error / 40.0 < 0.02, "{activation:?}: {}", error / 40.0);
    }
}

/// Random convolutional VAEs, signals and images, every pair of operators, quantized
/// every way, 4-bit weights among them; and the same in every target's packing.
#[test]
fn convolutions_equal_the_reference() {
    let activations = [
        Activation::Relu,
        Activation::Tanh,
        Activation::LeakyRelu { alpha: 0.1 },
        Activation::Relu6,
    ];
    let mut seen = [0; OPERATORS.len()];
    for seed in 0..100u64 {
        let pick = |among: u64, of: u64| (seed / of % among) as usize;
        let recipe = Recipe {
            window_len: 24,
            channels: 1 + pick(3, 2),
            hidden: if pick(2, 1) == 0 { vec![] } else { vec![1] },
            latent: 4,
            activation: activations[pick(4, 3)],
            bernoulli: pick(4, 7) == 0,
            variational: pick(5, 1) != 0,
            remove_mean: pick(2, 4) == 0,
        };
        let range = [RangeMethod::MinMax, RangeMethod::Percentile(0.999), RangeMethod::MseOptimal]
            [pick(3, 1)];
        let options = QuantizeOptions {
            range,
            rounding: [Rounding::Double, Rounding::Single][pick(2, 3)],
            weight_bits: WeightBits::uniform([8, 4][pick(2, 2)]),
            ..QuantizeOptions::default()
        };
        let width = [1, 4][pick(2, 5)];
        let kinds = [pick(5, 1), pick(5, 5)];
        let vae = random_convolutions::vae(&recipe, width, kinds, seed);
        for layer in vae.layers() {
            if let Some(kind) = OPERATORS.iter().position(|name| *name == layer.op.name()) {
                seen[kind] += 1;
            }
        }
        let what = format!("seed {seed}, {width} columns, {kinds:?}, {recipe:?} {options:?}");
        let windows = random_model::windows(&recipe, 50, seed + 100);
        let features = random_model::features(&vae, &windows[..40]);
        let ranges = observe(&vae, features.view(), &options).unwrap();
        let integers = lower(&vae, &ranges, &options).unwrap();
        let blob = write(&integers, "portable", Calibrated::default()).unwrap();
        check(&blob, &windows, &what);
        let reference = Reference::read(blob.bytes());
        for target in ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m55"] {
            let packed = write(&integers, target, Calibrated::default()).unwrap();
            let model = packed.model().unwrap();
            let mut arena = Arena::<8192>::new();
            let mut core = picovae_core::Vae::new(&model, arena.bytes()).unwrap();
            for window in windows.iter().step_by(7) {
                let mut recorder = Recorder::default();
                core.score_window_traced(window, &mut recorder).unwrap();
                assert_eq!(recorder.0, reference.run(window), "{target}, {what}");
            }
        }
    }
    assert!(seen.iter().all(|count| *count >= 60), "{seen:?}");
}

fn check(blob: &Blob, windows: &[Vec<i16>], what: &str) {
    let model = blob.model().unwrap();
    let reference = Reference::read(blob.bytes());
    let mut arena = Arena::<8192>::new();
    let mut vae = picovae_core::Vae::new(&model, arena.bytes()).unwrap();
    for window in windows {
        let mut recorder = Recorder::default();
        let score = vae.score_window_traced(window, &mut recorder).unwrap();
        let expected = reference.run(window);
        assert_eq!(recorder.0, expected, "{what}");
        let real = reference.scores(&expected);
        close(
            vae.reconstruction_error(),
            ScoreKind::ReconstructionError,
            real.reconstruction_error,
            0.0,
        );
        let n = model.input_len() as f64;
        close(vae.nll(), ScoreKind::NegativeElbo, real.nll, n);
        close(vae.kl_divergence(), ScoreKind::KlDivergence, real.kl_divergence, 0.0);
        close(score, ScoreKind::NegativeElbo, real.nll + real.kl_divergence, n);
    }
}

#[test]
fn int8_follows_the_float_model() {
    // A sanity bound on the quantizer itself: the mean score of the float model
    // and of its int8 twin agree to 3 % on windows of a usual size, one window to 15 %.
    let recipe = &recipes()[0];
    let vae = random_model::vae(recipe, 5);
    let mut windows = random_model::windows(recipe, 100, 6);
    windows.retain(|window| window.iter().all(|x| x.abs() < 1_500));
    assert!(windows.len() > 80);
    let blob = quantize(&vae, &windows, &QuantizeOptions::default());
    let model = blob.model().unwrap();
    let mut arena = Arena::<8192>::new();
    let mut core = picovae_core::Vae::new(&model, arena.bytes()).unwrap();
    let features = random_model::features(&vae, &windows);
    let (mut sum, mut float_sum) = (0.0, 0.0);
    for (window, float) in windows.iter().zip(vae.scores(features.view())) {
        core.score_window(window).unwrap();
        let mse = core.reconstruction_error().0 as f64 / 2f64.powi(32);
        assert!((mse / float.reconstruction_error - 1.0).abs() < 0.15, "{mse} {float:?}");
        sum += mse;
        float_sum += float.reconstruction_error;
    }
    assert!((sum / float_sum - 1.0).abs() < 0.03, "{sum} {float_sum}");
}

/// Real windows where the data is at hand, else noise: the committed blobs, integer by integer.
#[test]
fn committed_models_equal_the_reference() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let data = std::env::var_os("PICOVAE_DATA")
        .map_or_else(|| root.join("../shared/data"), std::path::PathBuf::from);
    for (name, recording) in [
        ("ecg-vae", "ecg5000/signals_5000x140_f32.npy"),
        ("fan-vae", "fan_accel/fan_0_low_1_weight.npy"),
        ("mnist-seed-vae", "mnist/t10k-images-idx3-ubyte.gz"),
        ("toycar-vae", "mlperf_tiny_ad/test_clips.npy"),
    ] {
        let blob = Blob::read(&root.join(format!("models/{name}/{name}.pvae"))).unwrap();
        let model = blob.model().unwrap();
        let recording = data.join(recording);
        let windows = if recording.is_file() {
            real_windows(&model, &recording)
        } else {
            eprintln!("SKIPPED real windows of {name}: {} is absent", recording.display());
            noise_windows(model.input_len())
        };
        let reference = Reference::read(blob.bytes());
        let mut arena = Arena::<8192>::new();
        let mut vae = picovae_core::Vae::new(&model, arena.bytes()).unwrap();
        for window in windows {
            let mut recorder = Recorder::default();
            let score = vae.score_window_traced(&window, &mut recorder).unwrap();
            let expected = reference.run(&window);
            assert_eq!(recorder.0, expected, "{name}");
            let real = reference.scores(&expected);
            let expected = match model.score_kind() {
                ScoreKind::ReconstructionError => real.reconstruction_error,
                _ => real.nll + real.kl_divergence,
            };
            close(score, model.score_kind(), expected, 0.0);
            close(vae.kl_divergence(), ScoreKind::KlDivergence, real.kl_divergence, 0.0);
            close(vae.nll(), ScoreKind::NegativeElbo, real.nll, 0.0);
        }
    }
}

/// Windows of a recording, evenly spread, in the device's counts.
fn real_windows(model: &picovae_core::Model<'_>, path: &std::path::Path) -> Vec<Vec<i16>> {
    let recording = picovae::recording::Recording::read(path, &[]).unwrap();
    let frontend = picovae::simulate::frontend_of(model);
    let clips = recording.clips(&frontend).unwrap();
    (0..clips.window_count())
        .step_by(clips.window_count() / 24)
        .map(|i| {
            let samples = clips.window(i).samples.iter().enumerate();
            samples.map(|(at, &x)| frontend.raw(x, at % frontend.channels)).collect()
        })
        .collect()
}

fn noise_windows(len: usize) -> Vec<Vec<i16>> {
    use rand::RngExt;
    let mut rng = random_model::rng(1);
    (0..24).map(|_| (0..len).map(|_| rng.random_range(0..255i16)).collect()).collect()
}
