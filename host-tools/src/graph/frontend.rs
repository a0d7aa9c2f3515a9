//! From raw samples to features: the float twin of the device's front-end.

use super::{Extractor, GraphError, Spectrum};
use serde::{Deserialize, Serialize};

/// How a window of samples becomes the encoder's input.
///
/// A window is time-major: `window[t * channels + c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frontend {
    /// Frames a window (for images: pixels).
    pub window_len: usize,
    /// Frames from one window's start to the next one's.
    pub hop: usize,
    /// Values a frame (for images: 1).
    pub channels: usize,
    /// Subtract each channel's mean over the window (or the spectrum's frame) first.
    pub remove_mean: bool,
    /// One of so many samples is kept, behind an anti-alias filter; 1 keeps all.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub decimate: usize,
    /// Each sample kept is the mean of so many; 1 leaves the anti-alias filter to [`decimate`](Self::decimate).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub average: usize,
    /// Features are bands of spectra instead of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrum: Option<Spectrum>,
    /// Per [group](Self::groups), in the recording's units, or log2 of a power in counts.
    pub offset: Vec<f32>,
    /// Per group, in the same units: `feature = (x - offset) / scale`.
    pub scale: Vec<f32>,
    /// The device sees `raw = round(x / lsb)` as i16: one for all channels, or one a channel.
    #[serde(deserialize_with = "one_or_many")]
    pub input_lsb: Vec<f32>,
}

impl Frontend {
    /// A front-end that passes samples through unchanged.
    pub fn identity(window_len: usize, hop: usize, channels: usize) -> Self {
        Self {
            window_len,
            hop,
            channels,
            remove_mean: false,
            decimate: 1,
            average: 1,
            spectrum: None,
            offset: vec![0.0; channels],
            scale: vec![1.0; channels],
            input_lsb: vec![1.0],
        }
    }

    /// u8 images of `pixels` pixels, mapped to [0, 1].
    pub fn image(pixels: usize) -> Self {
        Self { scale: vec![255.0], ..Self::identity(pixels, pixels, 1) }
    }

    /// Samples of a window.
    pub fn input_len(&self) -> usize {
        self.window_len.saturating_mul(self.channels)
    }

    /// Whether features are the samples themselves, only scaled.
    pub fn is_plain(&self) -> bool {
        self.decimate == 1 && self.average == 1 && self.spectrum.is_none()
    }

    /// Samples a channel that decimation leaves of a window.
    pub fn steps(&self) -> usize {
        let taps = Self::taps(self.decimate, self.average);
        let spare = self.window_len.checked_sub(taps);
        spare.map_or(0, |spare| spare / self.decimate.max(1) + 1)
    }

    /// The window of raw frames that decimation and averaging leave `steps` of.
    pub fn window_for(steps: usize, decimate: usize, average: usize) -> usize {
        steps.saturating_sub(1) * decimate.max(1) + Self::taps(decimate, average)
    }

    /// Taps of the filter in front of a decimation.
    fn taps(decimate: usize, average: usize) -> usize {
        match (decimate, average) {
            (0 | 1, 0 | 1) => 1,
            (_, 0 | 1) => decimate.saturating_mul(24) + 1,
            _ => average,
        }
    }

    /// Features that each have their own offset and scale: the channels, or every
    /// band of every channel, channels innermost.
    pub fn groups(&self) -> usize {
        self.channels.saturating_mul(self.spectrum.as_ref().map_or(1, |spectrum| spectrum.bands))
    }

    /// Features of the model: `[steps][channels]`, or `[frames][bands][channels]`.
    pub fn feature_len(&self) -> usize {
        let rows = self.spectrum.as_ref().map_or(self.steps(), |spectrum| spectrum.stack);
        rows.saturating_mul(self.groups())
    }

    /// Writes the features of one window; for many of them prepare an [`Extractor`].
    ///
    /// `window` holds `input_len` samples in the recording's units; `out`
    /// receives `feature_len` features. A front-end that does not
    /// [validate](Self::validate) gives none.
    pub fn features(&self, window: &[f32], out: &mut [f32]) {
        if self.is_plain() {
            self.plain_features(window, out);
        } else if let Ok(mut extractor) = Extractor::new(self) {
            extractor.features(window, out);
        }
    }

    /// Samples, less their mean where asked for, scaled.
    pub(super) fn plain_features(&self, window: &[f32], out: &mut [f32]) {
        debug_assert_eq!(window.len(), self.input_len());
        debug_assert_eq!(out.len(), self.input_len());
        let channels = self.channels;
        for c in 0..channels {
            let mut shift = self.offset[c];
            if self.remove_mean {
                // In f64: a mean over counts with a large DC part loses digits in f32.
                let sum: f64 = window.iter().skip(c).step_by(channels).map(|x| f64::from(*x)).sum();
                shift += (sum / self.window_len as f64) as f32;
            }
            let scale = self.scale[c];
            let samples = window.iter().skip(c).step_by(channels);
            for (feature, x) in out.iter_mut().skip(c).step_by(channels).zip(samples) {
                *feature = (x - shift) / scale;
            }
        }
    }

    /// Real value of one count of a channel.
    pub fn lsb(&self, channel: usize) -> f32 {
        let one = self.input_lsb.first().copied().unwrap_or(1.0);
        self.input_lsb.get(channel).copied().unwrap_or(one)
    }

    /// The i16 the device's converter gives for `x` on `channel`: rounded to
    /// nearest, ties away from zero, saturated.
    pub fn raw(&self, x: f32, channel: usize) -> i16 {
        // `as` saturates.
        (f64::from(x) / f64::from(self.lsb(channel))).round() as i16
    }

