//! Random float VAEs and raw windows, seeded.

use ndarray::{Array1, Array2};
use picovae::graph::{Activation, Frontend, Layer, Likelihood, Provenance, ScoreKind, Vae};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What to make.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Frames a window.
    pub window_len: usize,
    /// Channels.
    pub channels: usize,
    /// Hidden widths of the encoder; the decoder mirrors them.
    pub hidden: Vec<usize>,
    /// Latent dimensions.
    pub latent: usize,
    /// Hidden activation.
    pub activation: Activation,
    /// Bernoulli or Gaussian.
    pub bernoulli: bool,
    /// Whether there is a logvar head.
    pub variational: bool,
    /// Subtract the window's mean.
    pub remove_mean: bool,
}

/// A generator for `seed`.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A random model of this shape; weights of a usual size.
pub fn vae(recipe: &Recipe, seed: u64) -> Vae {
    let mut rng = rng(seed);
    let input = recipe.window_len * recipe.channels;
    let mut widths = vec![input];
    widths.extend(&recipe.hidden);
    let last = *widths.last().unwrap();
    let mut layer = |name: String, inputs: usize, outputs: usize, activation| {
        let spread = (2.0 / inputs as f32).sqrt();
        let weight = Array2::from_shape_simple_fn((outputs, inputs), || normal(&mut rng) * spread);
        let bias = Array1::from_shape_simple_fn(outputs, || normal(&mut rng) * 0.1);
        Layer::fully_connected(name, weight, bias, activation)
    };
    let encoder = widths
        .windows(2)
        .enumerate()
        .map(|(i, w)| layer(format!("encoder.{}", 2 * i), w[0], w[1], recipe.activation))
        .collect();
    let mu = layer("fc_mu".into(), last, recipe.latent, Activation::Identity);
    let mut logvar = layer("fc_logvar".into(), last, recipe.latent, Activation::Identity);
    // A trained posterior is narrow: sigma between a third and three.
    let picovae::graph::Op::FullyConnected { weight, .. } = &mut logvar.op else {
        unreachable!("made fully connected above")
    };
    *weight *= 0.2;
    let mut back: Vec<usize> = vec![recipe.latent];
    back.extend(recipe.hidden.iter().rev());
    back.push(input);
    let count = back.len() - 1;
    let decoder = back
        .windows(2)
        .enumerate()
        .map(|(i, w)| {
            let activation = if i + 1 == count { Activation::Identity } else { recipe.activation };
            layer(format!("decoder.{}", 2 * i), w[0], w[1], activation)
        })
        .collect();
    let frontend = if recipe.bernoulli {
        Frontend {
            scale: vec![255.0; recipe.channels],
            ..Frontend::identity(recipe.window_len, recipe.window_len, recipe.channels)
        }
    } else {
        Frontend {
            remove_mean: recipe.remove_mean,
            offset: (0..recipe.channels)
                .map(|c| if recipe.remove_mean { 0.0 } else { 20.0 * c as f32 })
                .collect(),
            scale: (0..recipe.channels).map(|c| 300.0 + 50.0 * c as f32).collect(),
            ..Frontend::identity(recipe.window_len, recipe.window_len / 2 + 1, recipe.channels)
        }
    };
    let likelihood = if recipe.bernoulli {
        Likelihood::Bernoulli
    } else {
        let mut rng = self::rng(seed ^ 1);
        let precision = Array1::from_shape_simple_fn(input, || 0.2 + 5.0 * rng.random::<f32>());
        Likelihood::Gaussian { precision: Some(precision) }
    };
    Vae {
        name: format!("random-{seed}"),
        frontend,
        encoder,
        mu,
        logvar: recipe.variational.then_some(logvar),
        decoder,
        likelihood,
        score: ScoreKind::NegativeElbo,
        provenance: Provenance::default(),
        pruned_blocks: false,
    }
}

/// Raw windows `[count][window_len * channels]`, in the device's counts.
pub fn windows(recipe: &Recipe, count: usize, seed: u64) -> Vec<Vec<i16>> {
    let mut rng = rng(seed);
    let len = recipe.window_len * recipe.channels;
    let mut sample = |gain: f32| -> i16 {
        if recipe.bernoulli {
            let u = rng.random::<f32>();
            if u < 0.6 { 0 } else { (255.0 * rng.random::<f32>()) as i16 }
        } else {
            (normal(&mut rng) * 300.0 * gain) as i16
        }
    };
    // Every tenth window is wild, so that clamps and saturation are met too.
    (0..count)
        .map(|w| (0..len).map(|_| sample(if w % 10 == 9 { 8.0 } else { 1.0 })).collect())
        .collect()
}

/// A standard normal number (Box and Muller).
pub fn normal(rng: &mut impl Rng) -> f32 {
    let (u, v): (f32, f32) = (rng.random::<f32>().max(1e-7), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

/// Features of raw windows by the float front-end, `[count][input_len]`.
pub fn features(vae: &Vae, windows: &[Vec<i16>]) -> Array2<f32> {
    let mut out = Array2::zeros((windows.len(), vae.input_len()));
    for (mut row, window) in out.rows_mut().into_iter().zip(windows) {
        let real: Vec<f32> = window.iter().map(|&x| f32::from(x) * vae.frontend.lsb(0)).collect();
        vae.frontend.features(&real, row.as_slice_mut().unwrap());
    }
    out
}
