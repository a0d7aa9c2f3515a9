//! From a float graph and observed ranges to integers, layer by layer.

use picovae_core::fixed::Rounding;
use picovae_core::score::reconstruction_error::GRID_FRAC_BITS;

use super::grid::{Grid, Multiplier, wide_factor};
use super::integers::{IntFrontend, IntLatent, IntLayer, IntLikelihood, IntOutput, QuantizedVae};
use super::observe::{Observer, Ranges};
use super::{QuantizeError, QuantizeOptions, RangeMethod};
use crate::graph::{Activation, Frontend, Layer, Likelihood, Op, Vae};

/// Fraction bits of the latent heads where the range allows.
const HEAD_FRAC_BITS: u8 = 12;
/// ln of a variance saturates at 16 in magnitude: a sigma of 3e-4 or 3,000.
const MIN_LOGVAR_FRAC_BITS: u8 = 11;
/// Fraction bits of Bernoulli logits.
const LOGIT_FRAC_BITS: i32 = 8;
/// A sampled latent reaches this far, whatever calibration saw.
const PRIOR_RANGE: f64 = 4.0;
/// Sigmoid and tanh are flat to int8 beyond.
const SATURATION: f64 = 8.0;

/// Lowers a model.
///
/// # Errors
/// A [`QuantizeError`] that names the layer.
pub fn lower(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
) -> Result<QuantizedVae, QuantizeError> {
    vae.validate()?;
    for (what, value) in [
        ("window length", vae.frontend.window_len),
        ("hop", vae.frontend.hop),
        ("number of channels", vae.frontend.channels),
        ("latent", vae.latent_len()),
    ] {
        if value > usize::from(u16::MAX) {
            return Err(QuantizeError::TooLarge { what: what.into(), value });
        }
    }
    let features = feature_grid(vae, ranges, options)?;
    let frontend = lower_frontend(&vae.frontend, features)?;
    let mut layers = Vec::new();
    let mut grid = features;
    for ((layer, linear), after) in
        vae.encoder.iter().zip(&ranges.encoder_linear).zip(&ranges.encoder)
    {
        let lowered = lower_hidden(layer, grid, linear, after, options)?;
        grid = lowered.1;
        layers.push(lowered.0);
    }
    let (head, latent) = lower_head(vae, ranges, grid, options)?;
    layers.push(head);
    let encoder_len = layers.len();

    grid = latent.grid;
    let (last, hidden) = vae.decoder.split_last().ok_or(crate::graph::GraphError::NoDecoder)?;
    for ((layer, linear), after) in hidden.iter().zip(&ranges.decoder_linear).zip(&ranges.decoder) {
        let lowered = lower_hidden(layer, grid, linear, after, options)?;
        grid = lowered.1;
        layers.push(lowered.0);
    }
    layers.push(lower_output(vae, last, grid, features, options)?);

    let unit = features.scale / f64::from(1u32 << GRID_FRAC_BITS);
    let mean_square = unit * unit / vae.input_len() as f64 * 2f64.powi(32);
    Ok(QuantizedVae {
        name: vae.name.clone(),
        provenance: vae.provenance.clone(),
        rounding: options.rounding,
        frontend,
        layers,
        encoder_len,
        latent,
        likelihood: lower_likelihood(vae, unit)?,
        score: vae.score,
        mean_square: wide_factor(mean_square).ok_or(too_large(features))?,
    })
}

fn factor_error(layer: &str, channel: usize, factor: f64) -> QuantizeError {
    QuantizeError::Factor { layer: layer.to_string(), channel, factor }
}

fn too_large(features: Grid) -> QuantizeError {
    QuantizeError::FeatureRange { reach: 128.0 * features.scale }
}

/// Grid of the features: pixels for Bernoulli, else what calibration saw with headroom.
fn feature_grid(
    vae: &Vae,
    ranges: &Ranges,
    options: &QuantizeOptions,
) -> Result<Grid, QuantizeError> {
    let (min, max) = ranges.features.extremes();
    match vae.likelihood {
        Likelihood::Bernoulli => {
            // Half a u8 step of slack: a float recording of pixels is not exact.
            for value in [min, max] {
                if !(-0.002..=1.002).contains(&value) {
                    return Err(QuantizeError::NotUnit { value: value as f32 });
                }
            }
            Ok(Grid { scale: 1.0 / 255.0, zero_point: -128 })
        }
        Likelihood::Gaussian { .. } => {
            let headroom = f64::from(options.input_headroom);
            Ok(Grid::covering(min * headroom, max * headroom))
        }
    }
}

