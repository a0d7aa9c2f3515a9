//! The front-end: raw `i16` samples of one window to int8 features.
//!
//! ```text
//! samples ─► decimation ─► mean removed ─┬────────────────────────────► affine ─► int8
//!                                        └─► taper ─► FFT ─► log bands ─┘
//! ```

mod at_once;
#[cfg(feature = "spectrum")]
mod bands;
mod decimate;
#[cfg(feature = "spectrum")]
mod fft;
#[cfg(feature = "spectrum")]
mod sine;
#[cfg(feature = "spectrum")]
mod spectrum;

#[cfg(feature = "spectrum")]
pub use bands::Bands;
pub use decimate::Decimation;
#[cfg(feature = "spectrum")]
pub use spectrum::Spectrum;

use serde::{Deserialize, Serialize};

use crate::arena::align_up;
use crate::fixed::requantize::requantize_single;

/// Front-end of a parsed model. Shapes: a window is `[window_len][channels]`,
/// time outermost; features are `[steps][channels]`, or `[frames][bands][channels]`
/// of a spectrum.
#[derive(Clone, Copy, Debug)]
pub struct Frontend<'a> {
    /// Frames a window.
    pub window_len: usize,
    /// Frames from one window's start to the next one's.
    pub hop: usize,
    /// Channels a frame.
    pub channels: usize,
    /// Subtract each channel's mean over the window, or over each frame of the spectrum.
    pub remove_mean: bool,
    /// Zero point of the features.
    pub zero_point: i8,
    /// Filtered and thinned before anything else.
    pub decimation: Option<Decimation<'a>>,
    /// Features are the logarithms of bands instead of samples.
    #[cfg(feature = "spectrum")]
    pub spectrum: Option<Spectrum<'a>>,
    /// Subtracted, one a [group](Self::groups).
    pub offset: &'a [i32],
    /// Multiplied with, one a group.
    pub multiplier: &'a [i32],
    /// Its shift, one a group.
    pub shift: &'a [i8],
}

/// Offset, multiplier and shift of each group, in the blob's place.
#[cfg(feature = "recalibration")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalization<'n> {
    pub offset: &'n [i32],
    pub multiplier: &'n [i32],
    pub shift: &'n [i8],
}

/// What each frame of a spectrum is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Taper {
    /// Nothing.
    None,
    /// `(1 - cos(2 pi t / N)) / 2`.
    Hann,
}

/// One channel of a window in two pieces.
#[derive(Clone, Copy)]
struct Samples<'s> {
    older: &'s [i16],
    newer: &'s [i16],
    channel: usize,
    channels: usize,
}

/// Channels thinned at a time: their sums stay in registers.
const SIDE_BY_SIDE: usize = 4;

impl Samples<'_> {
    /// The sample at time `t`; 0 behind the end.
    #[inline]
    fn at(&self, t: usize) -> i32 {
        let index = t.wrapping_mul(self.channels).wrapping_add(self.channel);
        let sample = match index.checked_sub(self.older.len()) {
            None => self.older.get(index),
            Some(index) => self.newer.get(index),
        };
        sample.copied().unwrap_or(0).into()
    }

    /// Pairs `terms` with the samples from time `start` on, as far as there are any.
    #[inline]
    fn visit<T>(&self, start: usize, terms: &[T], mut pair: impl FnMut(&T, i32)) {
        let first = start.wrapping_mul(self.channels).wrapping_add(self.channel);
        let step = self.channels.max(1);
        let older = self.older.get(first..).unwrap_or(&[]);
        let within = older.len().div_ceil(step).min(terms.len());
        let (early, late) = terms.split_at(within);
        for (term, &x) in early.iter().zip(older.iter().step_by(step)) {
            pair(term, x.into());
        }
        let next = first.wrapping_add(within * step).wrapping_sub(self.older.len());
        let newer = if late.is_empty() { &[] } else { self.newer.get(next..).unwrap_or(&[]) };
        for (term, &x) in late.iter().zip(newer.iter().step_by(step)) {
            pair(term, x.into());
        }
    }
}

