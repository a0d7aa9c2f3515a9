//! The mirror against the core, activation by activation.

use ndarray::{Array1, Array2, Array4};
use picovae_core::trace::Trace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::emit::{Calibrated, write};
use crate::graph::{Activation, Frontend, Geometry, Layer, LikelihoodKind, Op, Shape, Vae};
use crate::simulate::{Simulator, SimulatorArena};
use crate::train::{Architecture, random_vae};

/// Every activation of one window as the core computed it.
#[derive(Default)]
struct Integers {
    features: Vec<i32>,
    latent: Vec<i32>,
    layers: Vec<Vec<i32>>,
}

impl Trace for Integers {
    fn features(&mut self, features: &[i8]) {
        self.features = features.iter().map(|q| i32::from(*q)).collect();
    }
    fn layer(&mut self, _: usize, activations: &[i8]) {
        self.layers.push(activations.iter().map(|q| i32::from(*q)).collect());
    }
    fn head(&mut self, _: usize, values: &[i16]) {
        self.layers.push(values.iter().map(|q| i32::from(*q)).collect());
    }
    fn latent(&mut self, z: &[i8]) {
        self.latent = z.iter().map(|q| i32::from(*q)).collect();
    }
}

fn model(activation: Activation, likelihood: LikelihoodKind, hidden: usize, seed: u64) -> Vae {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape =
        Architecture { activation, likelihood, ..Architecture::mirrored("mirror", &[hidden], 4) };
    // An untrained logvar must stay small, or its exponential leaves every grid.
    let scale = if likelihood == LikelihoodKind::Bernoulli { 1.0 } else { 50.0 };
    let frontend = Frontend { scale: vec![scale], ..Frontend::identity(24, 24, 1) };
    let mut vae = random_vae(frontend, &shape, &mut rng).unwrap();
    let geometry = Geometry::convolution(Shape::new(24, 1, 1), 2, [3, 1], [2, 1], [(1, 1), (0, 0)]);
    let back = Geometry::transposed(Shape::new(12, 1, 2), 1, [4, 1], [2, 1], [(1, 1), (0, 0)]);
    let pool = Geometry::convolution(geometry.output, 2, [2, 1], [1, 1], [(1, 0), (0, 0)]);
    let mut kernel = |out: usize, taps: usize, input: usize| {
        Array4::from_shape_simple_fn((out, taps, 1, input), || rng.random_range(-0.8..0.8))
    };
    let conv = Op::Convolution { weight: kernel(2, 3, 1), bias: Array1::zeros(2), geometry };
    let tconv = Op::TransposedConvolution {
        weight: kernel(1, 4, 2),
        bias: Array1::zeros(1),
        geometry: back,
    };
    let layer = |name: &str, op, activation| Layer { name: name.into(), op, activation };
    vae.encoder.insert(0, layer("conv", conv, activation));
    vae.encoder.insert(1, layer("pool", Op::MaxPool(pool), Activation::Identity));
    vae.decoder[1].activation = activation;
    vae.decoder.push(layer("tconv", tconv, Activation::Identity));
    vae.validate().unwrap();
    vae
}

fn compare(vae: &Vae, options: &QuantizeOptions, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bernoulli = matches!(vae.likelihood, crate::graph::Likelihood::Bernoulli);
    let mut windows = Array2::from_shape_simple_fn((12, 24), || rng.random_range(-90.0f32..90.0));
    if bernoulli {
        windows.mapv_inplace(|x| (x.abs() / 100.0).round());
    }
    let features = &windows / vae.frontend.scale[0];
    let ranges = observe(vae, features.view(), options).unwrap();
    let quantized = lower(vae, &ranges, options).unwrap();
    mirror_is_the_core(vae, &quantized, &windows);
}

/// Every activation of every window (raw samples) by the mirror and by the core.
pub(crate) fn mirror_is_the_core(vae: &Vae, quantized: &QuantizedVae, windows: &Array2<f32>) {
    let mirror = Mirror::new(vae, quantized).unwrap();
    let blob = write(quantized, "portable", Calibrated::default()).unwrap();
    let model = blob.model().unwrap();
    let mut arena = SimulatorArena::new(&model);
    let mut simulator = Simulator::new(&model, &mut arena).unwrap();
    for window in windows.rows() {
        let mut core = Integers::default();
        simulator.score(window.to_slice().unwrap(), &mut core).unwrap();
        let grid = quantized.frontend.grid;
        let real = |q: &[i32], grid: Grid| {
            let values = q.iter().map(|q| grid.dequantize(*q as i8) as f32).collect();
            Array2::from_shape_vec((1, q.len()), values).unwrap()
        };
        let mut x = real(&core.features, grid);
        let mut at = 0;
        let encoder = vae.encoder.len();
        for (index, layer) in mirror.layers.iter().enumerate() {
            let heads = if vae.logvar.is_some() { 2 } else { 1 };
            if index == encoder + heads {
                let mu = mirror.layers[encoder].run(x.view()).real;
                let z = mirror.latent(mu);
                x = real(&core.latent, quantized.latent.grid);
                assert_eq!(z, x, "latent");
            }
            let output = layer.run(x.view());
            let integers = output.integers.into_raw_vec_and_offset().0;
            if (encoder..encoder + heads).contains(&index) {
                let from = (index - encoder) * vae.latent_len();
                assert_eq!(
                    integers,
                    core.layers[at][from..from + vae.latent_len()],
                    "head {index}"
                );
                at += usize::from(index + 1 == encoder + heads);
                continue;
            }
            assert_eq!(integers, core.layers[at], "layer {index}");
            at += 1;
            x = output.real;
        }
    }
}

#[test]
fn every_integer_is_the_core_s() {
    let mut seed = 0;
    for activation in [Activation::Relu, Activation::Silu, Activation::Identity, Activation::Relu6]
    {
        for likelihood in [LikelihoodKind::Bernoulli, LikelihoodKind::Gaussian] {
            for bits in [8, 4] {
                for rounding in
                    [picovae_core::fixed::Rounding::Double, picovae_core::fixed::Rounding::Single]
                {
                    seed += 1;
                    let vae = model(activation, likelihood, 10, seed);
                    let options = QuantizeOptions {
                        weight_bits: WeightBits::uniform(bits),
                        rounding,
                        ..QuantizeOptions::default()
                    };
                    compare(&vae, &options, seed);
                }
            }
        }
    }
}

#[test]
fn sums_beyond_f32_are_exact() {
    // 900 inputs of the hidden layer: 900 * 255 * 127 is beyond 2^24.
    let mut vae = model(Activation::Relu, LikelihoodKind::Gaussian, 900, 77);
    for layer in vae.layers_mut() {
        if let Some((weight, _)) = layer.op.parameters_mut() {
            weight.iter_mut().for_each(|w| *w = w.signum() * 0.02);
        }
    }
    compare(&vae, &QuantizeOptions::default(), 78);
}
