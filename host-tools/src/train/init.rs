//! Random networks to start from.

use super::Architecture;
use crate::graph::{
    Activation, Frontend, Layer, Likelihood, LikelihoodKind, Provenance, TOOL, Vae,
};
use ndarray::{Array1, Array2};
use rand::{Rng, RngExt};

/// A network of the given shape with PyTorch's default initialization of
/// `Linear`: weights and biases uniform in ±1/sqrt(inputs).
///
/// Layer names are PyTorch's for `Sequential(Linear, activation, Linear, …)`.
pub fn random_vae(frontend: Frontend, shape: &Architecture, rng: &mut impl Rng) -> Vae {
    let features = frontend.feature_len();
    let mut linear = |name: String, input: usize, out: usize, activation| {
        let bound = 1.0 / (input as f32).sqrt();
        let mut draw = || rng.random_range(-bound..=bound);
        let weight = Array2::from_shape_simple_fn((out, input), &mut draw);
        let bias = Array1::from_shape_simple_fn(out, &mut draw);
        Layer::fully_connected(name, weight, bias, activation)
    };
    // Every second index of a Sequential is an activation.
    let position = |i: usize| 2 * i;
    let mut len = features;
    let mut encoder = Vec::new();
    for (i, &width) in shape.hidden.iter().enumerate() {
        let name = format!("encoder.{}", position(i));
        encoder.push(linear(name, len, width, shape.activation));
        len = width;
    }
    let mu = linear("mu".into(), len, shape.latent, Activation::Identity);
    let logvar = linear("logvar".into(), len, shape.latent, Activation::Identity);
    let mut decoder = Vec::new();
    len = shape.latent;
    for (i, &width) in shape.decoder_hidden.iter().enumerate() {
        let name = format!("decoder.{}", position(i));
        decoder.push(linear(name, len, width, shape.activation));
        len = width;
    }
    let last = format!("decoder.{}", position(shape.decoder_hidden.len()));
    decoder.push(linear(last, len, features, Activation::Identity));
    Vae {
        name: shape.name.clone(),
        frontend,
        encoder,
        mu,
        logvar: Some(logvar),
        decoder,
        likelihood: match shape.likelihood {
            LikelihoodKind::Bernoulli => Likelihood::Bernoulli,
            LikelihoodKind::Gaussian => Likelihood::Gaussian { precision: None },
        },
        score: shape.score,
        provenance: Provenance { tool: TOOL.into(), ..Provenance::default() },
    }
}