fn lower_frontend(frontend: &Frontend, grid: Grid) -> Result<IntFrontend, QuantizeError> {
    let window = frontend.window_len as f64;
    let gain = if frontend.remove_mean { window } else { 1.0 };
    let (mut offset, mut multiplier) = (Vec::new(), Vec::new());
    for (channel, (&o, &s)) in frontend.offset.iter().zip(&frontend.scale).enumerate() {
        let lsb = f64::from(frontend.lsb(channel));
        let error = || QuantizeError::Frontend { channel };
        let counts = (f64::from(o) / lsb * gain).round();
        // v = T x - sum - offset must fit i32; the core checks the same.
        let room = f64::from(i32::MAX) - 65_536.0 * gain;
        if counts.abs() > room {
            return Err(error());
        }
        let factor = lsb / (f64::from(s) * grid.scale * gain);
        offset.push(counts as i32);
        multiplier.push(Multiplier::from_factor(factor).ok_or_else(error)?);
    }
    Ok(IntFrontend { float: frontend.clone(), grid, offset, multiplier })
}

/// A hidden layer and the grid of its output.
fn lower_hidden(
    layer: &Layer,
    input: Grid,
    linear: &Observer,
    after: &Observer,
    options: &QuantizeOptions,
) -> Result<(IntLayer, Grid), QuantizeError> {
    let (low, high) = after.range(options.range);
    let fused = |grid: Grid, min: i8, max: i8| IntOutput::Int8 {
        grid,
        zero_point: grid.zero_point,
        min,
        max,
        table: None,
    };
    let (requantized, output) = match layer.activation {
        Activation::Identity => {
            let grid = Grid::covering(low, high);
            (grid, fused(grid, -128, 127))
        }
        Activation::Relu => {
            let grid = Grid::covering(0.0, high);
            (grid, fused(grid, grid.zero_point, 127))
        }
        Activation::Relu6 => {
            let grid = Grid::covering(0.0, high.min(6.0));
            (grid, fused(grid, grid.zero_point, grid.quantize(6.0)))
        }
        activation => {
            let before = table_input_grid(activation, linear, options.range);
            let grid = Grid::covering(low, high);
            let table = std::array::from_fn(|i| {
                let q = (i as i32 - 128) as i8;
                grid.quantize(activation.apply(before.dequantize(q) as f32).into())
            });
            let zero_point = before.zero_point;
            let table = Some(Box::new(table));
            (before, IntOutput::Int8 { grid, zero_point, min: -128, max: 127, table })
        }
    };
    let IntOutput::Int8 { grid, .. } = output else { unreachable!("hidden layers are int8") };
    let scales = vec![requantized.scale; layer.output_len()];
    Ok((lower_rows(layer, None, input, &scales, output, options.rounding)?, grid))
}

/// Grid of a table's input.
fn table_input_grid(activation: Activation, linear: &Observer, method: RangeMethod) -> Grid {
    let (low, high) = linear.range(method);
    match activation {
        Activation::Sigmoid | Activation::Tanh => {
            Grid::covering(low.max(-SATURATION), high.min(SATURATION))
        }
        _ => Grid::covering(low, high),
    }
}

