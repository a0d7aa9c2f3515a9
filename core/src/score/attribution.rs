//! Which channel or band carried a window's error.

use super::reconstruction_error::difference;

/// The group of features with the largest share of the squared error, each square
/// weighted by its feature's precision where the model has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attribution {
    /// The channel.
    pub channel: u16,
    /// The band of its spectrum; 0 where features are samples.
    pub band: u16,
    /// The group's part of the error.
    pub part: u64,
    /// The whole error, in the same unit.
    pub whole: u64,
}

impl Attribution {
    /// The group's share, in percent, rounded down; 0 of no error at all.
    pub fn percent(&self) -> u8 {
        // Bit by bit: no core here divides 64 bits, and the library's division is 900 bytes of every image.
        let shift = 7u32.saturating_sub(self.whole.leading_zeros());
        let (part, whole) = ((self.part >> shift) * 100, self.whole >> shift);
        let fits = |percent: u64| whole > 0 && percent <= 100 && percent * whole <= part;
        [64, 32, 16, 8, 4, 2, 1]
            .into_iter()
            .fold(0, |percent, bit| if fits(percent | bit) { percent | bit } else { percent })
            as u8
    }
}

/// Sums `p * (64 x - y)^2` by group: feature `i` belongs to group `i % groups`, and
/// group `g` to channel `g % channels`. Of equal groups the first. An empty
/// `precision` weighs all alike. Exact; infallible.
pub(crate) fn attribute<I: Iterator<Item = i16>>(
    features: &[i8],
    reconstruction: impl Fn() -> I,
    precision: &[u16],
    groups: usize,
    channels: usize,
) -> Attribution {
    let (groups, channels) = (groups.max(1), channels.max(1));
    let mut largest = Attribution { channel: 0, band: 0, part: 0, whole: 0 };
    for group in 0..groups {
        let pairs = features.iter().zip(reconstruction()).enumerate();
        let part = pairs.skip(group).step_by(groups).fold(0u64, |sum, (i, (&x, y))| {
            let weight = precision.get(i).copied().unwrap_or(1);
            sum.wrapping_add(u64::from(difference(x, y)) * u64::from(weight))
        });
        largest.whole = largest.whole.wrapping_add(part);
        if part > largest.part {
            largest.part = part;
            // Below 2^16: the gate bounds the features.
            (largest.channel, largest.band) =
                ((group % channels) as u16, (group / channels) as u16);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_share_wins() {
        // Two frames of two bands of two channels; band 1 of channel 0 is off by 2 and 1 units.
        let features = [1, 2, 3, 4, 1, 2, 3, 4];
        let y = [64, 128, 64, 256, 64, 128, 128, 250];
        let found = attribute(&features, || y.iter().copied(), &[], 4, 2);
        assert_eq!((found.channel, found.band), (0, 1));
        assert_eq!((found.part, found.whole), (128 * 128 + 64 * 64, 128 * 128 + 64 * 64 + 36));
        assert_eq!(found.percent(), 99);
        let precision = [1, 1, 1, 1, 1, 1, 1, 60_000];
        let found = attribute(&features, || y.iter().copied(), &precision, 4, 2);
        assert_eq!((found.channel, found.band), (1, 1));
        assert_eq!(attribute(&[1], || [64].into_iter(), &[], 1, 1).percent(), 0);
    }

    #[test]
    fn percents_are_rounded_down_whatever_the_unit() {
        let percent = |part, whole| Attribution { channel: 0, band: 0, part, whole }.percent();
        for whole in [1, 3, 150, 10_007, u64::MAX / 128, u64::MAX / 128 + 1, u64::MAX] {
            for part in [0, 1, whole / 3, whole / 2, whole - 1, whole] {
                let exact = u128::from(part) * 100 / u128::from(whole);
                let found = percent(part, whole);
                // Beyond 57 bits the last ones are left out.
                assert!(
                    u128::from(found) == exact
                        || whole >> 57 > 0 && found.abs_diff(exact as u8) <= 1
                );
            }
        }
        assert_eq!((percent(0, 0), percent(150, 150), percent(u64::MAX, u64::MAX)), (0, 100, 100));
    }
}
