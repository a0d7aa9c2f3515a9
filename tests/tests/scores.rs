//! Scores beside the plain ones, against f64: excess over the entropy, distance
//! in the latent, reconstruction probability.

use ndarray::Array1;
use picovae::emit::{Blob, Calibrated, write};
use picovae::graph::{Activation, LatentGaussian, ScoreKind, Vae as FloatVae};
use picovae::quantize::{IntLatentGaussian, QuantizeOptions, QuantizedVae, lower, observe};
use picovae_core::Vae;
use picovae_core::fixed::gaussian::Gaussian;
use picovae_core::fixed::tables::ENTROPY;
use picovae_core::model::wire::sections::Sampling;
use picovae_tests::random_model::{self, Recipe};

fn recipe(bernoulli: bool) -> Recipe {
    Recipe {
        window_len: 24,
        channels: 1,
        hidden: vec![12],
        latent: 4,
        activation: Activation::Relu,
        bernoulli,
        variational: true,
        remove_mean: false,
    }
}

fn quantized(recipe: &Recipe, score: ScoreKind) -> (FloatVae, QuantizedVae) {
    let vae = FloatVae { score, ..random_model::vae(recipe, 3) };
    let features = random_model::features(&vae, &random_model::windows(recipe, 60, 4));
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, features.view(), &options).unwrap();
    let quantized = lower(&vae, &ranges, &options).unwrap();
    (vae, quantized)
}

fn blob(quantized: &QuantizedVae) -> Blob {
    write(quantized, "portable", Calibrated::default()).unwrap()
}

/// Runs `judge` on every window, scored.
fn each(blob: &Blob, recipe: &Recipe, mut judge: impl FnMut(&mut Vae<'_, '_>, f64)) {
    let model = blob.model().unwrap();
    let mut words = vec![0u128; model.arena_len() / 16];
    let mut vae = Vae::new(&model, bytemuck::cast_slice_mut(&mut words)).unwrap();
    for window in random_model::windows(recipe, 25, 77) {
        let score = vae.score_window(&window).unwrap();
        judge(&mut vae, score.0 as f64 / 65_536.0);
    }
}

fn bernoulli_nll(x: &[f64], logits: &[i16]) -> f64 {
    let term = |(x, l): (&f64, &i16)| {
        let l = f64::from(*l) / 256.0;
        l.max(0.0) + (-l.abs()).exp().ln_1p() - x * l
    };
    x.iter().zip(logits).map(term).sum()
}

fn entropy(x: f64) -> f64 {
    [x, 1.0 - x].into_iter().filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum()
}

fn pixels(vae: &Vae<'_, '_>) -> Vec<f64> {
    vae.features().iter().map(|&q| (f64::from(q) + 128.0) / 255.0).collect()
}

#[test]
fn the_entropies_are_those_of_pixels() {
    for (u, &entry) in ENTROPY.iter().enumerate() {
        assert_eq!(f64::from(entry), (65_536.0 * entropy(u as f64 / 255.0)).round(), "{u}");
    }
}

#[test]
fn the_excess_is_the_divergence_of_input_and_output() {
    let recipe = recipe(true);
    let (_, quantized) = quantized(&recipe, ScoreKind::BernoulliExcess);
    let blob = blob(&quantized);
    assert_eq!(blob.bytes()[4], 2, "a reader of version 1 does not know the score");
    each(&blob, &recipe, |vae, score| {
        let x = pixels(vae);
        let real = bernoulli_nll(&x, vae.output()) - x.iter().copied().map(entropy).sum::<f64>();
        assert!((score - real).abs() < 6e-5 * x.len() as f64, "{score} {real}");
        assert!(score > -1e-3);
    });
}

#[test]
fn the_reconstruction_probability_is_a_mean_over_samples() {
    let recipe = recipe(true);
    let (_, mut quantized) = quantized(&recipe, ScoreKind::ReconstructionProbability);
    let sampling = Sampling { samples: 7, seed: 99 };
    quantized.extras.sampling = Some(sampling);
    let blob = blob(&quantized);
    let mut sum = 0.0;
    each(&blob, &recipe, |vae, score| {
        let at_mean = vae.output().to_vec();
        let x = pixels(vae);
        let mut noise = Gaussian::new(99);
        let mut real = 0.0;
        for _ in 0..7 {
            vae.decode_sample(&mut noise);
            real += bernoulli_nll(&x, vae.output()) / 7.0;
        }
        assert!((score - real).abs() < 5e-5 * x.len() as f64 + 1e-4, "{score} {real}");
        sum += (score - bernoulli_nll(&x, &at_mean)).abs();
    });
    assert!(sum > 0.1, "samples differ from the mean: {sum}");
}

#[test]
fn the_blob_knows_how_far_a_latent_lies() {
    let recipe = recipe(false);
    let (vae, mut quantized) = quantized(&recipe, ScoreKind::Mahalanobis);
    let features = random_model::features(&vae, &random_model::windows(&recipe, 200, 4));
    let mu = vae.encode(features.view()).0.mapv(f64::from);
    for full in [false, true] {
        let normal = LatentGaussian::fit(mu.view(), full, 1e-3).unwrap();
        let bits = quantized.latent.mu_frac_bits;
        quantized.extras.latent_gaussian = Some(IntLatentGaussian::of(&normal, bits));
        let blob = blob(&quantized);
        let mut largest = 0.0f64;
        each(&blob, &recipe, |vae, score| {
            let unit = f64::from(1u32 << bits);
            let mu: Array1<f64> = vae.mu().iter().map(|&m| f64::from(m) / unit).collect();
            let real = normal.squared_distance(mu.view());
            assert!((score - real).abs() < 2e-3 * real + 2e-3, "{full}: {score} {real}");
            largest = largest.max(score);
        });
        assert!(largest > 5.0, "wild windows lie far away: {largest}");
    }
}

#[test]
fn a_score_without_its_section_is_refused() {
    for score in [ScoreKind::Mahalanobis, ScoreKind::ReconstructionProbability] {
        let (_, quantized) = quantized(&recipe(false), score);
        let error = write(&quantized, "portable", Calibrated::default()).unwrap_err();
        assert!(error.to_string().contains("score settings"), "{error}");
    }
    let (_, mut quantized) = quantized(&recipe(false), ScoreKind::ReconstructionError);
    quantized.extras.sampling = Some(Sampling { samples: 0, seed: 1 });
    assert!(write(&quantized, "portable", Calibrated::default()).is_err());
    quantized.extras.sampling = None;
    quantized.extras.latent_gaussian = Some(IntLatentGaussian {
        mean: vec![0; 4],
        weights: vec![1; 4],
        shifts: vec![48; 4],
        full: false,
    });
    assert!(write(&quantized, "portable", Calibrated::default()).is_err());
}
