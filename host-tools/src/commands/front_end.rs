//! Options that choose a front-end, shared by the verbs that make models.

use clap::Args;
use picovae::graph::{BandScale, Frontend, Spectrum, Taper};

/// Decimation and spectrum.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Front-end")]
pub struct FrontEndArgs {
    /// Keep one of so many samples, behind an anti-alias filter or the mean of --average [default:
    /// 1, or what --average says].
    #[arg(long, value_name = "FACTOR")]
    pub decimate: Option<usize>,
    /// Features are means of so many frames: what is steady stays, noise averages out. For slow
    /// channels and the bands of a spectrum.
    #[arg(long, value_name = "FRAMES", default_value_t = 1)]
    pub average: usize,
    /// Features are log-power bands of spectra of this many samples: 64 to 2048, a power of two.
    #[arg(long, value_name = "SAMPLES")]
    pub spectrum: Option<usize>,
    /// Samples from one spectrum to the next [default: half a spectrum].
    #[arg(long, value_name = "SAMPLES", requires = "spectrum")]
    pub frame_hop: Option<usize>,
    /// Spectra a window.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "spectrum")]
    pub stack: usize,
    /// Taper of each spectrum: hann, none.
    #[arg(long, default_value = "hann", requires = "spectrum")]
    pub taper: Taper,
    /// Bands a spectrum.
    #[arg(long, value_name = "N", default_value_t = 32, requires = "spectrum")]
    pub bands: usize,
    /// How bands lie on the frequency axis: linear, log, log-mel.
    #[arg(long, default_value = "log", requires = "spectrum")]
    pub scale: BandScale,
    /// Samples a second of the recordings; log-mel and limits in hertz need it.
    #[arg(long, value_name = "HZ", requires = "spectrum")]
    pub sample_rate: Option<f32>,
    /// Lowest frequency of the bands.
    #[arg(long, value_name = "HZ", requires = "sample_rate")]
    pub min_hz: Option<f32>,
    /// Highest frequency of the bands.
    #[arg(long, value_name = "HZ", requires = "sample_rate")]
    pub max_hz: Option<f32>,
}

impl FrontEndArgs {
    /// The spectrum asked for.
    fn settings(&self) -> Option<Spectrum> {
        let frame_len = self.spectrum?;
        Some(Spectrum {
            frame_len,
            frame_hop: self.frame_hop.unwrap_or(frame_len / 2),
            stack: self.stack,
            taper: self.taper,
            bands: self.bands,
            scale: self.scale,
            sample_rate: self.sample_rate,
            min_hz: self.min_hz,
            max_hz: self.max_hz,
        })
    }

    /// Whether the window follows from these options alone.
    pub fn fixes_window(&self) -> bool {
        self.spectrum.is_some()
    }

    /// The front-end of `channels` channels. `window` counts raw frames and is
    /// ignored with a spectrum, whose frames fix it; with a decimation it grows
    /// by what the filter needs. Averages are taken as often as the window has room for. `hop` is rounded down to whole decimated steps
    /// where it is not given.
    pub fn frontend(
        &self,
        window: usize,
        hop: Option<usize>,
        channels: usize,
        remove_mean: bool,
    ) -> Frontend {
        let decimate = self.decimate.unwrap_or(self.average);
        let factor = decimate.max(1);
        let spectrum = self.settings();
        let room = match self.average {
            0 | 1 => window / factor,
            average => window.saturating_sub(average) / factor + 1,
        };
        let steps = spectrum.as_ref().map_or(room, Spectrum::window_len);
        let window_len = Frontend::window_for(steps, decimate, self.average);
        let next = spectrum.as_ref().map_or(steps, |s| s.stack * s.frame_hop);
        let hop = hop.unwrap_or((next * factor).max(1));
        let bands = spectrum.as_ref().map_or(1, |s| s.bands);
        Frontend {
            decimate,
            average: self.average,
            remove_mean: remove_mean || spectrum.is_some(),
            offset: vec![0.0; channels * bands],
            scale: vec![1.0; channels * bands],
            spectrum,
            ..Frontend::identity(window_len, hop, channels)
        }
    }
}
