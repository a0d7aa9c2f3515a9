//! Mean and deviation of the features of each group, and the normalization that follows.

use bytemuck::{Pod, Zeroable};

use crate::fixed::wide_division::{divide, square_root};

/// Exact sums of a group's features before their normalization: nothing drifts, however many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Moments {
    /// Sum; below 2^62, since at most 2^31 numbers of 32 bits are in it.
    pub sum: i64,
    /// Sum of squares, low word first; below 2^93.
    pub squares: [u64; 2],
}

/// Numbers a group at which all sums are halved.
const MOST: u64 = 1 << 31;

impl Moments {
    /// Takes a feature.
    pub fn add(&mut self, v: i32) {
        self.sum = self.sum.wrapping_add(v.into());
        let square = u128::from(v.unsigned_abs()) * u128::from(v.unsigned_abs());
        self.set_squares(self.squares().wrapping_add(square));
    }

    /// Whether so many features can have given these sums; others could overflow later.
    pub fn is_bounded(&self) -> bool {
        self.sum.unsigned_abs() <= 1 << 62 && self.squares() <= 1 << 93
    }

    /// Halves the sums where `count` features a group are at the limit; gives the count left.
    pub fn bound(moments: &mut [Self], count: u64) -> u64 {
        if count < MOST {
            return count;
        }
        for moments in moments {
            moments.sum >>= 1;
            moments.set_squares(moments.squares() >> 1);
        }
        count >> 1
    }

    fn squares(&self) -> u128 {
        u128::from(self.squares[0]) | (u128::from(self.squares[1]) << 64)
    }

    fn set_squares(&mut self, squares: u128) {
        self.squares = [squares as u64, (squares >> 64) as u64];
    }

    /// The mean, rounded half up.
    pub fn mean(&self, count: u64) -> i32 {
        let (sum, count) = (i128::from(self.sum), i128::from(count.max(1)));
        // floor((2 sum + n) / 2n), of a number made positive by whole turns of n.
        let turns = count << 32;
        let shifted = 2 * (sum + turns) + count;
        let floor = divide(shifted.max(0) as u128, 2 * count as u128);
        (i128::from(floor) - (1 << 32)) as i32
    }

    /// The deviation in Q16, rounded down: the root of `n * squares - sum^2`, over n.
    pub fn deviation_q16(&self, count: u64) -> u64 {
        let n = u128::from(count.clamp(1, MOST));
        let sum = u128::from(self.sum.unsigned_abs());
        let spread = (n * self.squares()).saturating_sub(sum * sum);
        // As many fraction bits of the root as there is room for, two bits of the square each.
        let bits = (spread.leading_zeros() / 2).min(16);
        divide(u128::from(square_root(spread << (2 * bits))) << (16 - bits), n)
    }

    /// The normalization that gives features of these moments the mean and deviation of `normal`:
    /// `q - zero_point = M * (v - offset)` with `M = normal deviation / deviation`, and `offset`
    /// within `bound`.
    ///
    /// The gain `M` stays within 16 times of the blob's own, either way: a channel that
    /// happened to rest is not blown up to noise. Without a deviation, here or there, it is the blob's.
    pub fn normalization(
        &self,
        count: u64,
        normal: Normal,
        own: Scale,
        bound: i32,
    ) -> (i32, Scale) {
        let deviation = self.deviation_q16(count);
        let scale = if deviation == 0 || normal.deviation_q8 == 0 {
            own
        } else {
            // M in Q48: the deviations are in Q8 and Q16.
            let gain = divide(u128::from(normal.deviation_q8) << 56, deviation.into());
            Scale::of_q48(gain).within(own)
        };
        let offset = i64::from(self.mean(count)).saturating_sub(scale.undo_q8(normal.mean_q8));
        (offset.clamp((-bound).into(), bound.into()) as i32, scale)
    }
}

/// Where the features of a group lie in normal windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normal {
    /// Their mean less the zero point, on the int8 grid, Q8.
    pub mean_q8: i32,
    /// Their deviation on the int8 grid, Q8.
    pub deviation_q8: u16,
}

/// A positive real factor as `requantize` takes it: `multiplier * 2^(shift - 31)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// In `[2^30, 2^31)`, or 0.
    pub multiplier: i32,
    /// `-31..=15`.
    pub shift: i8,
}

impl Scale {
    /// The factor nearest `gain / 2^48`; the least or greatest there is where that is out of range.
    fn of_q48(gain: u64) -> Self {
        let bits = i32::try_from(u64::BITS - gain.leading_zeros()).unwrap_or(0);
        let (mut multiplier, mut shift) = match bits - 31 {
            down @ 1.. => (((gain >> (down - 1)) + 1) >> 1, bits - 48),
            up => (gain << up.unsigned_abs(), bits - 48),
        };
        if multiplier == 1 << 31 {
            (multiplier, shift) = (1 << 30, shift + 1);
        }
        if shift < -31 || multiplier == 0 {
            return Self { multiplier: 1 << 30, shift: -31 };
        }
        if shift > 15 {
            return Self { multiplier: i32::MAX, shift: 15 };
        }
        Self { multiplier: multiplier as i32, shift: shift as i8 }
    }

    /// The nearest factor that is at most 16 times `own`, and at least a 16th of it.
    fn within(self, own: Self) -> Self {
        if own.multiplier == 0 {
            return own;
        }
        let order = |scale: Self| (scale.shift, scale.multiplier);
        let bound = |by: i8| Self { shift: own.shift.saturating_add(by).clamp(-31, 15), ..own };
        let (least, most) = (bound(-4), bound(4));
        if order(self) < order(least) {
            least
        } else if order(self) > order(most) {
            most
        } else {
            self
        }
    }

