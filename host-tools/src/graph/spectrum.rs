//! What can be chosen about a spectrum, and the tables that follow from it.

use super::GraphError;
use serde::{Deserialize, Serialize};

/// Features as the logarithms of bands of short spectra.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Samples a frame (after decimation): a power of two, 64 to 2,048.
    pub frame_len: usize,
    /// Samples from one frame's start to the next one's.
    pub frame_hop: usize,
    /// Frames a window.
    pub stack: usize,
    /// What each frame is multiplied by.
    pub taper: Taper,
    /// Bands a frame.
    pub bands: usize,
    /// How bands lie on the frequency axis.
    pub scale: BandScale,
    /// Samples a second before decimation; mel bands and limits in hertz need it.
    pub sample_rate: Option<f32>,
    /// Lowest frequency, hertz; the first bin above 0 where absent.
    pub min_hz: Option<f32>,
    /// Highest frequency, hertz; half the rate where absent.
    pub max_hz: Option<f32>,
}

/// What a frame is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taper {
    /// Nothing.
    None,
    /// Hann's raised cosine.
    Hann,
}

/// How bands lie on the frequency axis; every feature is a logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BandScale {
    /// Equal widths in hertz.
    Linear,
    /// Equal ratios.
    Log,
    /// Triangles, equally spaced in mel (`2595 log10(1 + f / 700)`).
    LogMel,
}

impl std::str::FromStr for Taper {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "hann" => Ok(Self::Hann),
            _ => Err(format!("unknown taper `{text}`; known: none, hann")),
        }
    }
}

impl std::str::FromStr for BandScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "linear" => Ok(Self::Linear),
            "log" => Ok(Self::Log),
            "log-mel" | "mel" => Ok(Self::LogMel),
            _ => Err(format!("unknown scale `{text}`; known: linear, log, log-mel")),
        }
    }
}

/// Bands as the device reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BandTables {
    /// Ascending bins: one more than bands, two more for triangles.
    pub edges: Vec<u16>,
    /// Shares of the rising triangle from the first edge on, Q15; `None` for sums.
    pub triangles: Option<Vec<u16>>,
}

impl Spectrum {
    /// Samples a window, after decimation.
    pub fn window_len(&self) -> usize {
        self.stack.saturating_sub(1).saturating_mul(self.frame_hop).saturating_add(self.frame_len)
    }

    /// The logarithm, Q16, below which a band holds nothing but the rounding
    /// of the samples: 1/12 of a squared count a sample, through the taper.
    pub fn floor(&self) -> i32 {
        let energy = match self.taper {
            Taper::None => 1.0,
            Taper::Hann => 3.0 / 8.0,
        };
        ((self.frame_len as f64 * energy / 12.0).log2() * 65_536.0).round() as i32
    }

    /// Edges and shares of the bands, the samples thinned by `decimate` first.
    ///
    /// # Errors
    /// [`GraphError::Frontend`] where a setting is out of range or a band would be empty.
    pub fn tables(&self, decimate: usize) -> Result<BandTables, GraphError> {
        let bad = |setting, value: String, must| Err(GraphError::Frontend { setting, value, must });
        if !(64..=2048).contains(&self.frame_len) || !self.frame_len.is_power_of_two() {
            let value = self.frame_len.to_string();
            return bad("the spectrum's frame", value, "a power of two from 64 to 2048");
        }
        for (setting, value) in
            [("frame hop", self.frame_hop), ("stack", self.stack), ("number of bands", self.bands)]
        {
            if value == 0 {
                return bad(setting, "0".into(), "at least 1");
            }
        }
        let bins = self.frame_len / 2;
        // Bins a hertz.
        let density = match self.sample_rate {
            Some(rate) if rate.is_finite() && rate > 0.0 => {
                Some(self.frame_len as f64 * decimate as f64 / f64::from(rate))
            }
            Some(rate) => return bad("sample rate", rate.to_string(), "positive and finite"),
            None => None,
        };
        let needs_rate =
            self.scale == BandScale::LogMel || self.min_hz.is_some() || self.max_hz.is_some();
        let Some(density) = density.or((!needs_rate).then_some(1.0)) else {
            return bad("sample rate", "not given".into(), "given with mel bands and limits");
        };
        let limit = |hz: Option<f32>, default: f64| {
            hz.map_or(default, |hz| (f64::from(hz) * density).min(bins as f64))
        };
        let lowest = if self.scale == BandScale::LogMel { 0.0 } else { 1.0 };
        let (low, high) = (limit(self.min_hz, lowest).max(lowest), limit(self.max_hz, bins as f64));
        if high - low < self.bands as f64 && self.scale != BandScale::LogMel {
            let must = "at most the bins between the lowest and the highest frequency";
            return bad("number of bands", self.bands.to_string(), must);
        }
        match self.scale {
            BandScale::Linear => {
                let edge = |b: usize| low + (high - low) * b as f64 / self.bands as f64;
                Ok(sums((0..=self.bands).map(edge)))
            }
            BandScale::Log => {
                let ratio = (high / low).powf(1.0 / self.bands as f64);
                let (mut edges, mut edge) = (vec![low.round()], low);
                for left in (0..self.bands).rev() {
                    edge *= ratio;
                    // At least one bin each, for this band and for those to come.
                    let least = edges[edges.len() - 1] + 1.0;
                    edges.push(edge.round().clamp(least, (high.floor() - left as f64).max(least)));
                }
                Ok(sums(edges.into_iter()))
            }
            BandScale::LogMel => triangles(low, high, density, self.bands),
        }
    }
}