/// The encoder's head: rows of `mu`, then rows of `logvar`, each with its own fraction bits.
fn lower_head(
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
    let output = IntOutput::Int16 { scale: 2f64.powi(-i32::from(mu_frac_bits)) };
    let merged;
    let head = match &vae.logvar {
        Some(logvar) => {
            merged = merge(&vae.mu, logvar);
            &merged
        }
        None => &vae.mu,
    };
    let head = lower_rows(head, None, input, &scales, output, options.rounding)?;

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
    let (Op::FullyConnected { weight: a, bias: c }, Op::FullyConnected { weight: b, bias: d }) =
        (&mu.op, &logvar.op);
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
fn lower_output(
    vae: &Vae,
    layer: &Layer,
    input: Grid,
    features: Grid,
    options: &QuantizeOptions,
) -> Result<IntLayer, QuantizeError> {
    if !layer.activation.is_identity() {
        return Err(QuantizeError::OutputActivation {
            layer: layer.name.clone(),
            activation: layer.activation,
        });
    }
    let (scale, shift) = match vae.likelihood {
        Likelihood::Bernoulli => (2f64.powi(-LOGIT_FRAC_BITS), 0.0),
        // The features' zero point becomes part of the bias.
        Likelihood::Gaussian { .. } => (
            features.scale / f64::from(1u32 << GRID_FRAC_BITS),
            features.scale * f64::from(features.zero_point),
        ),
    };
    let scales = vec![scale; layer.output_len()];
    let output = IntOutput::Int16 { scale };
    lower_rows(layer, Some(shift), input, &scales, output, options.rounding)
}

/// Weights, biases and multipliers, row by row; `scales` holds the grid of each output.
fn lower_rows(
    layer: &Layer,
    bias_shift: Option<f64>,
    input: Grid,
    scales: &[f64],
    output: IntOutput,
    rounding: Rounding,
) -> Result<IntLayer, QuantizeError> {
    let Op::FullyConnected { weight, bias } = &layer.op;
    let (outputs, inputs) = weight.dim();
    for (what, value) in [("inputs", inputs), ("outputs", outputs)] {
        if value > usize::from(u16::MAX) {
            let what = format!("number of {what} of layer `{}`", layer.name);
            return Err(QuantizeError::TooLarge { what, value });
        }
    }
    let mut lowered = IntLayer {
        name: layer.name.clone(),
        inputs,
        outputs,
        weights: Vec::with_capacity(inputs * outputs),
        bias: Vec::with_capacity(outputs),
        multiplier: Vec::with_capacity(outputs),
        input_zero_point: input.zero_point,
        output,
    };
    for (channel, ((row, &bias), &scale)) in
        weight.rows().into_iter().zip(bias).zip(scales).enumerate()
    {
        let bias = f64::from(bias) + bias_shift.unwrap_or(0.0);
        let largest = row.iter().fold(0f32, |max, w| max.max(w.abs()));
        // A row of tiny weights must not blow its bias beyond 30 bits.
        let floor = bias.abs() / (input.scale * f64::from(1 << 29));
        let row_scale = (f64::from(largest) / 127.0).max(floor).max(1e-30);
        let quantized = row.iter().map(|&w| (f64::from(w) / row_scale).round() as i8);
        let start = lowered.weights.len();
        lowered.weights.extend(quantized);
        let sum: i64 = lowered.weights[start..].iter().map(|&w| i64::from(w)).sum();
        let folded =
            (bias / (input.scale * row_scale)).round() as i64 - i64::from(input.zero_point) * sum;
        let factor = input.scale * row_scale / scale;
        let multiplier = Multiplier::from_factor(factor)
            .ok_or_else(|| factor_error(&layer.name, channel, factor))?;
        let bound = folded.unsigned_abs() + inputs as u64 * 128 * 128;
        let headroom = if rounding == Rounding::Double { multiplier.shift.max(0) } else { 0 };
        let limit = i32::MAX as u64 >> headroom;
        if bound > limit {
            return Err(QuantizeError::Overflow { layer: layer.name.clone(), bound, limit });
        }
        lowered.bias.push(folded as i32);
        lowered.multiplier.push(multiplier);
    }
    Ok(lowered)
}

/// `unit` is the real distance of two reconstructions on the grid with six fraction bits.
fn lower_likelihood(vae: &Vae, unit: f64) -> Result<IntLikelihood, QuantizeError> {
    let Likelihood::Gaussian { precision } = &vae.likelihood else {
        return Ok(IntLikelihood::Bernoulli);
    };
    let n = vae.input_len();
    let real: Vec<f64> = match precision {
        Some(precision) => precision.iter().map(|&p| p.into()).collect(),
        None => vec![1.0; n],
    };
    let step = real.iter().fold(0.0, |max: f64, &p| max.max(p)) / 65_535.0;
    let integers: Vec<u16> =
        real.iter().map(|p| (p / step).round().clamp(1.0, 65_535.0) as u16).collect();
    // The constant speaks of the precisions the device uses.
    let logs: f64 = integers.iter().map(|&p| (f64::from(p) * step).ln()).sum();
    let constant = 0.5 * (n as f64 * std::f64::consts::TAU.ln() - logs);
    let factor = 0.5 * unit * unit * step * 65_536.0;
    Ok(IntLikelihood::Gaussian {
        precision: integers,
        factor: wide_factor(factor)
            .ok_or(QuantizeError::FeatureRange { reach: 64.0 * 128.0 * unit })?,
        constant: (constant * 65_536.0).round() as i64,
    })
}
