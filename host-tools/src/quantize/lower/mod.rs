//! From a float graph and observed ranges to integers, layer by layer.

mod features;
mod heads;
mod rows;

use features::{feature_grid, unit};
pub(crate) use features::{lower_frontend, lower_likelihood, mean_square};
use heads::{lower_head, lower_output};
use rows::lower_rows;

use super::extras::Extras;
use super::grid::Grid;
use super::integers::{IntLayer, IntOutput, QuantizedVae};
use super::observe::{Observer, Ranges};
use super::{QuantizeError, QuantizeOptions};
use crate::graph::{Activation, Layer, Vae};

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
    check_names(vae, options)?;
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
    let linear = ranges.decoder_linear.last().ok_or(crate::graph::GraphError::NoDecoder)?;
    layers.push(lower_output(vae, last, linear, grid, features, options)?);

    let unit = unit(features);
    Ok(QuantizedVae {
        name: vae.name.clone(),
        provenance: vae.provenance.clone(),
        rounding: options.rounding,
        frontend,
        layers,
        encoder_len,
        latent,
        likelihood: lower_likelihood(&vae.likelihood, vae.input_len(), unit)?,
        score: vae.score,
        mean_square: mean_square(unit, vae.input_len())?,
        extras: Extras::default(),
    })
}

/// Every layer that is to have other weight bits must exist.
fn check_names(vae: &Vae, options: &QuantizeOptions) -> Result<(), QuantizeError> {
    let known: Vec<&str> = vae.layers().map(|layer| layer.name.as_str()).collect();
    match options.weight_bits.layers.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(QuantizeError::UnknownLayer { layer: name.clone(), known: known.join(", ") })
        }
    }
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
    // A pool passes its input's grid on: it has no multiplier.
    let pool = layer.op.bias().is_none();
    let fused = |grid: Grid, min: i8, max: i8| IntOutput::Int8 {
        grid,
        zero_point: grid.zero_point,
        min,
        max,
        table: None,
    };
    let (requantized, output) = match layer.activation {
        Activation::Identity => {
            let grid = if pool { input } else { Grid::covering(low, high) };
            (grid, fused(grid, -128, 127))
        }
        Activation::Relu if pool => (input, fused(input, input.zero_point, 127)),
        Activation::Relu6 if pool => (input, fused(input, input.zero_point, input.quantize(6.0))),
        Activation::Relu => {
            let grid = Grid::covering(0.0, high);
            (grid, fused(grid, grid.zero_point, 127))
        }
        Activation::Relu6 => {
            let grid = Grid::covering(0.0, high.min(6.0));
            (grid, fused(grid, grid.zero_point, grid.quantize(6.0)))
        }
        activation => {
            let (least, most) = linear.range(options.range);
            let before = if pool { input } else { table_input_grid(activation, least, most) };
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
    let scales = vec![requantized.scale; layer.op.output().channels];
    Ok((lower_rows(layer, 0.0, input, &scales, output, options)?, grid))
}

/// Grid of a table's input.
fn table_input_grid(activation: Activation, low: f64, high: f64) -> Grid {
    match activation {
        Activation::Sigmoid | Activation::Tanh => {
            Grid::covering(low.max(-SATURATION), high.min(SATURATION))
        }
        _ => Grid::covering(low, high),
    }
}
