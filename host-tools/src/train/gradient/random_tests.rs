//! The gradient against differences of the graph's own losses: random networks of every operator.

use super::*;
use crate::graph::Likelihood;
use crate::graph::{Activation, Frontend, Geometry, Layer, Op, Provenance, ScoreKind, Shape, Vae};
use crate::train::Sigma;
use ndarray::{Array, Dimension};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WINDOWS: usize = 5;
const LATENT: usize = 3;

/// A random operator that reads `input`; `which` chooses its kind.
fn operator(which: usize, input: Shape, rng: &mut ChaCha8Rng) -> Op {
    let flat = input.width == 1;
    let mut pick = |limit: usize| rng.random_range(1..=limit);
    let kernel = [pick(input.length.min(4)), if flat { 1 } else { pick(input.width.min(4)) }];
    let stride = [pick(3), if flat { 1 } else { pick(3) }];
    let mut edge = |axis: usize| (pick(kernel[axis]) - 1, pick(kernel[axis]) - 1);
    let padding = [edge(0), edge(1)];
    let channels = if which < 2 { pick(4) } else { input.channels };
    if which == 1 {
        let cut = padding.map(|(before, after)| (before, after as isize));
        let geometry = Geometry::transposed(input, channels, kernel, stride, cut);
        let weight = random((channels, kernel[0], kernel[1], input.channels), rng);
        return Op::TransposedConvolution { weight, bias: random(channels, rng), geometry };
    }
    let geometry = Geometry::convolution(input, channels, kernel, stride, padding);
    match which {
        0 => Op::Convolution {
            weight: random((channels, kernel[0], kernel[1], input.channels), rng),
            bias: random(channels, rng),
            geometry,
        },
        2 => Op::DepthwiseConvolution {
            weight: random((channels, kernel[0], kernel[1]), rng),
            bias: random(channels, rng),
            geometry,
        },
        3 => Op::MaxPool(geometry),
        _ => Op::AveragePool(geometry),
    }
}

fn random<D: Dimension, S: ndarray::ShapeBuilder<Dim = D>>(
    shape: S,
    rng: &mut ChaCha8Rng,
) -> Array<f32, D> {
    Array::from_shape_simple_fn(shape, || rng.random_range(-0.5..0.5))
}

fn fully_connected(
    inputs: usize,
    outputs: usize,
    activation: Activation,
    rng: &mut ChaCha8Rng,
) -> Layer {
    let weight = random((outputs, inputs), rng);
    Layer::fully_connected(format!("fc{inputs}"), weight, random(outputs, rng), activation)
}

/// A network with two operators in the encoder and two in the decoder, between
/// fully connected layers; `None` where the drawn geometries do not fit.
fn network(seed: u64, kinds: [usize; 4]) -> Option<Vae> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let width = if seed.is_multiple_of(2) { 1 } else { rng.random_range(3..6) };
    let input = Shape::new(rng.random_range(5..9), width, rng.random_range(1..4));
    let activation = Activation::Tanh;
    let layer = |name: &str, op: Op| Layer { name: name.into(), op, activation };
    let mut encoder = vec![layer("a", operator(kinds[0], input, &mut rng))];
    encoder.push(layer("b", operator(kinds[1], encoder[0].op.output(), &mut rng)));
    let hidden = encoder[1].output_len();
    let start = Shape::new(4, width.min(3), 2);
    let mut decoder = vec![fully_connected(LATENT, start.len(), activation, &mut rng)];
    decoder.push(layer("c", operator(kinds[2], start, &mut rng)));
    decoder.push(layer("d", operator(kinds[3], decoder[1].op.output(), &mut rng)));
    let last = decoder[2].output_len();
    decoder.push(fully_connected(last, input.len(), Activation::Identity, &mut rng));
    let vae = Vae {
        name: "random".into(),
        frontend: Frontend::identity(input.length * input.width, 1, input.channels),
        encoder,
        mu: fully_connected(hidden, LATENT, Activation::Identity, &mut rng),
        logvar: Some(fully_connected(hidden, LATENT, Activation::Identity, &mut rng)),
        decoder,
        likelihood: Likelihood::Bernoulli,
        score: ScoreKind::NegativeElbo,
        provenance: Provenance::default(),
        pruned_blocks: false,
    };
    (hidden > 0 && last > 0 && vae.validate().is_ok()).then_some(vae)
}