#[cfg(feature = "recalibration")]
impl<'n> Frontend<'n> {
    /// The same front-end with another normalization, where there is one.
    pub(crate) fn normalized(self, normalization: Option<Normalization<'n>>) -> Self {
        let Some(Normalization { offset, multiplier, shift }) = normalization else { return self };
        Self { offset, multiplier, shift, ..self }
    }
}

impl Frontend<'_> {
    /// Samples a window: `window_len * channels`.
    pub fn input_len(&self) -> usize {
        self.window_len * self.channels
    }

    /// Samples a channel that are left of a window after decimation.
    pub fn steps(&self) -> usize {
        self.decimation.map_or(self.window_len, |decimation| decimation.kept(self.window_len))
    }

    /// Features that share no normalization: channels, or bands times channels.
    pub fn groups(&self) -> usize {
        #[cfg(feature = "spectrum")]
        if let Some(spectrum) = &self.spectrum {
            return self.channels * spectrum.bands.len();
        }
        self.channels
    }

    /// Features a window.
    pub fn feature_len(&self) -> usize {
        #[cfg(feature = "spectrum")]
        if let Some(spectrum) = &self.spectrum {
            return self.groups() * spectrum.stack;
        }
        self.steps() * self.channels
    }

    /// Bytes of scratch that [`features`](Self::features) needs, 16-byte aligned.
    pub fn scratch_len(&self) -> usize {
        let series = if self.decimation.is_some() { align_up(2 * self.steps()) } else { 0 };
        #[cfg(feature = "spectrum")]
        if let Some(spectrum) = &self.spectrum {
            return series + 4 * spectrum.frame_len();
        }
        series
    }

    /// Features of the window `older ++ newer` (the two halves of a ring; one may be empty).
    ///
    /// Group by group `q = zero_point + requantize(v - offset)`, clamped to
    /// int8, with `v` as [`wide`](Self::wide) gives it; `requantize` rounds once, half
    /// up. Infallible; what is missing of the window leaves its features as
    /// they were, as does scratch that is too short.
    pub fn features(&self, older: &[i16], newer: &[i16], scratch: &mut [u8], out: &mut [i8]) {
        if self.is_plain() {
            self.plain(older, newer, out);
            return;
        }
        let zero_point = self.zero_point.into();
        self.visit(older, newer, scratch, |index, group, v| {
            let (Some(&offset), Some(&multiplier), Some(&shift), Some(q)) = (
                self.offset.get(group),
                self.multiplier.get(group),
                self.shift.get(group),
                out.get_mut(index),
            ) else {
                return;
            };
            let scaled = requantize_single(v.wrapping_sub(offset), multiplier, shift);
            *q = scaled.saturating_add(zero_point).clamp(-128, 127) as i8;
        });
    }

    /// Features before their normalization: samples (times [`steps`](Self::steps), less their sum,
    /// where the mean is removed), or logarithms of bands in Q16. What the host trains on.
    pub fn wide(&self, older: &[i16], newer: &[i16], scratch: &mut [u8], out: &mut [i32]) {
        self.visit(older, newer, scratch, |index, _, v| {
            if let Some(slot) = out.get_mut(index) {
                *slot = v;
            }
        });
    }

    /// Calls `feature(group, v)` for every feature before its normalization, as [`wide`](Self::wide) gives it.
    #[cfg(feature = "recalibration")]
    pub(crate) fn observe(
        &self,
        older: &[i16],
        newer: &[i16],
        scratch: &mut [u8],
        mut feature: impl FnMut(usize, i32),
    ) {
        self.visit(older, newer, scratch, |_, group, v| feature(group, v));
    }

    /// Whether channels are thinned [`SIDE_BY_SIDE`], read from a ring cut between frames.
    fn side_by_side(&self, older: &[i16]) -> bool {
        #[cfg(feature = "spectrum")]
        if self.spectrum.is_some() {
            return false;
        }
        let whole = older.len().checked_rem(self.channels) == Some(0);
        whole && !self.remove_mean && self.channels.is_multiple_of(SIDE_BY_SIDE)
    }

    /// Neither decimated nor a spectrum.
    fn is_plain(&self) -> bool {
        #[cfg(feature = "spectrum")]
        if self.spectrum.is_some() {
            return false;
        }
        self.decimation.is_none()
    }

    /// [`features`](Self::features) of samples as they are, read once.
    fn plain(&self, older: &[i16], newer: &[i16], out: &mut [i8]) {
        let channels = self.channels.max(1);
        let settings = self.offset.iter().zip(self.multiplier).zip(self.shift);
        for (channel, ((&offset, &multiplier), &shift)) in settings.enumerate() {
            let samples = || older.iter().chain(newer).skip(channel).step_by(channels);
            let (gain, sum) = if self.remove_mean {
                (self.window_len as i32, samples().fold(0i32, |sum, &x| sum.wrapping_add(x.into())))
            } else {
                (1, 0)
            };
            let base = sum.wrapping_add(offset);
            for (q, &x) in out.iter_mut().skip(channel).step_by(channels).zip(samples()) {
                let v = gain.wrapping_mul(x.into()).wrapping_sub(base);
                let scaled = requantize_single(v, multiplier, shift);
                *q = scaled.saturating_add(self.zero_point.into()).clamp(-128, 127) as i8;
            }
        }
    }

    /// Calls `feature(index, group, v)` for every feature.
    #[inline(never)]
    fn visit(
        &self,
        older: &[i16],
        newer: &[i16],
        scratch: &mut [u8],
        mut feature: impl FnMut(usize, usize, i32),
    ) {
        let steps = self.steps();
        if let Some(decimation) = &self.decimation
            && self.side_by_side(older)
        {
            for t in 0..steps {
                for channel in (0..self.channels).step_by(SIDE_BY_SIDE) {
                    let samples = Samples { older, newer, channel, channels: self.channels };
                    let Some(sums) = decimation.side_by_side::<SIDE_BY_SIDE>(&samples, t) else {
                        return;
                    };
                    for (channel, v) in (channel..).zip(sums) {
                        feature(t * self.channels + channel, channel, v);
                    }
                }
            }
            return;
        }
        let series_len = if self.decimation.is_some() { align_up(2 * steps) } else { 0 };
        let Some((series, buffer)) = scratch.split_at_mut_checked(series_len) else { return };
        let Ok(series) = bytemuck::try_cast_slice_mut::<u8, i16>(series) else { return };
        for channel in 0..self.channels {
            let raw = Samples { older, newer, channel, channels: self.channels };
            let samples = match &self.decimation {
                Some(decimation) => {
                    let Some(series) = series.get_mut(..steps) else { return };
                    decimation.run(&raw, series);
                    Samples { older: series, newer: &[], channel: 0, channels: 1 }
                }
                None => raw,
            };
            #[cfg(feature = "spectrum")]
            if let Some(spectrum) = &self.spectrum {
                let Some(buffer) = buffer.get_mut(..4 * spectrum.frame_len()) else { return };
                let Ok(buffer) = bytemuck::try_cast_slice_mut(buffer) else { return };
                for frame in 0..spectrum.stack {
                    let start = frame * spectrum.frame_hop;
                    spectrum.frame(&samples, start, self.remove_mean, buffer, |band, log2| {
                        let group = band * self.channels + channel;
                        feature(frame * self.groups() + group, group, log2);
                    });
                }
                continue;
            }
            let _ = &buffer;
            let sum = (0..steps).fold(0i32, |sum, t| sum.wrapping_add(samples.at(t)));
            let (gain, sum) = if self.remove_mean { (steps as i32, sum) } else { (1, 0) };
            for t in 0..steps {
                let v = gain.wrapping_mul(samples.at(t)).wrapping_sub(sum);
                feature(t * self.channels + channel, channel, v);
            }
        }
    }
}

#[cfg(all(test, feature = "spectrum"))]
mod tests;
