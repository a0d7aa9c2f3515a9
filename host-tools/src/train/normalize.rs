//! Fits the front-end's offset, scale and LSB to training data.

use super::TrainError;
use crate::graph::Frontend;
use crate::recording::WindowSet;
use serde::Serialize;

/// How samples are scaled to features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Zero mean and unit deviation, each channel (each band of it) by itself.
    PerChannel,
    /// Zero mean and unit deviation over all channels together, which keeps
    /// their proportions.
    Global,
    /// As recorded.
    None,
    /// Divided by 255: u8 images to [0, 1].
    Unit255,
}

impl std::str::FromStr for Normalize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "per-channel" => Ok(Self::PerChannel),
            "global" => Ok(Self::Global),
            "none" => Ok(Self::None),
            "unit255" => Ok(Self::Unit255),
            _ => Err(format!(
                "unknown normalization `{text}`; known: per-channel, global, none, unit255"
            )),
        }
    }
}

/// `frontend` with offset, scale and `input_lsb` fitted to the windows; its
/// window, hop, channels and `remove_mean` are kept.
///
/// Statistics are taken after the removal of the window mean, where asked for.
/// A channel that never moves gets scale 1. Recordings of integers keep an LSB
/// of 1; others get the power of two that leaves four times the data's range
/// within i16, so that a fault larger than anything seen does not clip.
///
/// # Errors
/// [`TrainError::TooFewWindows`] without any window; [`TrainError::Graph`] for
/// a front-end that makes no sense.
pub fn fit_frontend(
    data: &WindowSet<'_>,
    frontend: &Frontend,
    normalize: Normalize,
) -> Result<Frontend, TrainError> {
    let channels = frontend.channels;
    let mut fitted = Frontend {
        offset: vec![0.0; frontend.groups()],
        scale: vec![1.0; frontend.groups()],
        input_lsb: vec![1.0],
        ..frontend.clone()
    };
    fitted.validate()?;
    if data.is_empty() {
        return Err(TrainError::TooFewWindows { windows: 0 });
    }
    fitted.input_lsb = input_lsb(data, channels);
    let (offset, scale) = match normalize {
        Normalize::None => return Ok(fitted),
        Normalize::Unit255 => {
            fitted.scale.fill(255.0);
            return Ok(fitted);
        }
        Normalize::Global | Normalize::PerChannel => {
            moments(data, &fitted, normalize == Normalize::Global)
        }
    };
    fitted.offset = offset;
    fitted.scale = scale;
    Ok(fitted)
}

/// Windows whose features are held at a time.
const BATCH: usize = 512;

/// Mean and standard deviation of what the unscaled front-end gives, a
/// group (channel, or band and channel); all share them where `together`.
fn moments(data: &WindowSet<'_>, frontend: &Frontend, together: bool) -> (Vec<f32>, Vec<f32>) {
    let groups = frontend.groups();
    let group = |at: usize| if together { 0 } else { at % groups };
    let share = if together { 1 } else { groups };
    let count = (data.len() * frontend.feature_len()) as f64 / share as f64;
    let all: Vec<usize> = (0..data.len()).collect();
    let sums = |value: &dyn Fn(usize, f64) -> f64| {
        let mut sum = vec![0.0f64; groups];
        for batch in all.chunks(BATCH) {
            for row in data.features(frontend, batch).rows() {
                for (at, x) in row.iter().enumerate() {
                    sum[group(at)] += value(group(at), f64::from(*x));
                }
            }
        }
        sum.iter_mut().for_each(|s| *s /= count);
        sum
    };
    // Two passes: deviations from the mean keep their digits.
    let mean = sums(&|_, x| x);
    let variance = sums(&|g, x| (x - mean[g]).powi(2));
    (0..groups)
        .map(group)
        .map(|g| {
            let deviation = variance[g].sqrt() as f32;
            let moves = deviation.is_finite() && deviation > f32::MIN_POSITIVE;
            (mean[g] as f32, if moves { deviation } else { 1.0 })
        })
        .unzip()
}

/// Headroom of the device's i16 samples over the training data's range.
const HEADROOM: f32 = 4.0;

/// LSBs of the device's samples for a recording's channels: 1 where a channel
/// holds integers that fit i16, else the power of two that leaves four times
/// its range within i16.
pub fn input_lsb(data: &WindowSet<'_>, channels: usize) -> Vec<f32> {
    let mut largest = vec![0.0f32; channels];
    let mut integers = vec![true; channels];
    // Every layout is row-major with the channels innermost.
    for clips in data.sources() {
        for (at, x) in clips.recording().samples.iter().enumerate() {
            let channel = at % channels.max(1);
            largest[channel] = largest[channel].max(x.abs());
            integers[channel] &= x.fract() == 0.0 && (-32_768.0..=32_767.0).contains(x);
        }
    }
    let lsb = |(largest, integers): (f32, bool)| {
        if integers || largest == 0.0 {
            return 1.0;
        }
        let exponent = (largest * HEADROOM / f32::from(i16::MAX)).log2().ceil();
        // Within f32's normal range, whatever the units.
        exponent.clamp(-126.0, 126.0).exp2()
    };
    largest.into_iter().zip(integers).map(lsb).collect()
}