    /// `lag / 2^8` divided by the factor, towards zero, saturated to 32 bits.
    fn undo_q8(self, lag: i32) -> i64 {
        if self.multiplier <= 0 {
            return 0;
        }
        // 1 / factor = 2^(31 - shift) / multiplier.
        let up = (31 - 8 - i32::from(self.shift)).clamp(8, 54);
        let wide = u128::from(lag.unsigned_abs()) << up;
        let size = divide(wide, self.multiplier.unsigned_abs().into()).min(i32::MAX as u64) as i64;
        if lag < 0 { -size } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn real(scale: Scale) -> f64 {
        f64::from(scale.multiplier) * f64::from(i32::from(scale.shift) - 31).exp2()
    }

    fn noise(seed: u64, count: usize, center: f64, half: f64) -> Vec<i32> {
        let mut state = seed;
        let draw = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (center + half * ((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)) as i32
        };
        (0..count).map(draw).collect()
    }

    fn moments(features: &[i32]) -> Moments {
        let mut moments = Moments::default();
        features.iter().for_each(|&v| moments.add(v));
        moments
    }

    #[test]
    fn mean_and_deviation_are_those_of_floats() {
        for (seed, center, half) in
            [(1, 0.0, 3.0), (2, -900.0, 30.0), (3, 1e9, 1e9), (4, -2e9, 1e8), (5, 77.0, 0.0)]
        {
            let features = noise(seed, 5_000, center, half);
            let (count, found) = (features.len() as u64, moments(&features));
            let mean = features.iter().map(|&v| f64::from(v)).sum::<f64>() / 5_000.0;
            let square =
                features.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 5_000.0;
            assert!((f64::from(found.mean(count)) - mean).abs() <= 0.5 + 1e-6, "{mean}");
            let deviation = found.deviation_q16(count) as f64 / 65_536.0;
            assert!((deviation - square.sqrt()).abs() <= 1e-4 + 1e-6 * deviation, "{deviation}");
        }
    }

    #[test]
    fn the_normalization_restores_the_normal_moments() {
        let own = Scale { multiplier: 1 << 30, shift: -9 };
        let normal = Normal { mean_q8: -700, deviation_q8: 2_900 };
        let features = noise(9, 4_000, 1_234.0, 4_000.0);
        let count = features.len() as u64;
        let (offset, scale) = moments(&features).normalization(count, normal, own, i32::MAX);
        let grid: Vec<f64> =
            features.iter().map(|&v| real(scale) * f64::from(v - offset)).collect();
        let mean = grid.iter().sum::<f64>() / 4_000.0;
        let deviation = (grid.iter().map(|q| (q - mean).powi(2)).sum::<f64>() / 4_000.0).sqrt();
        assert!((mean + 700.0 / 256.0).abs() < 0.01, "{mean}");
        assert!((deviation - 2_900.0 / 256.0).abs() < 0.001, "{deviation}");
    }

    #[test]
    fn gains_stay_near_the_blobs_own_and_offsets_within_bounds() {
        let own = Scale { multiplier: 3 << 29, shift: -9 };
        let normal = Normal { mean_q8: 0, deviation_q8: 2_560 };
        let still = moments(&noise(1, 400, 50.0, 1.0));
        let (_, scale) = still.normalization(400, normal, own, i32::MAX);
        assert_eq!(scale, Scale { shift: -5, ..own }, "16 times, not 10,000");
        let loud = moments(&noise(1, 400, 0.0, 1e9));
        assert_eq!(loud.normalization(400, normal, own, i32::MAX).1, Scale { shift: -13, ..own });
        let constant = moments(&[70; 400]);
        assert_eq!(constant.normalization(400, normal, own, i32::MAX), (70, own));
        assert_eq!(constant.normalization(400, normal, own, 60), (60, own));
        let unused = Scale { multiplier: 0, shift: 0 };
        assert_eq!(loud.normalization(400, normal, unused, i32::MAX).1, unused);
    }

    #[test]
    fn factors_cover_their_range() {
        for exponent in 0..64 {
            for mantissa in [1.0, 1.37, 1.999_999_99] {
                let gain = (2f64.powi(exponent) * mantissa).min(1.8e19) as u64;
                let wanted = gain as f64 / 48f64.exp2();
                let scale = Scale::of_q48(gain);
                let range = 2f64.powi(-32)..2f64.powi(15) * 0.999_999;
                if range.contains(&wanted) {
                    assert!((real(scale) / wanted - 1.0).abs() < 1e-9, "{wanted} {scale:?}");
                }
                assert!(scale.multiplier >= 1 << 30 && (-31..=15).contains(&scale.shift));
            }
        }
        assert_eq!(Scale::of_q48(0), Scale { multiplier: 1 << 30, shift: -31 });
    }

    #[test]
    fn halved_sums_keep_mean_and_deviation() {
        let features = noise(4, 1_000, 3e8, 2e8);
        let whole = moments(&features);
        let mut many = whole;
        let mut count = 1_000u64;
        // Doubled until the limit, as by 2^31 features.
        while count < MOST {
            many.sum *= 2;
            many.set_squares(many.squares() * 2);
            count *= 2;
        }
        let halved = &mut [many];
        let left = Moments::bound(halved, count);
        assert!(left == count / 2 && Moments::bound(halved, left) == left);
        let [many] = *halved;
        assert_eq!(many.mean(left), whole.mean(1_000));
        let (now, before) = (many.deviation_q16(left), whole.deviation_q16(1_000));
        assert!(now.abs_diff(before) <= 2 + before / 1_000_000_000, "{now} {before}");
    }
}
