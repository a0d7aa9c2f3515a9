//! The grid of the features, the front-end in integers, and what their distances mean.

use picovae_core::fixed::wide::Factor;
use picovae_core::score::reconstruction_error::GRID_FRAC_BITS;

use super::super::grid::{Grid, Multiplier, wide_factor};
use super::super::integers::{IntFrontend, IntLikelihood};
use super::super::observe::Ranges;
use super::super::{QuantizeError, QuantizeOptions};
use crate::graph::{Frontend, Likelihood, Vae};

/// Grid of the features: pixels for Bernoulli, else what calibration saw with headroom.
pub(super) fn feature_grid(
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

/// A float front-end in front of features on `grid`.
pub(crate) fn lower_frontend(
    frontend: &Frontend,
    grid: Grid,
) -> Result<IntFrontend, QuantizeError> {
    let gain = if frontend.remove_mean { frontend.steps() as f64 } else { 1.0 };
    let (mut offset, mut multiplier) = (Vec::new(), Vec::new());
    for (group, (&o, &s)) in frontend.offset.iter().zip(&frontend.scale).enumerate() {
        let channel = group % frontend.channels;
        let error = || QuantizeError::Frontend { channel };
        // Real value of one unit of what the core normalizes, and how far that reaches.
        let (unit, reach) = match frontend.spectrum {
            Some(_) => (1.0 / 65_536.0, f64::from(1 << 23)),
            None => (f64::from(frontend.lsb(channel)) / gain, 65_536.0 * gain),
        };
        let counts = (f64::from(o) / unit).round();
        // v - offset must fit i32; the core checks the same.
        if counts.abs() > f64::from(i32::MAX) - reach {
            return Err(error());
        }
        let factor = unit / (f64::from(s) * grid.scale);
        offset.push(counts as i32);
        multiplier.push(Multiplier::from_factor(factor).ok_or_else(error)?);
    }
    let tables = frontend.tables()?;
    Ok(IntFrontend { float: frontend.clone(), grid, offset, multiplier, tables })
}

/// Real distance of two reconstructions on the features' grid with its fraction bits.
pub(super) fn unit(features: Grid) -> f64 {
    features.scale / f64::from(1u32 << GRID_FRAC_BITS)
}

/// From the sum of `n` squared distances in `unit`s to their real mean, Q32.
pub(crate) fn mean_square(unit: f64, n: usize) -> Result<Factor, QuantizeError> {
    wide_factor(unit * unit / n as f64 * 2f64.powi(32))
        .ok_or(QuantizeError::FeatureRange { reach: 64.0 * 128.0 * unit })
}

/// `unit` is the real distance of two reconstructions on the grid with six fraction bits.
pub(crate) fn lower_likelihood(
    likelihood: &Likelihood,
    n: usize,
    unit: f64,
) -> Result<IntLikelihood, QuantizeError> {
    let Likelihood::Gaussian { precision } = likelihood else {
        return Ok(IntLikelihood::Bernoulli);
    };
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
