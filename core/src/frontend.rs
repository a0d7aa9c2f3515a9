//! The front-end: raw `i16` samples of one window to int8 features.

use crate::fixed::requantize::requantize_single;

/// Front-end of a parsed model. Shapes: a window is `[window_len][channels]`,
/// time outermost.
#[derive(Clone, Copy, Debug)]
pub struct Frontend<'a> {
    /// Frames a window.
    pub window_len: usize,
    /// Frames from one window's start to the next one's.
    pub hop: usize,
    /// Channels a frame.
    pub channels: usize,
    /// Subtract each channel's mean over the window.
    pub remove_mean: bool,
    /// Zero point of the features.
    pub zero_point: i8,
    pub(crate) offset: &'a [i32],
    pub(crate) multiplier: &'a [i32],
    pub(crate) shift: &'a [i8],
}

impl Frontend<'_> {
    /// Samples a window: `window_len * channels`.
    pub fn input_len(&self) -> usize {
        self.window_len * self.channels
    }

    /// Features of the window `older ++ newer` (the two halves of a ring; one may be empty).
    ///
    /// Channel by channel `q = zero_point + requantize(v - offset)`, clamped to
    /// int8, with `v = x`, or `v = window_len * x - sum(x)` where the mean is
    /// removed: the mean itself is never rounded. `requantize` rounds once, half
    /// up. Infallible; what is missing of the window leaves its features as
    /// they were.
    pub fn features(&self, older: &[i16], newer: &[i16], out: &mut [i8]) {
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
}