fn batch(vae: &Vae, rng: &mut impl Rng) -> Batch {
    let input =
        Array2::from_shape_simple_fn((WINDOWS, vae.input_len()), || rng.random_range(0.0..1.0));
    let noise = Array2::from_shape_simple_fn((WINDOWS, LATENT), || rng.random_range(-1.5..1.5));
    Batch { target: input.clone(), input, noise, teacher: None }
}

/// NLL and KL a window by the graph's own f32 layers and f64 formulas.
fn by_the_graph(vae: &Vae, batch: &Batch) -> (f64, f64) {
    let trace = vae.trace(batch.input.view(), Some(batch.noise.view()));
    let output = trace.decoder.last().unwrap();
    let scores = vae.scores_of(batch.target.view(), &trace.mu, trace.logvar.as_ref(), output);
    let mean =
        |of: fn(&crate::graph::Scores) -> f64| scores.iter().map(of).sum::<f64>() / WINDOWS as f64;
    (mean(|s| s.nll), mean(|s| s.kl_divergence))
}

const LOSS: LossConfig = LossConfig { beta: 0.7, sigma: Sigma::Optimal };

#[test]
fn random_networks_agree_with_the_graph() {
    let mut seen = [0; 5];
    for seed in 0..400u64 {
        let kinds = [0, 1, 2, 3].map(|at| (seed / 5u64.pow(at) % 5) as usize);
        let Some(vae) = network(seed, kinds) else { continue };
        kinds.iter().for_each(|kind| seen[*kind] += 1);
        let batch = batch(&vae, &mut ChaCha8Rng::seed_from_u64(seed + 1));
        let (nll, kl) = by_the_graph(&vae, &batch);
        let (analytic, loss) = gradients(&vae, &batch, LOSS, 2, &Float);
        assert!((loss.nll - nll).abs() < 1e-4, "{seed} {kinds:?}: nll {} {nll}", loss.nll);
        assert!((loss.kl - kl).abs() < 1e-4, "{seed} {kinds:?}: kl {} {kl}", loss.kl);
        if seen.iter().sum::<usize>() < 160 {
            finite_differences(&vae, &batch, &analytic, seed);
        }
    }
    assert!(seen.iter().all(|count| *count > 25), "{seen:?}");
}

/// The first, middle and last weight of every layer, and its first bias.
fn finite_differences(vae: &Vae, batch: &Batch, analytic: &Gradients, seed: u64) {
    const EPSILON: f32 = 4e-3;
    for (at, OpGradient { weight: weights, bias }) in analytic.layers.iter().enumerate() {
        if weights.is_empty() {
            continue;
        }
        for index in [Some(0), Some(weights.len() / 2), Some(weights.len() - 1), None] {
            let loss_at = |shift: f32| {
                let mut shifted = vae.clone();
                let layer = shifted.layers_mut().nth(at).unwrap();
                let (w, b) = layer.op.parameters_mut().unwrap();
                match index {
                    Some(index) => w[index] += shift,
                    None => b[0] += shift,
                }
                let (nll, kl) = by_the_graph(&shifted, batch);
                nll + f64::from(LOSS.beta) * kl
            };
            let slope = (loss_at(EPSILON) - loss_at(-EPSILON)) / f64::from(2.0 * EPSILON);
            let expected = f64::from(index.map_or(bias[0], |index| weights[index]));
            assert!(
                (slope - expected).abs() < 2e-3 + 0.01 * expected.abs(),
                "{seed}, layer {at} {}, {index:?}: {slope} {expected}",
                vae.layers().nth(at).unwrap().op.name(),
            );
        }
    }
}