fn sums(edges: impl Iterator<Item = f64>) -> BandTables {
    BandTables { edges: edges.map(|edge| edge.round() as u16).collect(), triangles: None }
}

/// Mel triangles between the bins `low` and `high`.
fn triangles(low: f64, high: f64, density: f64, bands: usize) -> Result<BandTables, GraphError> {
    let mel = |bin: f64| 2595.0 * (1.0 + bin / density / 700.0).log10();
    let bin = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0) * density;
    let (from, to) = (mel(low), mel(high));
    let corner = |j: usize| bin(from + (to - from) * j as f64 / (bands + 1) as f64);
    let corners: Vec<f64> = (0..bands + 2).map(corner).collect();
    let edges: Vec<u16> = corners.iter().map(|corner| (corner - 1e-9).ceil() as u16).collect();
    let mut shares = Vec::new();
    let mut weight = vec![0u64; bands + 2];
    for (j, pair) in corners.windows(2).enumerate() {
        for k in edges[j]..edges[j + 1] {
            let rise = (f64::from(k) - pair[0]) / (pair[1] - pair[0]);
            let share = (rise.clamp(0.0, 1.0) * 32_768.0).round() as u16;
            shares.push(share);
            weight[j + 1] += u64::from(share);
            weight[j] += 32_768 - u64::from(share);
        }
    }
    if let Some(band) = (0..bands).find(|band| weight[band + 1] == 0) {
        return Err(GraphError::Frontend {
            setting: "a mel band",
            value: format!("without a bin (band {band} of {bands})"),
            must: "wider: take fewer bands or longer frames",
        });
    }
    Ok(BandTables { edges, triangles: Some(shares) })
}

/// Taps of the filter in front of a decimation by `factor`: 24 a sample kept,
/// and one. Kaiser's window, 60 dB; flat to 70 % of the new band.
pub(super) fn decimation_taps(factor: usize) -> Vec<i16> {
    const BETA: f64 = 5.65;
    let half = 12 * factor as i64;
    // The edge of the stop band lies at half the new rate.
    let cutoff = (0.5 - 0.075) / factor as f64;
    let kernel = |k: i64| {
        let t = k as f64;
        let sinc = if k == 0 {
            2.0 * cutoff
        } else {
            (std::f64::consts::TAU * cutoff * t).sin() / (std::f64::consts::PI * t)
        };
        let inside = 1.0 - (t / half as f64).powi(2);
        sinc * bessel_i0(BETA * inside.max(0.0).sqrt()) / bessel_i0(BETA)
    };
    let real: Vec<f64> = (-half..=half).map(kernel).collect();
    let sum: f64 = real.iter().sum();
    let mut taps: Vec<i16> = real.iter().map(|tap| (tap / sum * 32_768.0).round() as i16).collect();
    // A constant passes unchanged.
    let missing = 32_768 - taps.iter().map(|tap| i32::from(*tap)).sum::<i32>();
    taps[half as usize] += missing as i16;
    taps
}

