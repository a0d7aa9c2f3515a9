//! The float forward pass: encode, decode, and a trace of every layer.
//!
//! Batches are row-major `[window][feature]`. Shapes must chain; call
//! [`Vae::validate`] once on anything that comes from outside.

use super::{Layer, Vae};
use ndarray::{Array2, ArrayView2};

/// Output of every layer for a batch, after its activation; what calibration
/// observes.
#[derive(Debug, Clone)]
pub struct Trace {
    /// One `[window][out]` for each encoder layer.
    pub encoder: Vec<Array2<f32>>,
    /// `[window][latent]`.
    pub mu: Array2<f32>,
    /// `[window][latent]`, ln σ²; `None` in a plain autoencoder.
    pub logvar: Option<Array2<f32>>,
    /// What the decoder was fed: `mu`, or a sample where noise was given.
    pub latent: Array2<f32>,
    /// One `[window][out]` for each decoder layer; the last one holds logits
    /// or means.
    pub decoder: Vec<Array2<f32>>,
}

impl Layer {
    /// Runs the operator without its activation: `x[window][in]` to `[window][out]`.
    pub fn linear(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        self.op.forward(x)
    }

    /// Runs the layer on a batch: `x[window][in]` to `[window][out]`.
    pub fn forward(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut y = self.linear(x);
        if !self.activation.is_identity() {
            y.mapv_inplace(|v| self.activation.apply(v));
        }
        y
    }
}

impl Vae {
    /// Features `x[window][input_len]` to `mu` and, unless this is a plain
    /// autoencoder, `logvar`, each `[window][latent]`.
    pub fn encode(&self, x: ArrayView2<'_, f32>) -> (Array2<f32>, Option<Array2<f32>>) {
        let hidden = run(&self.encoder, x);
        let h = hidden.as_ref().map_or(x, |h| h.view());
        let mu = self.mu.forward(h);
        let logvar = self.logvar.as_ref().map(|head| head.forward(h));
        (mu, logvar)
    }

    /// Latents `z[window][latent]` to `[window][input_len]`: logits under a
    /// Bernoulli likelihood, means under a Gaussian one.
    pub fn decode(&self, z: ArrayView2<'_, f32>) -> Array2<f32> {
        run(&self.decoder, z).unwrap_or_else(|| z.to_owned())
    }

    /// Like [`Self::encode`] and [`Self::decode`] in one go, keeping every
    /// layer's output.
    ///
    /// With `noise[window][latent]` the decoder is fed
    /// `mu + exp(logvar / 2) * noise`, as in training and in scoring by
    /// reconstruction probability; without it, `mu`.
    pub fn trace(&self, x: ArrayView2<'_, f32>, noise: Option<ArrayView2<'_, f32>>) -> Trace {
        let encoder = run_all(&self.encoder, x);
        let h = encoder.last().map_or(x, |h| h.view());
        let mu = self.mu.forward(h);
        let logvar = self.logvar.as_ref().map(|head| head.forward(h));
        let latent = sample(&mu, logvar.as_ref(), noise);
        let decoder = run_all(&self.decoder, latent.view());
        Trace { encoder, mu, logvar, latent, decoder }
    }
}

/// `mu + exp(logvar / 2) * noise`, or `mu` where either is missing.
pub(crate) fn sample(
    mu: &Array2<f32>,
    logvar: Option<&Array2<f32>>,
    noise: Option<ArrayView2<'_, f32>>,
) -> Array2<f32> {
    let mut z = mu.clone();
    if let (Some(logvar), Some(noise)) = (logvar, noise) {
        ndarray::Zip::from(&mut z)
            .and(logvar)
            .and(noise)
            .for_each(|z, lv, n| *z += (0.5 * lv).exp() * n);
    }
    z
}

fn run(layers: &[Layer], x: ArrayView2<'_, f32>) -> Option<Array2<f32>> {
    let (first, rest) = layers.split_first()?;
    let mut y = first.forward(x);
    for layer in rest {
        y = layer.forward(y.view());
    }
    Some(y)
}

fn run_all(layers: &[Layer], x: ArrayView2<'_, f32>) -> Vec<Array2<f32>> {
    let mut outputs: Vec<Array2<f32>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let y = layer.forward(outputs.last().map_or(x, |y| y.view()));
        outputs.push(y);
    }
    outputs
}
