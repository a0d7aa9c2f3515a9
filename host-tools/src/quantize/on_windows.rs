//! Quantization from a set of windows: an even share of them is observed.

use super::{QuantizeError, QuantizeOptions, QuantizedVae, Settled, lower, observe};
use crate::graph::Vae;
use crate::recording::WindowSet;

/// At most `most` of `count` indices, evenly spread.
pub fn spread(count: usize, most: usize) -> Vec<usize> {
    (0..count).step_by(count.div_ceil(most.max(1)).max(1)).collect()
}

/// The integers of `vae`: those that training settled on, or else by the ranges on at most
/// [`QuantizeOptions::max_windows`] of the windows.
///
/// # Errors
/// As [`observe`] and [`lower`].
pub fn quantize_on(
    vae: &Vae,
    windows: &WindowSet<'_>,
    settled: Option<&Settled>,
    options: &QuantizeOptions,
) -> Result<QuantizedVae, QuantizeError> {
    if let Some(settled) = settled {
        return settled.lower(vae);
    }
    let features = windows.features(&vae.frontend, &spread(windows.len(), options.max_windows));
    lower(vae, &observe(vae, features.view(), options)?, options)
}
