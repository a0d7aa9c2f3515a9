//! Bias correction, equalization and learnt rounding, on windows that they have not seen.

use indicatif::ProgressBar;
use ndarray::{Array1, Array2, Array3, Array4};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::equalize::scale;
use super::joints::Joint;
use super::mirror_tests::mirror_is_the_core;
use super::*;
use crate::graph::{Activation, Frontend, Geometry, Layer, LikelihoodKind, Op, Shape, Vae};
use crate::train::{Architecture, random_vae};

fn network(image: bool, seed: u64) -> Vae {
    let shape = Architecture {
        convolutions: if image { vec!["6x3s2".parse().unwrap()] } else { Vec::new() },
        image: image.then(|| "6x6".parse().unwrap()),
        likelihood: LikelihoodKind::Bernoulli,
        ..Architecture::mirrored("post", &[24, 18], 4)
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
    let trace = vae.trace(x.view(), None);
    let found = by_integers(vae, &lower(vae, &ranges, options).unwrap(), x);
    [[trace.mu, trace.decoder.last().unwrap().clone()], found]
}

/// `mu` and output by integers.
fn by_integers(vae: &Vae, quantized: &QuantizedVae, x: &Array2<f32>) -> [Array2<f32>; 2] {
    let mirror = Mirror::new(vae, quantized).unwrap();
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
    [mu, y]
}

/// Convolution, pools and a depthwise one; a decoder with a reshape and a transposed convolution.
fn every_operator(activation: Activation, seed: u64) -> Vae {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut random =
        |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-0.5..0.5)).collect() };
    let layer = |name: &str, op, activation| Layer { name: name.into(), op, activation };
    let pad = [(1, 1), (0, 0)];
    let conv = Geometry::convolution(Shape::new(36, 1, 1), 6, [3, 1], [1, 1], pad);
    let pool = Geometry::convolution(conv.output, 6, [2, 1], [2, 1], [(0, 0); 2]);
    let each = Geometry::convolution(pool.output, 6, [3, 1], [1, 1], pad);
    let mean = Geometry::convolution(each.output, 6, [2, 1], [2, 1], [(0, 0); 2]);
    let back = Geometry::transposed(Shape::new(9, 1, 4), 3, [4, 1], [2, 1], [(1, 1), (0, 0)]);
    let last = Geometry::transposed(back.output, 1, [4, 1], [2, 1], [(1, 1), (0, 0)]);
    let mut vae = network(false, seed);
    let kernel = |out: usize, taps: usize, input: usize, values: Vec<f32>| {
        Array4::from_shape_vec((out, taps, 1, input), values).unwrap()
    };
    let mut fc = |name: &str, out: usize, input: usize, activation| {
        let weight = Array2::from_shape_vec((out, input), random(out * input)).unwrap();
        Layer::fully_connected(name, weight, Array1::from_vec(random(out)), activation)
    };
    vae.mu = fc("mu", 4, mean.output.len(), Activation::Identity);
    vae.logvar = Some(fc("logvar", 4, mean.output.len(), Activation::Identity));
    let image = [fc("hidden", 18, 4, activation), fc("image", 36, 18, activation)];
    let weight = Array3::from_shape_vec((6, 3, 1), random(18)).unwrap();
    let depthwise = Op::DepthwiseConvolution { weight, bias: random(6).into(), geometry: each };
    let weight = kernel(6, 3, 1, random(18));
    vae.encoder = vec![
        layer(
            "conv",
            Op::Convolution { weight, bias: random(6).into(), geometry: conv },
            activation,
        ),
        layer("max", Op::MaxPool(pool), Activation::Identity),
        layer("each", depthwise, activation),
        layer("mean", Op::AveragePool(mean), Activation::Identity),
    ];
    let up = |weight, bias: Vec<f32>, geometry| Op::TransposedConvolution {
        weight,
        bias: bias.into(),
        geometry,
    };
    let first = up(kernel(3, 4, 4, random(48)), random(3), back);
    let second = up(kernel(1, 4, 3, random(12)), random(1), last);
    vae.decoder = image.into();
    vae.decoder.push(layer("up", first, activation));
    vae.decoder.push(layer("out", second, Activation::Identity));
    vae.validate().unwrap();
    vae
}

/// Gives channels very different sizes, as a folded normalization may, and keeps the function.
fn unbalanced(mut vae: Vae, seed: u64) -> Vae {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for writer in 0..vae.layers().count() {
        let joint = Joint::behind(&vae, writer).filter(|joint| joint.is_homogeneous(&vae));
        let Some(joint) = joint else { continue };
        let factors: Vec<f64> =
            (0..joint.groups).map(|_| 10f64.powf(rng.random_range(-1.3..0.3))).collect();
        scale(&mut vae, &joint, &factors);
    }
    vae
}

