//! Random convolutional VAEs, seeded: every operator, every awkward geometry.

use crate::random_model::{self, Recipe};
use ndarray::{Array, Array1, Array2, Dimension, ShapeBuilder};
use picovae::graph::{Activation, Geometry, Layer, Op, Shape, Vae};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Operators a network may be asked to hold.
pub const OPERATORS: [&str; 5] =
    ["convolution", "transposed_convolution", "depthwise_convolution", "max_pool", "average_pool"];

/// A random network for windows of `recipe`, read as an image of `width` columns
/// (1: as a signal). Both parts hold `operators`, indices into [`OPERATORS`], and
/// the decoder ends in a transposed convolution (`recipe.hidden` empty) or a
/// fully connected layer.
///
/// # Panics
/// Where no geometry fits the recipe: this is for tests.
pub fn vae(recipe: &Recipe, width: usize, operators: [usize; 2], seed: u64) -> Vae {
    (0..200)
        .find_map(|attempt| draw(recipe, width, operators, seed, seed + 1000 * attempt))
        .expect("some geometry fits")
}

fn draw(recipe: &Recipe, width: usize, operators: [usize; 2], name: u64, seed: u64) -> Option<Vae> {
    let mut rng = random_model::rng(seed);
    let mut vae = random_model::vae(&Recipe { hidden: Vec::new(), ..recipe.clone() }, name);
    let length = recipe.window_len / width;
    let features = Shape::new(length, width, recipe.channels);
    let mut shape = features;
    let layer = |name: String, op, activation| Layer { name, op, activation };
    for (at, &kind) in operators.iter().enumerate() {
        let op = operator(kind, shape, &mut rng);
        shape = op.output();
        if shape.is_empty() {
            return None;
        }
        vae.encoder.push(layer(format!("encoder.{at}"), op, recipe.activation));
    }
    vae.mu = linear("mu", shape.len(), recipe.latent, Activation::Identity, &mut rng);
    vae.logvar = recipe.variational.then(|| {
        let mut head = linear("logvar", shape.len(), recipe.latent, Activation::Identity, &mut rng);
        if let Some((weight, _)) = head.op.parameters_mut() {
            weight.iter_mut().for_each(|w| *w *= 0.2);
        }
        head
    });
    let start = Shape::new(rng.random_range(2..5), width.min(3), rng.random_range(1..4));
    vae.decoder = vec![linear("start", recipe.latent, start.len(), recipe.activation, &mut rng)];
    shape = start;
    for (at, &kind) in operators.iter().enumerate() {
        let op = operator(kind, shape, &mut rng);
        shape = op.output();
        if shape.is_empty() {
            return None;
        }
        vae.decoder.push(layer(format!("decoder.{at}"), op, recipe.activation));
    }
    let identity = Activation::Identity;
    if recipe.hidden.is_empty() {
        // From a small shape to exactly the features.
        let stride = rng.random_range(1..4);
        let small = |len: usize| if len == 1 { 1 } else { usize::div_ceil(len, stride) };
        let mut before = Shape::new(small(length), small(width), rng.random_range(1..4));
        before.length += rng.random_range(0..2);
        vae.decoder.push(linear("widen", shape.len(), before.len(), recipe.activation, &mut rng));
        let mut kernel = |len: usize| if len == 1 { 1 } else { rng.random_range(1..6) };
        let kernel = [kernel(length), kernel(width)];
        let stride = [stride, if width == 1 { 1 } else { stride }];
        let padding = kernel.map(|taps: usize| rng.random_range(0..taps));
        let geometry = Geometry { input: before, output: features, kernel, stride, padding };
        vae.decoder.push(layer("last".into(), transposed(geometry, &mut rng), identity));
    } else {
        vae.decoder.push(linear("last", shape.len(), features.len(), identity, &mut rng));
    }
    vae.validate().is_ok().then_some(vae)
}

/// A random operator on `input`; its output may be empty.
fn operator(kind: usize, input: Shape, rng: &mut ChaCha8Rng) -> Op {
    let flat = input.width == 1;
    let kernel = [input.length, input.width].map(|len| rng.random_range(1..=len.min(5)));
    let stride = [rng.random_range(1..4), if flat { 1 } else { rng.random_range(1..4) }];
    let padding = kernel.map(|taps| (rng.random_range(0..taps), rng.random_range(0..taps)));
    let channels = if kind < 2 { rng.random_range(1..8) } else { input.channels };
    if kind == 1 {
        let cut = padding.map(|(before, after)| (before, after as isize));
        return transposed(Geometry::transposed(input, channels, kernel, stride, cut), rng);
    }
    let geometry = Geometry::convolution(input, channels, kernel, stride, padding);
    let [length, width] = kernel;
    match kind {
        0 => {
            let inputs = geometry.taps() * input.channels;
            let weight = normal((channels, length, width, input.channels), inputs, rng);
            Op::Convolution { weight, bias: bias(channels, rng), geometry }
        }
        2 => {
            let weight = normal((channels, length, width), geometry.taps(), rng);
            Op::DepthwiseConvolution { weight, bias: bias(channels, rng), geometry }
        }
        3 => Op::MaxPool(geometry),
        _ => Op::AveragePool(geometry),
    }
}

fn transposed(geometry: Geometry, rng: &mut ChaCha8Rng) -> Op {
    let (input, output) = (geometry.input.channels, geometry.output.channels);
    let [length, width] = geometry.kernel;
    let weight = normal((output, length, width, input), geometry.taps() * input, rng);
    Op::TransposedConvolution { weight, bias: bias(output, rng), geometry }
}

fn linear(
    name: &str,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    rng: &mut ChaCha8Rng,
) -> Layer {
    let weight: Array2<f32> = normal((outputs, inputs), inputs, rng);
    Layer::fully_connected(name, weight, bias(outputs, rng), activation)
}

/// Weights of a usual size for so many inputs.
fn normal<D: Dimension, S: ShapeBuilder<Dim = D>>(
    shape: S,
    inputs: usize,
    rng: &mut ChaCha8Rng,
) -> Array<f32, D> {
    let spread = (2.0 / inputs.max(1) as f32).sqrt();
    Array::from_shape_simple_fn(shape, || random_model::normal(rng) * spread)
}

fn bias(outputs: usize, rng: &mut ChaCha8Rng) -> Array1<f32> {
    Array1::from_shape_simple_fn(outputs, || random_model::normal(rng) * 0.1)
}
