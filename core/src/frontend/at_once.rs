//! The front-end of a whole window in memory, for hosts.

use super::Frontend;

impl Frontend<'_> {
    /// [`features`](Self::features) of a window in one piece: loops that vectorize where samples of one channel
    /// are features as they are. The same result.
    #[inline(always)]
    pub(crate) fn features_at_once(&self, window: &[i16], scratch: &mut [u8], out: &mut [i8]) {
        let (true, [offset], [multiplier], [shift]) =
            (self.is_plain(), self.offset, self.multiplier, self.shift)
        else {
            return self.features(window, &[], scratch, out);
        };
        // The product's low word has no part in it where at least 33 bits are shifted out.
        let Some(right @ 1..) = (-1i32).checked_sub((*shift).into()) else {
            return self.features(window, &[], scratch, out);
        };
        let (gain, sum) = match self.remove_mean {
            true => {
                let sum = window.iter().fold(0i32, |sum, &x| sum.wrapping_add(x.into()));
                (self.window_len as i32, sum)
            }
            false => (1, 0),
        };
        let (base, multiplier) = (sum.wrapping_add(*offset), i64::from(*multiplier));
        let (zero_point, right) = (i32::from(self.zero_point), right as u32 & 31);
        let half = 1i32 << (right - 1);
        for (q, &x) in out.iter_mut().zip(window) {
            let v = gain.wrapping_mul(x.into()).wrapping_sub(base);
            let high = ((i64::from(v) * multiplier) >> 32) as i32;
            let scaled = high.wrapping_add(half) >> right;
            // At most 2^30, so the sum stays in 32 bits.
            *q = scaled.wrapping_add(zero_point).clamp(-128, 127) as i8;
        }
    }
}
