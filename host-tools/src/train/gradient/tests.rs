//! The whole loss against differences of itself.

use super::*;
use crate::graph::{Activation, Frontend, Geometry, Layer, Likelihood, LikelihoodKind, Op, Shape};
use crate::train::{Architecture, Sigma, Stream, random_vae, stream};
use ndarray::{Array1, Array4};
use rand::RngExt;

fn model(likelihood: LikelihoodKind) -> Vae {
    let shape = Architecture {
        decoder_hidden: vec![6],
        activation: Activation::Silu,
        likelihood,
        ..Architecture::mirrored("test", &[7], 3)
    };
    let mut rng = stream(11, Stream::Init);
    let mut vae = random_vae(Frontend::identity(8, 8, 1), &shape, &mut rng).unwrap();
    // A convolution in front, a transposed one behind.
    let geometry = Geometry::convolution(Shape::new(8, 1, 1), 2, [3, 1], [2, 1], [(1, 1), (0, 0)]);
    let mut kernel = |out: usize, input: usize| {
        Array4::from_shape_simple_fn((out, 3, 1, input), || rng.random_range(-0.6..0.6))
    };
    let conv = Op::Convolution { weight: kernel(2, 1), bias: Array1::zeros(2), geometry };
    let back = Geometry::transposed(Shape::new(4, 1, 2), 1, [3, 1], [2, 1], [(1, 0), (0, 0)]);
    let tconv =
        Op::TransposedConvolution { weight: kernel(1, 2), bias: Array1::zeros(1), geometry: back };
    let layer = |name: &str, op, activation| Layer { name: name.into(), op, activation };
    vae.encoder.insert(0, layer("conv", conv, Activation::Tanh));
    vae.decoder[1].activation = Activation::Softplus;
    vae.decoder.push(layer("tconv", tconv, Activation::Identity));
    vae.validate().unwrap();
    vae
}

fn batch(vae: &Vae, weight: f32) -> Batch {
    let mut rng = stream(12, Stream::Init);
    let mut random = |rows: usize, columns: usize| {
        Array2::from_shape_simple_fn((rows, columns), || rng.random_range(0.0f32..1.0))
    };
    let latent = vae.latent_len();
    let teacher = Distillation { mu: random(5, latent), logvar: Some(random(5, latent)), weight };
    Batch {
        input: random(5, 8),
        target: random(5, 8),
        noise: random(5, latent),
        teacher: Some(teacher),
    }
}

#[test]
fn the_gradient_is_the_loss_s_slope() {
    for (likelihood, sigma) in [
        (LikelihoodKind::Bernoulli, Sigma::Optimal),
        (LikelihoodKind::Gaussian, Sigma::Optimal),
        (LikelihoodKind::Gaussian, Sigma::Fixed(0.5)),
    ] {
        let vae = model(likelihood);
        let batch = batch(&vae, 0.7);
        let config = LossConfig { beta: 0.8, sigma };
        let loss = |vae: &Vae| {
            let (_, loss) = gradients(vae, &batch, config, 1, &Float);
            loss.nll + 0.8 * loss.kl + loss.distillation
        };
        let (gradient, _) = gradients(&vae, &batch, config, 1, &Float);
        for index in 0..vae.layers().count() {
            let slope = |weight: bool, at: usize, analytic: f32| {
                let moved = |by: f32| {
                    let mut vae = vae.clone();
                    let layer = vae.layers_mut().nth(index).unwrap();
                    let (weights, bias) = layer.op.parameters_mut().unwrap();
                    if weight {
                        weights[at] += by;
                    } else {
                        bias[at] += by;
                    }
                    loss(&vae)
                };
                let step = 2e-2;
                let numeric = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                let near = (numeric - f64::from(analytic)).abs() < 5e-3 * numeric.abs().max(0.2);
                assert!(near, "layer {index} at {at}: {analytic}, differences say {numeric}");
            };
            let own = &gradient.layers[index];
            for at in (0..own.weight.len()).step_by(3) {
                slope(true, at, own.weight[at]);
            }
            slope(false, 0, own.bias[0]);
        }
    }
}

#[test]
fn shards_sum_to_the_whole() {
    let vae = model(LikelihoodKind::Bernoulli);
    let batch = batch(&vae, 0.5);
    let config = LossConfig { beta: 1.0, sigma: Sigma::Optimal };
    let (whole, loss) = gradients(&vae, &batch, config, 1, &Float);
    let (parts, sum) = gradients(&vae, &batch, config, 3, &Float);
    assert!((loss.nll - sum.nll).abs() < 1e-5 && (loss.kl - sum.kl).abs() < 1e-6);
    assert!((loss.distillation - sum.distillation).abs() < 1e-6);
    for (a, b) in whole.layers.iter().zip(&parts.layers) {
        assert!(a.weight.iter().zip(&b.weight).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(a.bias.iter().zip(&b.bias).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn losses_are_the_graph_s_scores() {
    let mut vae = model(LikelihoodKind::Gaussian);
    vae.likelihood = Likelihood::Gaussian { precision: None };
    let mut batch = batch(&vae, 0.0);
    batch.target = batch.input.clone();
    let config = LossConfig { beta: 1.0, sigma: Sigma::Fixed(1.0) };
    let (_, loss) = gradients(&vae, &batch, config, 2, &Float);
    let trace = vae.trace(batch.input.view(), Some(batch.noise.view()));
    let output = trace.decoder.last().unwrap();
    let scores = vae.scores_of(batch.input.view(), &trace.mu, trace.logvar.as_ref(), output);
    let mean = |of: fn(&crate::graph::Scores) -> f64| scores.iter().map(of).sum::<f64>() / 5.0;
    assert!((loss.nll - mean(|s| s.nll)).abs() < 1e-5);
    assert!((loss.kl - mean(|s| s.kl_divergence)).abs() < 1e-5);
}
