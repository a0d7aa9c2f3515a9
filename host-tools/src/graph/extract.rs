//! Features of many windows: through the core, so that training sees what the device computes.

use super::spectrum::{BandTables, decimation_taps, mean_taps};
use super::{Frontend, GraphError, Taper};
use picovae_core::frontend as device;

/// A front-end's integer tables, and buffers to run it with.
#[derive(Debug, Clone)]
pub struct Extractor<'f> {
    frontend: &'f Frontend,
    tables: FrontendTables,
    raw: Vec<i16>,
    wide: Vec<i32>,
    scratch: Vec<u128>,
}

/// What the blob holds of a front-end beside its settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontendTables {
    /// Taps of the decimation, Q15; empty without.
    pub taps: Vec<i16>,
    /// Bands of the spectrum.
    pub bands: Option<BandTables>,
}

impl Frontend {
    /// The integer tables that follow from the settings.
    ///
    /// # Errors
    /// [`GraphError::Frontend`].
    pub fn tables(&self) -> Result<FrontendTables, GraphError> {
        let taps = match (self.decimate, self.average) {
            (_, 2..) => mean_taps(self.average),
            (2.., _) => decimation_taps(self.decimate),
            _ => Vec::new(),
        };
        let bands = self.spectrum.as_ref().map(|spectrum| spectrum.tables(self.decimate));
        Ok(FrontendTables { taps, bands: bands.transpose()? })
    }
}

impl<'f> Extractor<'f> {
    /// Prepares `frontend`.
    ///
    /// # Errors
    /// [`GraphError::Frontend`].
    pub fn new(frontend: &'f Frontend) -> Result<Self, GraphError> {
        let mut extractor = Self {
            frontend,
            tables: frontend.tables()?,
            raw: Vec::new(),
            wide: Vec::new(),
            scratch: Vec::new(),
        };
        if !frontend.is_plain() {
            let device = device_frontend(frontend, &extractor.tables);
            extractor.wide = vec![0; device.feature_len()];
            extractor.scratch = vec![0; device.scratch_len().div_ceil(16)];
        }
        Ok(extractor)
    }

    /// Writes the features of one window of `input_len` samples in the recording's units.
    ///
    /// Samples as they are stay floats; decimated ones and spectra are those of
    /// the core, before they are rounded to int8.
    pub fn features(&mut self, window: &[f32], out: &mut [f32]) {
        if self.frontend.is_plain() {
            return self.frontend.plain_features(window, out);
        }
        let Self { frontend, tables, raw, wide, scratch } = self;
        let channels = frontend.channels;
        raw.clear();
        raw.extend(window.iter().enumerate().map(|(i, &x)| frontend.raw(x, i % channels)));
        let device = device_frontend(frontend, tables);
        device.wide(raw, &[], bytemuck::cast_slice_mut(scratch), wide);
        let groups = frontend.groups();
        let gain = if frontend.remove_mean { frontend.steps() as f64 } else { 1.0 };
        for (index, (feature, &v)) in out.iter_mut().zip(wide.iter()).enumerate() {
            let group = index % groups;
            let unit = match frontend.spectrum {
                Some(_) => 1.0 / 65_536.0,
                None => f64::from(frontend.lsb(group)) / gain,
            };
            let real = f64::from(v) * unit - f64::from(frontend.offset[group]);
            *feature = (real / f64::from(frontend.scale[group])) as f32;
        }
    }
}

/// The core's front-end, without its normalization.
fn device_frontend<'t>(frontend: &Frontend, tables: &'t FrontendTables) -> device::Frontend<'t> {
    let decimation = device::Decimation { factor: frontend.decimate, taps: &tables.taps };
    let spectrum = frontend.spectrum.as_ref().zip(tables.bands.as_ref());
    device::Frontend {
        window_len: frontend.window_len,
        hop: frontend.hop,
        channels: frontend.channels,
        remove_mean: frontend.remove_mean,
        zero_point: 0,
        decimation: (!tables.taps.is_empty()).then_some(decimation),
        spectrum: spectrum.map(|(spectrum, bands)| device::Spectrum {
            log2_len: spectrum.frame_len.trailing_zeros(),
            stack: spectrum.stack,
            frame_hop: spectrum.frame_hop,
            taper: match spectrum.taper {
                Taper::None => device::Taper::None,
                Taper::Hann => device::Taper::Hann,
            },
            bands: match &bands.triangles {
                None => device::Bands::Sums { edges: &bands.edges },
                Some(weights) => device::Bands::Triangles { edges: &bands.edges, weights },
            },
            floor: spectrum.floor(),
        }),
        offset: &[],
        multiplier: &[],
        shift: &[],
    }
}
