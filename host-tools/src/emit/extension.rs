//! What version 2 of the format adds: the front-end's filter and spectrum.

use picovae_core::frontend::Taper as DeviceTaper;
use picovae_core::model::wire::{self, Extension};

use super::write::Payload;
use crate::graph::Taper;
use crate::quantize::QuantizedVae;

/// The extension of a model; the default where version 1 holds everything.
pub(super) fn extension(payload: &mut Payload, model: &QuantizedVae) -> Extension {
    let (float, tables) = (&model.frontend.float, &model.frontend.tables);
    let decimation = (float.decimate > 1).then(|| wire::Decimation {
        factor: float.decimate as u16,
        taps: tables.taps.len() as u16,
        coefficients: payload.push(bytemuck::cast_slice(&tables.taps), 4).offset,
    });
    let spectrum = float.spectrum.as_ref().zip(tables.bands.as_ref());
    let spectrum = spectrum.map(|(spectrum, bands)| wire::Spectrum {
        log2_len: spectrum.frame_len.trailing_zeros() as u8,
        stack: spectrum.stack as u16,
        frame_hop: spectrum.frame_hop as u16,
        taper: match spectrum.taper {
            Taper::None => DeviceTaper::None,
            Taper::Hann => DeviceTaper::Hann,
        },
        bands: spectrum.bands as u16,
        edges: payload.push(bytemuck::cast_slice(&bands.edges), 4).offset,
        triangles: bands
            .triangles
            .as_ref()
            .map(|shares| payload.push(bytemuck::cast_slice(shares), 4).offset),
        floor: spectrum.floor(),
    });
    Extension { decimation, spectrum }
}
