//! Bias correction, on windows that it has not seen.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::graph::{Activation, Frontend, LikelihoodKind, ScoreKind, Vae};
use crate::train::{Architecture, random_vae};

fn network(image: bool, seed: u64) -> Vae {
    let shape = Architecture {
        name: "post".into(),
        convolutions: if image { vec!["6x3s2".parse().unwrap()] } else { Vec::new() },
        decoder_convolutions: None,
        image: image.then(|| "6x6".parse().unwrap()),
        hidden: vec![24, 18],
        decoder_hidden: vec![18, 24],
        latent: 4,
        activation: Activation::Relu,
        likelihood: LikelihoodKind::Bernoulli,
        score: ScoreKind::NegativeElbo,
    };
    let frontend = Frontend { scale: vec![255.0], ..Frontend::identity(36, 36, 1) };
    random_vae(frontend, &shape, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
}

fn pixels(windows: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((windows, 36), || f32::from(rng.random::<u8>()) / 255.0)
}

/// `mu` and output, float and by integers.
fn both(vae: &Vae, options: &QuantizeOptions, x: &Array2<f32>) -> [[Array2<f32>; 2]; 2] {
    let ranges = observe(vae, x.view(), options).unwrap();
    let mirror = Mirror::new(vae, &lower(vae, &ranges, options).unwrap()).unwrap();
    let mut h = mirror.features(x.clone());
    let encoder = vae.encoder.len();
    for layer in &mirror.layers[..encoder] {
        h = layer.run(h.view()).real;
    }
    let mu = mirror.layers[encoder].run(h.view()).real;
    let mut y = mirror.latent(mu.clone());
    for layer in &mirror.layers[encoder + 2..] {
        y = layer.run(y.view()).real;
    }
    let trace = vae.trace(x.view(), None);
    [[trace.mu, trace.decoder.last().unwrap().clone()], [mu, y]]
}

#[test]
fn corrected_biases_take_the_mean_error_back() {
    for image in [false, true] {
        let vae = network(image, 5);
        let x = pixels(400, 6);
        let options =
            QuantizeOptions { weight_bits: WeightBits::uniform(4), ..QuantizeOptions::default() };
        let ranges = observe(&vae, x.view(), &options).unwrap();
        let corrected = correct_biases(&vae, &ranges, &options, x.view()).unwrap();
        let weights = |vae: &Vae| vae.layers().map(|l| l.op.weight().to_vec()).collect::<Vec<_>>();
        assert_eq!(weights(&vae), weights(&corrected));
        // On windows that the correction has not seen.
        let fresh = pixels(400, 7);
        let [float, plain] = both(&vae, &options, &fresh);
        let [_, mended] = both(&corrected, &options, &fresh);
        for (at, float) in float.iter().enumerate() {
            let shift = |found: &Array2<f32>| {
                let mean = (found - float).mean_axis(ndarray::Axis(0)).unwrap();
                // All places of a convolution's channel have one bias.
                if image && at == 1 {
                    mean.mean().unwrap().abs()
                } else {
                    (&mean * &mean).sum().sqrt()
                }
            };
            let (before, after) = (shift(&plain[at]), shift(&mended[at]));
            assert!(after < 0.4 * before, "image {image}, {at}: {before} before, {after} after");
        }
    }
}
