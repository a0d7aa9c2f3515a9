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
}
