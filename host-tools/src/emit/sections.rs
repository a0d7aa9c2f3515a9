//! The sections that version 2 of the format adds.

use picovae_core::frontend::Taper as DeviceTaper;
use picovae_core::model::wire::sections::{self as wire, Sections};

use super::write::Payload;
use crate::graph::{ScoreKind, Taper};
use crate::quantize::QuantizedVae;

/// The sections of a model.
pub(super) fn sections(payload: &mut Payload, model: &QuantizedVae) -> Sections {
    let (float, tables) = (&model.frontend.float, &model.frontend.tables);
    let decimation = (!tables.taps.is_empty()).then(|| wire::Decimation {
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
    let extras = &model.extras;
    let latent_gaussian = extras.latent_gaussian.as_ref().map(|normal| wire::LatentGaussian {
        mean: payload.push(bytemuck::cast_slice(&normal.mean), 4).offset,
        full: normal.full,
        weights: payload.push(bytemuck::cast_slice(&normal.weights), 4).offset,
        shifts: payload.push(&normal.shifts, 1).offset,
    });
    let decision = extras.decision.as_ref().map(|decision| wire::Decision {
        range: decision
            .range
            .as_ref()
            .map(|range| payload.push(bytemuck::cast_slice(range), 4).offset),
        ..decision.section
    });
    let normal_features = extras.normal_features.as_ref().map(|normal| wire::NormalFeatures {
        mean: payload.push(bytemuck::cast_slice(&normal.mean), 4).offset,
        deviation: payload.push(bytemuck::cast_slice(&normal.deviation), 4).offset,
    });
    let sampling = extras.sampling;
    Sections {
        decimation,
        spectrum,
        latent_gaussian,
        sampling,
        decision,
        normal_features,
        ..Sections::default()
    }
}

/// Whether a reader of version 1 understands the blob.
pub(super) fn is_version_1(score: ScoreKind, sections: &Sections) -> bool {
    use ScoreKind::{BernoulliNll, GaussianNll, KlDivergence, NegativeElbo, ReconstructionError};
    let known = [BernoulliNll, GaussianNll, KlDivergence, NegativeElbo, ReconstructionError];
    *sections == Sections::default() && known.contains(&score)
}
