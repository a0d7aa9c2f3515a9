//! Whether a window's samples can be trusted at all.

/// What is wrong with the sensor: states that are not anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Health {
    /// Nothing.
    #[default]
    Good,
    /// The caller told of a gap; no whole window has come since.
    Missing,
    /// Too many samples lie outside of what calibration saw, with its margin.
    OutOfRange {
        /// The first such channel.
        channel: u16,
    },
    /// Too many samples lie at the converter's ends.
    Saturated {
        /// The first such channel.
        channel: u16,
    },
    /// A channel does not move at all over the window.
    Stuck {
        /// The first such channel.
        channel: u16,
    },
}

/// What is watched; the default watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthChecks<'a> {
    /// A channel that holds one value over a whole window is stuck.
    pub stuck: bool,
    /// The converter's ends, and how many samples a window and channel may lie there.
    pub rails: Option<(i16, i16, u16)>,
    /// Least and greatest sample of each channel.
    pub range: &'a [[i16; 2]],
    /// How many samples a window and channel may lie beyond that range.
    pub outside: u16,
}

/// Where the features of normal windows lie, on the int8 grid, one a group.
#[derive(Clone, Copy, Debug)]
pub struct NormalFeatures<'a> {
    /// Means, Q8.
    pub mean: &'a [i16],
    /// Deviations, Q8.
    pub deviation: &'a [u16],
}

impl HealthChecks<'_> {
    /// Looks at the raw window `older ++ newer`, `[window_len][channels]`; the first fault found.
    pub fn examine(&self, older: &[i16], newer: &[i16], channels: usize) -> Health {
        if !self.stuck && self.rails.is_none() && self.range.is_empty() {
            return Health::Good;
        }
        for channel in 0..channels {
            let samples = || older.iter().chain(newer).skip(channel).step_by(channels.max(1));
            let index = channel as u16;
            let count = |bad: &dyn Fn(i16) -> bool| samples().filter(|&&x| bad(x)).count();
            // A channel at a rail is stuck there as well: the rail says more.
            if let Some((low, high, most)) = self.rails
                && count(&|x| x <= low || x >= high) > usize::from(most)
            {
                return Health::Saturated { channel: index };
            }
            let first = samples().next();
            if self.stuck && samples().all(|x| Some(x) == first) {
                return Health::Stuck { channel: index };
            }
            if let Some(&[low, high]) = self.range.get(channel)
                && count(&|x| x < low || x > high) > usize::from(self.outside)
            {
                return Health::OutOfRange { channel: index };
            }
        }
        Health::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_named_with_its_channel() {
        let checks = HealthChecks {
            stuck: true,
            rails: Some((-100, 100, 1)),
            range: &[[-50, 50], [-20, 20]],
            outside: 1,
        };
        let examine = |window: &[i16]| {
            let whole = checks.examine(window, &[], 2);
            let (older, newer) = window.split_at(2);
            assert_eq!(checks.examine(older, newer, 2), whole);
            whole
        };
        assert_eq!(examine(&[1, 2, 3, 4, 5, 6]), Health::Good);
        assert_eq!(examine(&[1, 7, 3, 7, 5, 7]), Health::Stuck { channel: 1 });
        assert_eq!(examine(&[100, 1, 3, 2, 100, 3]), Health::Saturated { channel: 0 });
        assert_eq!(examine(&[100, 1, 100, 2, 100, 3]), Health::Saturated { channel: 0 });
        assert_eq!(examine(&[1, 21, 3, -21, 5, 0]), Health::OutOfRange { channel: 1 });
        assert_eq!(examine(&[1, 21, 3, -2, 5, 0]), Health::Good);
        assert_eq!(HealthChecks::default().examine(&[7; 6], &[], 2), Health::Good);
    }
}
