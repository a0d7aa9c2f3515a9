//! From a frame of samples to the logarithms of its bands' powers.

use super::bands::Bands;
use super::fft::{self, Complex, FRAME_BITS};
use super::sine::{TURN, cos_sin};
use super::{Samples, Taper};
use crate::fixed::log2::log2_q16;

/// Settings of the spectrum; `docs/numerics.md`, section 3, defines every step.
#[derive(Clone, Copy, Debug)]
pub struct Spectrum<'a> {
    /// log2 of the samples a frame, 6 to 11.
    pub log2_len: u32,
    /// Frames a window.
    pub stack: usize,
    /// Samples from one frame's start to the next one's.
    pub frame_hop: usize,
    /// What each frame is multiplied by.
    pub taper: Taper,
    /// How bins become bands.
    pub bands: Bands<'a>,
    /// Least logarithm, Q16.
    pub floor: i32,
}

impl Spectrum<'_> {
    /// Samples a frame.
    pub fn frame_len(&self) -> usize {
        1 << self.log2_len.min(11)
    }

    /// Samples a window, after decimation.
    pub fn window_len(&self) -> usize {
        self.stack.saturating_sub(1).saturating_mul(self.frame_hop).saturating_add(self.frame_len())
    }

    /// Calls `band(index, log2 of its power in Q16)` for every band of the frame that starts at `start`.
    pub(super) fn frame(
        &self,
        samples: &Samples<'_>,
        start: usize,
        remove_mean: bool,
        buffer: &mut [Complex],
        mut band: impl FnMut(usize, i32),
    ) {
        let gain = if remove_mean { self.log2_len } else { 0 };
        let scale = self.load(samples, start, gain, buffer);
        fft::powers(buffer);
        // Powers are four times the frame's, which was scaled by 2^scale.
        let unit = (scale + 1) << 17;
        let bin = |k: usize| buffer.get(k).map_or(0, |&slot| fft::load(slot));
        self.bands.gather(bin, |index, power| {
            let log2 = if power == 0 { self.floor } else { log2_q16(power) - unit };
            band(index, log2.max(self.floor));
        });
    }

    /// Fills the buffer with the tapered frame, times `2^scale`; returns `scale`.
    #[inline(never)]
    fn load(&self, samples: &Samples<'_>, start: usize, gain: u32, frame: &mut [Complex]) -> i32 {
        let (mut sum, mut least, mut greatest) = (0i32, i32::MAX, i32::MIN);
        for (i, pair) in frame.iter_mut().enumerate() {
            let at = start.wrapping_add(2 * i);
            *pair = [samples.at(at), samples.at(at.wrapping_add(1))];
            for &x in &*pair {
                sum = sum.wrapping_add(x);
                (least, greatest) = (least.min(x), greatest.max(x));
            }
        }
        let mean = if gain == 0 { 0 } else { sum };
        let centered = |x: i32| (x << gain).wrapping_sub(mean);
        let reach = centered(least).unsigned_abs().max(centered(greatest).unsigned_abs());
        let bits = u32::BITS - reach.leading_zeros();
        let (left, right) = (FRAME_BITS.saturating_sub(bits), bits.saturating_sub(FRAME_BITS));
        let half = (1 << right) >> 1;
        let step = TURN >> self.log2_len.min(11);
        for (i, pair) in frame.iter_mut().enumerate() {
            for (x, t) in pair.iter_mut().zip([2 * i, 2 * i + 1]) {
                let value = (centered(*x).wrapping_add(half) >> right) << left;
                *x = match self.taper {
                    Taper::None => value,
                    Taper::Hann => fft::scale_q15(value, hann_q15(t * step)),
                };
            }
        }
        left as i32 - right as i32 + gain as i32
    }
}

/// `(1 - cos) / 2` of `step / TURN` of a turn, Q15, rounded half up.
#[inline]
fn hann_q15(step: usize) -> i32 {
    ((1 << 15) - cos_sin(step).0 + 1) >> 1
}