    /// Checks that lengths, scales and the LSB are usable.
    ///
    /// # Errors
    /// [`GraphError::Frontend`] names the first setting out of range.
    pub fn validate(&self) -> Result<(), GraphError> {
        let bad = |setting, value: String, must| Err(GraphError::Frontend { setting, value, must });
        for (setting, value) in
            [("window_len", self.window_len), ("hop", self.hop), ("channels", self.channels)]
        {
            if value == 0 {
                return bad(setting, "0".into(), "at least 1");
            }
        }
        if self.window_len.checked_mul(self.channels).is_none() {
            return bad("window_len", self.window_len.to_string(), "smaller");
        }
        self.validate_spectrum()?;
        let must = "one a channel, or one a band and channel";
        if self.offset.len() != self.groups() {
            return bad("the number of offsets", self.offset.len().to_string(), must);
        }
        if self.scale.len() != self.groups() {
            return bad("the number of scales", self.scale.len().to_string(), must);
        }
        if let Some(value) = self.offset.iter().find(|v| !v.is_finite()) {
            return bad("offset", value.to_string(), "finite");
        }
        if let Some(value) = self.scale.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return bad("scale", value.to_string(), "positive and finite");
        }
        if ![1, self.channels].contains(&self.input_lsb.len()) {
            let count = self.input_lsb.len().to_string();
            return bad("the number of LSBs", count, "1, or one a channel");
        }
        if let Some(value) = self.input_lsb.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return bad("input_lsb", value.to_string(), "positive and finite");
        }
        Ok(())
    }
}

impl Frontend {
    fn validate_spectrum(&self) -> Result<(), GraphError> {
        let bad = |setting, value: usize, must| {
            Err(GraphError::Frontend { setting, value: value.to_string(), must })
        };
        // A mean is no low-pass: it needs no more taps for a wider step.
        if self.average <= 1 && self.decimate > 64 {
            return bad("decimation", self.decimate, "between 1 and 64");
        }
        if self.decimate == 0 || self.decimate > MOST_AVERAGED {
            return bad("decimation", self.decimate, "between 1 and 1024");
        }
        if self.average == 0 || self.average > MOST_AVERAGED {
            return bad("the number of frames averaged", self.average, "between 1 and 1024");
        }
        if !self.hop.is_multiple_of(self.decimate) {
            return bad("hop", self.hop, "a multiple of the decimation");
        }
        if Self::window_for(self.steps(), self.decimate, self.average) != self.window_len {
            return bad("window_len", self.window_len, "what the decimation's filter leaves whole");
        }
        if let Some(spectrum) = &self.spectrum {
            spectrum.tables(self.decimate)?;
            if spectrum.window_len() != self.steps() {
                return bad("window_len", self.window_len, "as long as the spectrum's frames");
            }
        }
        Ok(())
    }
}

/// Frames averaged at most: of more, a tap of the filter would be a few counts of its Q15.
const MOST_AVERAGED: usize = 1024;

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

/// A number, or a list of numbers. Through a JSON value: serde's untagged enums do not know the numbers of
/// `serde_json`'s `arbitrary_precision`, which any crate of a build may turn on.
fn one_or_many<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<f32>, D::Error> {
    use serde::de::Error;
    use serde_json::Value;
    let number = |value: &Value| {
        let number = value.as_f64().map(|number| number as f32);
        number.ok_or_else(|| D::Error::custom(format!("`{value}` is not a number")))
    };
    match Value::deserialize(input)? {
        Value::Array(many) => many.iter().map(number).collect(),
        one => Ok(vec![number(&one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_removed_a_channel() {
        let frontend = Frontend {
            remove_mean: true,
            offset: vec![0.0, 1.0],
            scale: vec![2.0, 10.0],
            ..Frontend::identity(2, 2, 2)
        };
        let mut out = [0.0; 4];
        frontend.features(&[1.0, 100.0, 5.0, 120.0], &mut out);
        // Channel 0: mean 3 → -2, 2 over 2. Channel 1: mean 110 → -11, 9 over 10.
        assert_eq!(out, [-1.0, -1.1, 1.0, 0.9]);
    }

    #[test]
    fn raw_rounds_and_saturates() {
        let frontend = Frontend { input_lsb: vec![0.5, 2.0], ..Frontend::identity(1, 1, 2) };
        assert_eq!(frontend.raw(3.0, 1), 2);
        assert_eq!(frontend.raw(1.25, 0), 3);
        assert_eq!(frontend.raw(-1.25, 0), -3);
        assert_eq!(frontend.raw(1e9, 0), i16::MAX);
        assert_eq!(frontend.raw(-1e9, 0), i16::MIN);
    }

    #[test]
    fn validation_names_the_setting() {
        let mut frontend = Frontend::identity(4, 2, 2);
        assert_eq!(frontend.validate(), Ok(()));
        frontend.scale[1] = 0.0;
        let error = frontend.validate().unwrap_err();
        assert!(error.to_string().contains("scale is 0"), "{error}");
        frontend.scale = vec![1.0];
        assert!(frontend.validate().unwrap_err().to_string().contains("number of scales"));
    }

    #[test]
    fn one_lsb_or_one_a_channel_are_read() {
        let json = |lsb: &str| {
            format!(
                r#"{{"window_len":2,"hop":1,"channels":2,"remove_mean":false,"offset":[0,0],"scale":[1,1],"input_lsb":{lsb}}}"#
            )
        };
        let lsb = |text: &str| {
            serde_json::from_str::<Frontend>(&json(text)).map(|frontend| frontend.input_lsb)
        };
        assert_eq!(lsb("0.25").unwrap(), [0.25]);
        assert_eq!(lsb("[0.0009765625, 1]").unwrap(), [0.000_976_562_5, 1.0]);
        assert!(lsb(r#"["a"]"#).is_err());
    }
}