/// Taps of a mean over `count` samples; what does not divide is spread evenly, so that a constant
/// passes unchanged.
pub(super) fn mean_taps(count: usize) -> Vec<i16> {
    let edge = |k: usize| (k * 32_768 / count) as i32;
    (0..count).map(|k| (edge(k + 1) - edge(k)) as i16).collect()
}

/// Modified Bessel function of the first kind, order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(scale: BandScale, frame_len: usize, bands: usize) -> Spectrum {
        Spectrum {
            frame_len,
            frame_hop: frame_len / 2,
            stack: 1,
            taper: Taper::Hann,
            bands,
            scale,
            sample_rate: Some(16_000.0),
            min_hz: None,
            max_hz: None,
        }
    }

    #[test]
    fn no_band_is_empty() {
        for (scale, len, bands) in [
            (BandScale::Linear, 64, 31),
            (BandScale::Linear, 1024, 64),
            (BandScale::Log, 64, 31),
            (BandScale::Log, 2048, 100),
        ] {
            let tables = spectrum(scale, len, bands).tables(1).unwrap();
            assert_eq!(tables.edges.len(), bands + 1);
            assert!(tables.edges.windows(2).all(|e| e[0] < e[1]), "{scale:?} {len} {bands}");
            assert_eq!(usize::from(tables.edges[bands]), len / 2);
        }
        let tables = spectrum(BandScale::LogMel, 1024, 128).tables(1).unwrap();
        assert_eq!(tables.edges.len(), 130);
        assert_eq!(tables.triangles.unwrap().len(), 512);
        let error = spectrum(BandScale::LogMel, 64, 128).tables(1).unwrap_err();
        assert!(error.to_string().contains("fewer bands"), "{error}");
        let error = spectrum(BandScale::Linear, 64, 32).tables(1).unwrap_err();
        assert!(error.to_string().contains("number of bands"), "{error}");
    }

    #[test]
    fn mel_triangles_peak_at_their_centers() {
        // A full circle through the definition: 1,000 Hz is 1,000 mel (to 0.02 %).
        let tables = spectrum(BandScale::LogMel, 2048, 40).tables(1).unwrap();
        let top = 2595.0 * (1.0f64 + 8000.0 / 700.0).log10();
        for j in 1..=40usize {
            let mel = top * j as f64 / 41.0;
            let center = 700.0 * (10f64.powf(mel / 2595.0) - 1.0) * 2048.0 / 16_000.0;
            assert_eq!(f64::from(tables.edges[j]), center.ceil(), "{j}");
        }
    }

    #[test]
    fn a_mean_weighs_all_samples_alike() {
        for count in [2usize, 3, 20, 64, 1000] {
            let taps = mean_taps(count);
            assert_eq!(taps.len(), count);
            assert_eq!(taps.iter().map(|t| i32::from(*t)).sum::<i32>(), 32_768);
            let even = 32_768 / count as i32;
            assert!(taps.iter().all(|t| (even..=even + 1).contains(&i32::from(*t))), "{count}");
        }
    }

    #[test]
    fn the_filter_passes_what_it_should() {
        for factor in [2usize, 4, 7] {
            let taps = decimation_taps(factor);
            assert_eq!(taps.iter().map(|t| i32::from(*t)).sum::<i32>(), 32_768);
            let gain = |frequency: f64| {
                let center = (taps.len() / 2) as f64;
                let sum: f64 = taps
                    .iter()
                    .enumerate()
                    .map(|(k, tap)| {
                        let angle = std::f64::consts::TAU * frequency * (k as f64 - center);
                        f64::from(*tap) * angle.cos()
                    })
                    .sum();
                sum / 32_768.0
            };
            let nyquist = 0.5 / factor as f64;
            for i in 0..=20 {
                let pass = gain(0.7 * nyquist * f64::from(i) / 20.0);
                assert!((pass - 1.0).abs() < 2e-3, "{factor} {i}: {pass}");
                let stop = gain(nyquist + (0.5 - nyquist) * f64::from(i) / 20.0);
                assert!(stop.abs() < 2e-3, "{factor} {i}: {stop}");
            }
        }
    }
}