/// Root mean square of the difference, against that of `float`.
fn error(found: &Array2<f32>, float: &Array2<f32>) -> f64 {
    let square = |x: f32| f64::from(x * x);
    let off: f64 = found.iter().zip(float).map(|(a, b)| square(a - b)).sum();
    (off / float.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
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

#[test]
fn the_features_zero_point_is_no_error_to_correct() {
    // 16 bits of output, 8 of weights: what biases have to take back is small.
    let mut vae = network(false, 12);
    vae.likelihood = crate::graph::Likelihood::Gaussian { precision: None };
    let x = pixels(400, 13) - 0.2;
    let options = QuantizeOptions::default();
    let ranges = observe(&vae, x.view(), &options).unwrap();
    let corrected = correct_biases(&vae, &ranges, &options, x.view()).unwrap();
    for (before, after) in vae.layers().zip(corrected.layers()) {
        let biases = before.op.bias().unwrap().iter().zip(after.op.bias().unwrap());
        let moved = biases.fold(0f32, |max, (a, b)| max.max((a - b).abs()));
        assert!(moved < 0.02, "{}: {moved}", before.name);
    }
}

#[test]
fn equalization_leaves_the_function_as_it_is() {
    let leaky = Activation::LeakyRelu { alpha: 0.2 };
    let mut changed = 0;
    for seed in 0..20 {
        let activation = [Activation::Relu, leaky, Activation::Identity][seed as usize % 3];
        let vae = match seed % 4 {
            0 => network(false, seed),
            1 => network(true, seed),
            _ => every_operator(activation, seed),
        };
        let vae = unbalanced(vae, seed);
        let x = pixels(60, seed + 100);
        let options = QuantizeOptions {
            weight_bits: WeightBits::uniform(if seed % 2 == 0 { 4 } else { 8 }),
            ..QuantizeOptions::default()
        };
        let equal = equalize(&vae, x.view(), &options);
        equal.validate().unwrap();
        changed += usize::from(equal != vae);
        let fresh = pixels(50, seed + 200);
        let (before, after) = (vae.trace(fresh.view(), None), equal.trace(fresh.view(), None));
        let pairs = [
            (&before.mu, &after.mu),
            (before.logvar.as_ref().unwrap(), after.logvar.as_ref().unwrap()),
            (before.decoder.last().unwrap(), after.decoder.last().unwrap()),
        ];
        for (before, after) in pairs {
            let size = before.iter().fold(1f32, |max, x| max.max(x.abs()));
            let far = before.iter().zip(after).map(|(a, b)| (a - b).abs() / size);
            let most = far.fold(0f32, f32::max);
            assert!(most < 1e-5, "seed {seed}: {most}");
        }
    }
    assert!(changed >= 18, "{changed} of 20");
    // A factor does not pass through these.
    for activation in [Activation::Silu, Activation::Relu6] {
        let vae = unbalanced(every_operator(activation, 3), 3);
        let options = QuantizeOptions::default();
        assert_eq!(equalize(&vae, pixels(60, 4).view(), &options), vae);
    }
}

#[test]
fn uneven_channels_lose_less_when_equalized() {
    for bits in [8, 4] {
        let options = QuantizeOptions {
            weight_bits: WeightBits::uniform(bits),
            ..QuantizeOptions::default()
        };
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..6 {
            let vae = match seed % 2 {
                0 => network(false, seed),
                _ => every_operator(Activation::Relu, seed),
            };
            let vae = unbalanced(vae, seed);
            let x = pixels(300, seed + 50);
            let equal = equalize(&vae, x.view(), &options);
            for (vae, sum) in [(&vae, &mut before), (&equal, &mut after)] {
                let [float, found] = both(vae, &options, &x);
                *sum += float.iter().zip(&found).map(|(a, b)| error(b, a)).sum::<f64>();
            }
        }
        assert!(after < 0.9 * before, "{bits} bits: {before} before, {after} after");
    }
}

#[test]
fn learnt_rounding_is_nearer_than_the_nearest() {
    let config = AdaRound { steps: 300, ..AdaRound::default() };
    for (bits, most) in [(4, 0.85), (8, 1.0)] {
        for seed in 0..3 {
            let vae = match seed {
                0 => network(false, 31),
                1 => network(true, 32),
                _ => every_operator(Activation::Relu, 33),
            };
            let options = QuantizeOptions {
                weight_bits: WeightBits::uniform(bits),
                ..QuantizeOptions::default()
            };
            let x = pixels(400, 6);
            let ranges = observe(&vae, x.view(), &options).unwrap();
            let learn = || {
                let (bar, x) = (ProgressBar::hidden(), x.view());
                let (vae, options) = adaround(&vae, &ranges, &options, x, &config, &bar).unwrap();
                lower(&vae, &ranges, &options).unwrap()
            };
            let learnt = learn();
            assert_eq!(learnt, learn(), "equal seeds, equal integers");
            let nearest = lower(&vae, &ranges, &options).unwrap();
            for (a, b) in nearest.layers.iter().zip(&learnt.layers) {
                for (a, b) in a.matrices.iter().zip(&b.matrices) {
                    // One step up or down of the same grid, wherever it was.
                    let far = a.weights.iter().zip(&b.weights).any(|(a, b)| a.abs_diff(*b) > 1);
                    assert!(!far, "{bits} bits, network {seed}");
                }
            }
            let fresh = pixels(300, 8);
            let trace = vae.trace(fresh.view(), None);
            let float = [trace.mu, trace.decoder.last().unwrap().clone()];
            let errors = |quantized: &QuantizedVae| -> f64 {
                let found = by_integers(&vae, quantized, &fresh);
                found.iter().zip(&float).map(|(a, b)| error(a, b)).sum()
            };
            let (before, after) = (errors(&nearest), errors(&learnt));
            assert!(after < most * before, "{bits} bits, network {seed}: {before}, {after} learnt");
            if bits == 4 {
                let windows = pixels(5, 9) * 255.0;
                mirror_is_the_core(&vae, &learnt, &windows.mapv(f32::round));
            }
        }
    }
}
