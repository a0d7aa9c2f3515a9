//! Decimation: an anti-alias filter, evaluated only where a sample is kept.

use super::Samples;

/// A finite impulse response and the samples it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Decimation<'a> {
    /// One of so many samples is kept.
    pub factor: usize,
    /// The filter's taps, Q15; their magnitudes sum to at most 65,535.
    pub taps: &'a [i16],
}

impl Decimation<'_> {
    /// Samples kept of `len`: those whose taps all lie within.
    pub fn kept(&self, len: usize) -> usize {
        let spare = len.checked_sub(self.taps.len());
        spare.and_then(|spare| spare.checked_div(self.factor)).map_or(0, |kept| kept + 1)
    }

    /// `y[t] = sat_16((sum(c[k] * x[t * factor + k]) + 2^14) >> 15)`.
    #[inline(never)]
    pub(super) fn run(&self, samples: &Samples<'_>, out: &mut [i16]) {
        for (t, y) in out.iter_mut().enumerate() {
            let mut sum = 1i32 << 14;
            samples.visit(t * self.factor, self.taps, |&c, x| {
                sum = sum.wrapping_add(i32::from(c).wrapping_mul(x));
            });
            *y = crate::fixed::requantize::saturate_i16(sum >> 15);
        }
    }

    /// The same for `N` neighbouring channels, from `channel` on, at one time: a frame's samples lie side by
    /// side, so each tap is read once for all of them. The older half of the ring holds whole frames; `None` where
    /// there are fewer channels.
    #[inline]
    pub(super) fn side_by_side<const N: usize>(
        &self,
        samples: &Samples<'_>,
        t: usize,
    ) -> Option<[i32; N]> {
        let channels = samples.channels.max(1);
        let whole = samples.older.len() / channels;
        let start = t * self.factor;
        let within = whole.saturating_sub(start).min(self.taps.len());
        let (early, late) = self.taps.split_at_checked(within)?;
        let mut sums = [1i32 << 14; N];
        let mut add = |taps: &[i16], frames: &[i16]| -> Option<()> {
            for (&tap, frame) in taps.iter().zip(frames.chunks_exact(channels)) {
                let samples = frame.get(samples.channel..)?.first_chunk::<N>()?;
                for (sum, &x) in sums.iter_mut().zip(samples) {
                    *sum = sum.wrapping_add(i32::from(tap).wrapping_mul(x.into()));
                }
            }
            Some(())
        };
        add(early, samples.older.get(start * channels..).unwrap_or(&[]))?;
        add(late, samples.newer.get(start.saturating_sub(whole) * channels..).unwrap_or(&[]))?;
        Some(sums.map(|sum| crate::fixed::requantize::saturate_i16(sum >> 15).into()))
    }
}
