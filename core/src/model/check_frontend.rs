//! The gate's part that concerns the front-end: sections, ranges, and that no sum overflows.

use super::Model;
use super::check::valid_scale;
use super::error::ModelError;
use super::layer::array;
use super::wire::sections::Sections;
use crate::frontend::Decimation;
#[cfg(feature = "spectrum")]
use crate::frontend::{Bands, Spectrum};

/// Greatest magnitude of a logarithm in Q16, or of a floor.
const MAX_LOG2: u64 = 1 << 23;
/// Greatest sum of a filter's magnitudes: times 2^15, plus a half, it fits int32.
const MAX_TAPS: u32 = 65_535;

/// The filter of `sections`, `None` where it has none.
pub(super) fn decimation<'a>(
    sections: &Sections,
    payload: &'a [u8],
) -> Result<Option<Decimation<'a>>, ModelError> {
    let Some(wire) = &sections.decimation else { return Ok(None) };
    let taps = array(payload, wire.coefficients, wire.taps.into()).ok_or(ModelError::Section)?;
    Ok(Some(Decimation { factor: wire.factor.into(), taps }))
}

/// The spectrum of `sections`, `None` where it has none.
#[cfg(feature = "spectrum")]
pub(super) fn spectrum<'a>(
    sections: &Sections,
    payload: &'a [u8],
) -> Result<Option<Spectrum<'a>>, ModelError> {
    let Some(wire) = &sections.spectrum else { return Ok(None) };
    let more = if wire.triangles.is_some() { 2 } else { 1 };
    let edges: &[u16] =
        array(payload, wire.edges, usize::from(wire.bands) + more).ok_or(ModelError::Section)?;
    let bands = match wire.triangles {
        None => Bands::Sums { edges },
        Some(weights) => {
            let (first, last) = (edges.first().copied(), edges.last().copied());
            let bins = last.unwrap_or(0).saturating_sub(first.unwrap_or(0));
            let weights = array(payload, weights, bins.into()).ok_or(ModelError::Section)?;
            Bands::Triangles { edges, weights }
        }
    };
    Ok(Some(Spectrum {
        log2_len: wire.log2_len.into(),
        stack: wire.stack.into(),
        frame_hop: wire.frame_hop.into(),
        taper: wire.taper,
        bands,
        floor: wire.floor,
    }))
}

/// What an offset may come to: `v = T x - sum(x) - offset`, or a logarithm less its offset, must fit int32.
fn room(model: &Model<'_>) -> Option<u32> {
    let spectrum = model.sections.spectrum.is_some();
    let reach = match (spectrum, model.description.frontend.remove_mean) {
        (true, _) => MAX_LOG2,
        (false, true) => model.frontend().steps() as u64 * 2 * 32_768,
        (false, false) => 32_768,
    };
    (i32::MAX as u64).checked_sub(reach).map(|room| room as u32)
}

/// [`room`] of a model that has passed.
#[cfg(feature = "recalibration")]
pub(super) fn offset_bound(model: &Model<'_>) -> i32 {
    room(model).map_or(0, |room| room as i32)
}

/// Every setting of the front-end.
pub(super) fn check(model: &Model<'_>) -> Result<(), ModelError> {
    let wire = &model.description.frontend;
    let refused = Err(ModelError::Frontend);
    let sections = &model.sections;
    if [wire.window_len, wire.hop, wire.channels].contains(&0) {
        return refused;
    }
    // Streams are cut in u16: a window's samples are one ring.
    if model.window_samples() > usize::from(u16::MAX) {
        return refused;
    }
    if let Some(decimation) = decimation(sections, model.payload)? {
        let reach: u32 = decimation.taps.iter().map(|tap| u32::from(tap.unsigned_abs())).sum();
        let factor = decimation.factor;
        // A stream that is thinned as it comes keeps the same samples.
        let fits = factor >= 1
            && !decimation.taps.is_empty()
            && reach <= MAX_TAPS
            && usize::from(wire.hop).is_multiple_of(factor)
            && usize::from(wire.window_len)
                .checked_sub(decimation.taps.len())
                .is_some_and(|spare| spare.is_multiple_of(factor));
        if !fits {
            return refused;
        }
    }
    #[cfg(feature = "spectrum")]
    if let Some(spectrum) = spectrum(sections, model.payload)? {
        check_spectrum(&spectrum)?;
        let steps = decimation(sections, model.payload)?
            .map_or(usize::from(wire.window_len), |d| d.kept(wire.window_len.into()));
        if spectrum.window_len() != steps {
            return refused;
        }
    }
    #[cfg(not(feature = "spectrum"))]
    if sections.spectrum.is_some() {
        return refused;
    }
    let frontend = model.frontend();
    let groups = frontend.groups();
    if frontend.feature_len() > usize::from(u16::MAX) {
        return refused;
    }
    let offsets: &[i32] = array(model.payload, wire.offset, groups).ok_or(ModelError::Section)?;
    let multipliers = array(model.payload, wire.multiplier, groups).ok_or(ModelError::Section)?;
    let shifts = array(model.payload, wire.shift, groups).ok_or(ModelError::Section)?;
    array::<u32>(model.payload, wire.lsb, wire.channels.into()).ok_or(ModelError::Section)?;
    let Some(bound) = room(model) else { return refused };
    let fits = |offset: &i32| offset.unsigned_abs() <= bound;
    let numbers =
        multipliers.iter().zip(shifts).all(|(&multiplier, &shift)| valid_scale(multiplier, shift));
    if numbers && offsets.iter().all(fits) { Ok(()) } else { refused }
}

/// Ranges of a spectrum's settings; its sums cannot overflow then.
#[cfg(feature = "spectrum")]
fn check_spectrum(spectrum: &Spectrum<'_>) -> Result<(), ModelError> {
    let (edges, weights): (_, &[u16]) = match spectrum.bands {
        Bands::Sums { edges } => (edges, &[]),
        Bands::Triangles { edges, weights } => (edges, weights),
    };
    let bins = spectrum.frame_len() / 2;
    let fits = (6..=11).contains(&spectrum.log2_len)
        && spectrum.stack > 0
        && spectrum.frame_hop > 0
        && !spectrum.bands.is_empty()
        && edges.windows(2).all(|pair| matches!(pair, [a, b] if a <= b))
        && edges.last().is_some_and(|&last| usize::from(last) <= bins)
        && weights.iter().all(|&weight| weight <= 1 << 15)
        && u64::from(spectrum.floor.unsigned_abs()) <= MAX_LOG2;
    if fits { Ok(()) } else { Err(ModelError::Frontend) }
}
