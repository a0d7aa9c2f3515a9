//! Random networks to start from.

use super::{Architecture, TrainError};
use crate::graph::{
    Activation, Frontend, Geometry, Layer, Likelihood, LikelihoodKind, Op, Provenance, Shape, TOOL,
    Vae,
};
use ndarray::{Array1, Array2, Array4};
use rand::{Rng, RngExt};

/// A network of the given shape.
///
/// Fully connected layers start as PyTorch's `Linear` does: weights and biases
/// uniform in ±1/sqrt(inputs). Convolutions start uniform with the variance
/// that keeps a signal's size, 2/inputs before a ReLU and its kin (He et al.
/// 2015), 1/inputs otherwise, and biases 0.
///
/// Layer names are PyTorch's for `Sequential(Conv, activation, …, Flatten,
/// Linear, activation, …)` and back.
///
/// # Errors
/// [`TrainError`] where a convolution does not fit its input, or an image the features.
pub fn random_vae(
    frontend: Frontend,
    shape: &Architecture,
    rng: &mut impl Rng,
) -> Result<Vae, TrainError> {
    let convolutions = shape.convolve(&frontend)?;
    let mut len = frontend.feature_len();
    let mut encoder = Vec::new();
    let mut names = Names::new("encoder");
    for geometry in &convolutions.encoder {
        encoder.push(convolution(names.next(), *geometry, shape.activation, rng));
        len = geometry.output.len();
    }
    if !convolutions.encoder.is_empty() {
        names.reshape();
    }
    for &width in &shape.hidden {
        encoder.push(linear(names.next(), len, width, shape.activation, rng));
        len = width;
    }
    let mu = linear("mu".into(), len, shape.latent, Activation::Identity, rng);
    let logvar = linear("logvar".into(), len, shape.latent, Activation::Identity, rng);

    let mut decoder = Vec::new();
    names = Names::new("decoder");
    len = shape.latent;
    for &width in &shape.decoder_hidden {
        decoder.push(linear(names.next(), len, width, shape.activation, rng));
        len = width;
    }
    match convolutions.decoder.first() {
        None => {
            let features = frontend.feature_len();
            decoder.push(linear(names.next(), len, features, Activation::Identity, rng));
        }
        Some(first) if first.input == Shape::new(1, 1, len) => names.reshape(),
        Some(first) => {
            decoder.push(linear(names.next(), len, first.input.len(), shape.activation, rng));
            names.reshape();
        }
    }
    for (at, geometry) in convolutions.decoder.iter().enumerate() {
        let last = at + 1 == convolutions.decoder.len();
        let activation = if last { Activation::Identity } else { shape.activation };
        decoder.push(transposed(names.next(), *geometry, activation, rng));
    }
    Ok(Vae {
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
        pruned_blocks: false,
    })
}

/// `like` from other random weights: those [`random_vae`] would draw for the same shape.
pub(super) fn redrawn(like: &Vae, rng: &mut impl Rng) -> Vae {
    let mut vae = like.clone();
    for layer in vae.layers_mut() {
        let (name, activation) = (layer.name.clone(), layer.activation);
        *layer = match &layer.op {
            Op::FullyConnected { weight, .. } => {
                linear(name, weight.ncols(), weight.nrows(), activation, rng)
            }
            Op::Convolution { geometry, .. } => convolution(name, *geometry, activation, rng),
            Op::TransposedConvolution { geometry, .. } => {
                transposed(name, *geometry, activation, rng)
            }
            // Not of a shape that is drawn.
            Op::DepthwiseConvolution { .. } | Op::MaxPool(_) | Op::AveragePool(_) => continue,
        };
    }
    vae
}

/// Numbers layers as a `Sequential` would.
struct Names {
    part: &'static str,
    position: usize,
}

impl Names {
    fn new(part: &'static str) -> Self {
        Self { part, position: 0 }
    }

    /// A layer, with its activation behind it.
    fn next(&mut self) -> String {
        let name = format!("{}.{}", self.part, self.position);
        self.position += 2;
        name
    }

    /// `Flatten` or `Unflatten` takes a place of its own.
    fn reshape(&mut self) {
        self.position += 1;
    }
}

fn linear(
    name: String,
    input: usize,
    out: usize,
    activation: Activation,
    rng: &mut impl Rng,
) -> Layer {
    let bound = 1.0 / (input as f32).sqrt();
    let mut draw = || rng.random_range(-bound..=bound);
    let weight = Array2::from_shape_simple_fn((out, input), &mut draw);
    let bias = Array1::from_shape_simple_fn(out, &mut draw);
    Layer::fully_connected(name, weight, bias, activation)
}

fn convolution(
    name: String,
    geometry: Geometry,
    activation: Activation,
    rng: &mut impl Rng,
) -> Layer {
    let inputs = (geometry.taps() * geometry.input.channels) as f32;
    let (weight, bias) = kernels(&geometry, inputs, activation, rng);
    Layer { name, op: Op::Convolution { weight, bias, geometry }, activation }
}

fn transposed(
    name: String,
    geometry: Geometry,
    activation: Activation,
    rng: &mut impl Rng,
) -> Layer {
    // An output sees one tap in every stride.
    let strides = (geometry.stride[0] * geometry.stride[1]) as f32;
    let inputs = (geometry.taps() * geometry.input.channels) as f32 / strides;
    let (weight, bias) = kernels(&geometry, inputs.max(1.0), activation, rng);
    Layer { name, op: Op::TransposedConvolution { weight, bias, geometry }, activation }
}

fn kernels(
    geometry: &Geometry,
    inputs: f32,
    activation: Activation,
    rng: &mut impl Rng,
) -> (Array4<f32>, Array1<f32>) {
    let gain = match activation {
        Activation::Relu
        | Activation::Relu6
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Gelu
        | Activation::Silu => 2.0,
        _ => 1.0,
    };
    // A uniform distribution in ±b has the variance b²/3.
    let bound = (3.0 * gain / inputs).sqrt();
    let [length, width] = geometry.kernel;
    let (outputs, channels) = (geometry.output.channels, geometry.input.channels);
    let weight = Array4::from_shape_simple_fn((outputs, length, width, channels), || {
        rng.random_range(-bound..=bound)
    });
    (weight, Array1::zeros(outputs))
}
