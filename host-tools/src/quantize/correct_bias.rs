//! Bias correction: what rounding shifts on average, biases take back.
//!
//! The rounding errors of a row's weights do not cancel on inputs whose mean is not 0 (rectified ones
//! never are). Layer by layer, the mean of the integer sums is compared with the float
//! model's on calibration windows, and the difference is subtracted from the bias (Nagel et al. 2019).

use ndarray::{Array2, ArrayView2};

use super::mirror::Mirror;
use super::observe::Ranges;
use super::weight_scales::WeightScales;
use super::{QuantizeError, QuantizeOptions, lower};
use crate::graph::Vae;

/// Windows compared, at most.
const WINDOWS: usize = 500;

/// `vae` with biases so that the integers' means are the float model's.
///
/// # Errors
/// As [`lower`].
pub fn correct_biases(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
    features: ArrayView2<'_, f32>,
) -> Result<Vae, QuantizeError> {
    let rows: Vec<usize> =
        (0..features.nrows()).step_by(features.nrows().div_ceil(WINDOWS).max(1)).collect();
    let features = features.select(ndarray::Axis(0), &rows);
    let options = QuantizeOptions {
        weight_scales: WeightScales::search(vae, &options.weight_bits),
        ..options.clone()
    };
    let layers = vae.layers().count();
    let expected: Vec<Vec<f64>> = float_sums(vae, &features);
    let mut corrected = vae.clone();
    for (index, expected) in expected.iter().enumerate().take(layers) {
        let quantized = lower(&corrected, ranges, &options)?;
        let mirror = Mirror::new(&corrected, &quantized).ok_or(QuantizeError::NoMirror)?;
        let found = integer_sums(vae, &mirror, &features, index);
        let Some(layer) = corrected.layers_mut().nth(index) else { continue };
        let Some((_, bias)) = layer.op.parameters_mut() else { continue };
        for ((bias, found), expected) in bias.iter_mut().zip(found).zip(expected) {
            *bias -= (found - expected) as f32;
        }
    }
    Ok(corrected)
}

/// Mean of each output channel before its activation.
fn means(linear: &Array2<f32>, channels: usize) -> Vec<f64> {
    let mut sums = vec![0f64; channels.max(1)];
    for row in linear.rows() {
        for (at, x) in row.iter().enumerate() {
            sums[at % channels.max(1)] += f64::from(*x);
        }
    }
    let count = linear.len() as f64 / channels.max(1) as f64;
    sums.iter().map(|sum| sum / count.max(1.0)).collect()
}

/// [`means`] of every layer of the float model, decoded from `mu`.
fn float_sums(vae: &Vae, features: &Array2<f32>) -> Vec<Vec<f64>> {
    let trace = vae.trace(features.view(), None);
    let hidden = trace.encoder.last().unwrap_or(features);
    let inputs = std::iter::once(features)
        .chain(&trace.encoder)
        .take(vae.encoder.len())
        .chain(std::iter::once(hidden))
        .chain(vae.logvar.iter().map(|_| hidden))
        .chain(std::iter::once(&trace.latent))
        .chain(&trace.decoder);
    let means = |(layer, x): (&crate::graph::Layer, &Array2<f32>)| {
        means(&layer.linear(x.view()), layer.op.output().channels)
    };
    vae.layers().zip(inputs).map(means).collect()
}

/// [`means`] of layer `index` of the integers.
fn integer_sums(vae: &Vae, mirror: &Mirror, features: &Array2<f32>, index: usize) -> Vec<f64> {
    let channels: Vec<usize> = vae.layers().map(|layer| layer.op.output().channels).collect();
    let encoder = vae.encoder.len();
    let heads = 1 + usize::from(vae.logvar.is_some());
    let mut x = mirror.features(features.clone());
    for (at, layer) in mirror.layers.iter().enumerate() {
        let head = (encoder..encoder + heads).contains(&at);
        // Of the heads, only `mu` leads on.
        if at == encoder + 1 && heads == 2 && index != at {
            continue;
        }
        let reads_hidden = head && at > encoder;
        let input = if reads_hidden { hidden(mirror, features, encoder) } else { x.clone() };
        let output = layer.run(input.view());
        if at == index {
            return means(&output.linear, channels.get(at).copied().unwrap_or(1));
        }
        x = if at == encoder { mirror.latent(output.real) } else { output.real };
    }
    Vec::new()
}

/// What the heads read.
fn hidden(mirror: &Mirror, features: &Array2<f32>, encoder: usize) -> Array2<f32> {
    let mut x = mirror.features(features.clone());
    for layer in mirror.layers.iter().take(encoder) {
        x = layer.run(x.view()).real;
    }
    x
}
