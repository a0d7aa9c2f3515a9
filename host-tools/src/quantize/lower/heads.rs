//! The wide layers: the latent's heads and the decoder's output.

use super::super::grid::{Grid, Multiplier};
use super::super::integers::{IntLatent, IntLayer, IntOutput};
use super::super::observe::{Observer, Ranges};
use super::super::{QuantizeError, QuantizeOptions};
use super::features::unit;
use super::rows::{factor_error, lower_rows};
use super::table_input_grid;
use crate::graph::{Activation, Layer, Likelihood, Op, Vae};

/// Fraction bits of the latent heads where the range allows.
const HEAD_FRAC_BITS: u8 = 12;
/// ln of a variance saturates at 16 in magnitude: a sigma of 3e-4 or 3,000.
const MIN_LOGVAR_FRAC_BITS: u8 = 11;
/// Fraction bits of Bernoulli logits.
const LOGIT_FRAC_BITS: i32 = 8;
/// A sampled latent reaches this far, whatever calibration saw.
const PRIOR_RANGE: f64 = 4.0;
/// The encoder's head: rows of `mu`, then rows of `logvar`, each with its own fraction bits.
pub(super) fn lower_head(
    vae: &Vae,
    ranges: &Ranges,
    input: Grid,
    options: &QuantizeOptions,
) -> Result<(IntLayer, IntLatent), QuantizeError> {
    let len = vae.latent_len();
    // A plain autoencoder's latent may be narrow: it has no prior to live by.
    let most = if vae.logvar.is_some() { HEAD_FRAC_BITS } else { 15 };
    let mu_frac_bits = frac_bits(&ranges.mu, 0, most);
    let logvar_frac_bits = frac_bits(&ranges.logvar, MIN_LOGVAR_FRAC_BITS, HEAD_FRAC_BITS);
    let mut scales = vec![2f64.powi(-i32::from(mu_frac_bits)); len];
    if vae.logvar.is_some() {
        scales.extend(vec![2f64.powi(-i32::from(logvar_frac_bits)); len]);
    }
    let scale = 2f64.powi(-i32::from(mu_frac_bits));
    let merged;
    let head = match &vae.logvar {
        Some(logvar) => {
            for head in [&vae.mu, logvar] {
                if !head.activation.is_identity() {
                    let layer = head.name.clone();
                    return Err(QuantizeError::HeadActivation {
                        layer,
                        activation: head.activation,
                    });
                }
            }
            merged = merge(&vae.mu, logvar);
            &merged
        }
        None if matches!(vae.mu.op, Op::FullyConnected { .. }) => &vae.mu,
        None => {
            let (weight, bias) = vae.mu.dense();
            merged = Layer::fully_connected(&vae.mu.name, weight, bias, vae.mu.activation);
            &merged
        }
    };
    let head = if head.activation.is_identity() {
        lower_rows(head, 0.0, input, &scales, IntOutput::Int16 { scale }, options)?
    } else {
        widened(head, &ranges.mu_linear, input, scale, 0.0, options)?
    };

    let (low, high) = ranges.latent.extremes();
    let grid = if vae.logvar.is_some() {
        // Symmetric, so that 0, where unused dimensions live, is exact and central.
        let reach = low.abs().max(high).max(PRIOR_RANGE);
        Grid { scale: reach / 127.0, zero_point: 0 }
    } else {
        // The latent's own grid is the finest that makes sense.
        let finest = 255.0 * 2f64.powi(-i32::from(mu_frac_bits));
        let spread = (finest - (high.max(0.0) - low.min(0.0))).max(0.0);
        Grid::covering(low, high.max(0.0) + spread)
    };
    let factor = 2f64.powi(-i32::from(mu_frac_bits)) / grid.scale;
    let multiplier = Multiplier::from_factor(factor)
        .filter(|m| m.shift <= 0)
        .ok_or_else(|| factor_error(&vae.mu.name, 0, factor))?;
    let has_logvar = vae.logvar.is_some();
    Ok((head, IntLatent { len, has_logvar, mu_frac_bits, logvar_frac_bits, grid, multiplier }))
}

/// Most fraction bits, at most `most`, at least `least`, that leave half as much range again as was seen.
fn frac_bits(observer: &Observer, least: u8, most: u8) -> u8 {
    let (low, high) = observer.extremes();
    let reach = low.abs().max(high.abs()) * 1.5;
    (least..=most)
        .rev()
        .find(|bits| reach * 2f64.powi(i32::from(*bits)) < 32_767.0)
        .unwrap_or(least)
}

/// One layer whose outputs are those of `mu`, then those of `logvar`.
fn merge(mu: &Layer, logvar: &Layer) -> Layer {
    let ((a, c), (b, d)) = (mu.dense(), logvar.dense());
    let weight = ndarray::concatenate(ndarray::Axis(0), &[a.view(), b.view()]);
    let bias = ndarray::concatenate(ndarray::Axis(0), &[c.view(), d.view()]);
    // `validate` has proven equal widths, so neither can fail; an empty head is refused later.
    Layer::fully_connected(
        format!("{}+{}", mu.name, logvar.name),
        weight.unwrap_or_default(),
        bias.unwrap_or_default(),
        Activation::Identity,
    )
}

/// The decoder's last layer: logits, or the mean on the features' grid.
pub(super) fn lower_output(
    vae: &Vae,
    layer: &Layer,
    linear: &Observer,
    input: Grid,
    features: Grid,
    options: &QuantizeOptions,
) -> Result<IntLayer, QuantizeError> {
    let (scale, shift) = match vae.likelihood {
        Likelihood::Bernoulli => (2f64.powi(-LOGIT_FRAC_BITS), 0.0),
        // The features' zero point becomes part of the bias.
        Likelihood::Gaussian { .. } => {
            (unit(features), features.scale * f64::from(features.zero_point))
        }
    };
    if layer.op.bias().is_none() || !layer.activation.is_identity() {
        return widened(layer, linear, input, scale, shift, options);
    }
    let scales = vec![scale; layer.op.output().channels];
    let output = IntOutput::Int16 { scale };
    lower_rows(layer, shift, input, &scales, output, options)
}

/// A head that is int8 before its activation (a pool's: on its input's grid); the table then holds
/// `activation(real) + shift` in units of `scale`.
fn widened(
    layer: &Layer,
    linear: &Observer,
    input: Grid,
    scale: f64,
    shift: f64,
    options: &QuantizeOptions,
) -> Result<IntLayer, QuantizeError> {
    let pool = layer.op.bias().is_none();
    // What calibration saw, all of it: nothing behind a head forgives a clip.
    let (low, high) = linear.extremes();
    let before = match layer.activation {
        _ if pool => input,
        Activation::Relu | Activation::Relu6 => Grid::covering(0.0, high),
        activation => table_input_grid(activation, low, high),
    };
    let table = widening(before, scale, shift, |real| layer.activation.apply(real as f32).into());
    let scales = vec![before.scale; layer.op.output().channels];
    let (zero_point, table) = (before.zero_point, Box::new(table));
    let output = IntOutput::Widened { scale, zero_point, min: -128, max: 127, table };
    lower_rows(layer, 0.0, input, &scales, output, options)
}

/// `(function(real value of q) + shift) / scale` for every `q`, saturated.
pub(crate) fn widening(
    grid: Grid,
    scale: f64,
    shift: f64,
    function: impl Fn(f64) -> f64,
) -> [i16; 256] {
    std::array::from_fn(|i| {
        let real = function(grid.dequantize((i as i32 - 128) as i8));
        // `as` saturates.
        ((real + shift) / scale).round() as i16
    })
}
