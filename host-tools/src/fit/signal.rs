//! What the normal recordings are like: enough to choose windows and front-ends.

use super::clips::Clips;
use super::period::{PERIODIC, period, rhythm};

/// What is known of the signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Values a frame.
    pub channels: usize,
    /// Frames a second, where known.
    pub frames_per_second: Option<f64>,
    /// Whether the signal swings about a level that itself says nothing, such as a vibration.
    pub swings: bool,
    /// Frames of the strongest period, where there is one.
    pub period: Option<usize>,
    /// Channels that never move.
    pub constant: Vec<usize>,
    /// Channels of a few values beside others that measure: commands and states, which are context.
    pub states: Vec<usize>,
    /// Channels whose level goes on moving away, so that nothing can be calibrated by it.
    pub wandering: Vec<usize>,
    /// Standard deviation of each channel.
    pub deviation: Vec<f32>,
    /// Mean of each channel.
    pub mean: Vec<f32>,
}

/// Frames looked at.
const FRAMES: usize = 20_000;
/// Frames of the stretches whose means are compared.
const STRETCH: usize = 64;
/// A level that moves by less than this share of the swing says nothing.
const LEVEL: f64 = 0.3;
/// Frames a second from which a signal is taken to be a vibration or a sound.
const FAST_HZ: f64 = 20.0;
/// A level that ends so many deviations of its first part away from there wanders.
const WANDERS: f64 = 1.2;
/// Different values from which a channel measures instead of telling states apart.
const CONTINUOUS: usize = 16;
/// Values up to which a channel tells states apart, such as a command that is given or not.
const STATES: usize = 3;
/// Of a fast signal with a period, a level that moves by less than so many swings is a baseline that wanders.
const BASELINE: f64 = 2.0;
/// Longest period by which a signal at an unknown rate is taken to be fast.
const SHORT: usize = 64;
/// So many windows long are the recordings at least.
const SHARE: usize = 40;

impl Signal {
    pub(super) fn of(clips: &Clips, frames_per_second: Option<f64>) -> Self {
        let channels = clips.channels;
        let mut left = FRAMES;
        let sampled: Vec<&[f32]> = clips
            .clips
            .iter()
            .map(|clip| {
                let frames = clip.frames.min(left);
                left -= frames;
                &clip.samples[..frames * channels]
            })
            .filter(|samples| !samples.is_empty())
            .collect();
        let mut signal = Self {
            channels,
            frames_per_second,
            swings: false,
            period: None,
            constant: Vec::new(),
            states: Vec::new(),
            wandering: Vec::new(),
            deviation: Vec::new(),
            mean: Vec::new(),
        };
        let mut integer = true;
        let mut measured = Vec::new();
        let mut best = PERIODIC;
        let (mut shifts, mut continuous, mut short) = (Vec::new(), 0, 0);
        for channel in 0..channels {
            let of = |clip: &[f32]| -> Vec<f64> {
                clip.iter().skip(channel).step_by(channels).map(|x| f64::from(*x)).collect()
            };
            // All of a channel for its extent, the first frames for the rest.
            let (mut count, mut sum, mut squares, mut first) = (0usize, 0.0, 0.0, None);
            for x in clips.clips.iter().flat_map(|clip| of(&clip.samples)) {
                let x = x - *first.get_or_insert(x);
                (count, sum, squares) = (count + 1, sum + x, squares + x * x);
            }
            let mean = sum / count.max(1) as f64;
            let variance = (squares / count.max(1) as f64 - mean * mean).max(0.0);
            signal.mean.push((mean + first.unwrap_or(0.0)) as f32);
            signal.deviation.push(variance.sqrt() as f32);
            if variance.sqrt() <= 1e-6 * (mean + first.unwrap_or(0.0)).abs().max(1e-12) {
                signal.constant.push(channel);
                continue;
            }
            let series: Vec<Vec<f64>> = sampled.iter().map(|clip| of(clip)).collect();
            integer &= series.iter().flatten().all(|x| x.fract() == 0.0 && x.abs() <= 32_768.0);
            if is_state(&series) {
                signal.states.push(channel);
                continue;
            }
            let found = period(&series);
            if let Some((period, strength)) = found
                && strength > best
            {
                (signal.period, best) = (Some(period), strength);
            }
            let periodic = found.filter(|(_, strength)| *strength > PERIODIC);
            if is_continuous(&series) {
                continuous += 1;
                short += usize::from(periodic.is_some_and(|(period, _)| period <= SHORT));
                let whole: Vec<Vec<f64>> = match clips.rows {
                    // Many clips are one stretch of time.
                    Some(_) => vec![clips.clips.iter().flat_map(|c| of(&c.samples)).collect()],
                    None => clips.clips.iter().map(|clip| of(&clip.samples)).collect(),
                };
                shifts.extend(shift(&whole).map(|shift| (channel, shift)));
            }
            measured.push(series);
        }
        if signal.states.len() + signal.constant.len() == channels {
            // Nothing measures: the states are all there is.
            signal.states.clear();
        }
        // Whole numbers at an unknown rate are a converter's counts.
        let known = frames_per_second.map_or(integer && !measured.is_empty(), |hz| hz >= FAST_HZ);
        if known && signal.period.is_none() {
            // Beats that come a little early or late.
            let beats = measured.iter().filter_map(|series| rhythm(series));
            let strongest = beats.max_by(|a, b| a.1.total_cmp(&b.1));
            signal.period = strongest.map(|(period, _)| period);
        }
        // The level is what stays when a period is over: of all channels, as they hang together.
        let stretch = signal.period.map_or(STRETCH, |period| STRETCH.max(2 * period));
        let mut levels: Vec<f64> =
            measured.iter().filter_map(|series| level_over_swing(series, stretch)).collect();
        levels.sort_by(f64::total_cmp);
        let level = levels.get(levels.len() / 2).copied().unwrap_or(f64::MAX);
        // At an unknown rate what turns back within few frames is a vibration.
        let fast = known || (frames_per_second.is_none() && 2 * short > continuous);
        let most = if signal.period.is_some() && known { BASELINE } else { LEVEL };
        signal.swings = fast && level < most;
        if !signal.swings {
            shifts.retain(|(_, shift)| *shift > WANDERS);
            shifts.sort_by(|a, b| b.1.total_cmp(&a.1));
            // Most of what measures must stay.
            signal.wandering = shifts.iter().take(continuous / 3).map(|(c, _)| *c).collect();
        }
        signal
    }

    /// Whether a channel is listened to.
    pub fn measures(&self, channel: usize) -> bool {
        !self.constant.contains(&channel) && !self.wandering.contains(&channel)
    }

    /// Channels that faults are put into.
    pub(super) fn faulty_channels(&self) -> Vec<usize> {
        (0..self.channels).filter(|c| self.measures(*c) && !self.states.contains(c)).collect()
    }

    /// Frames a window where nobody said.
    pub(super) fn window(&self, frames: usize) -> usize {
        let wanted = match (self.swings, self.period) {
            (true, Some(period)) => (8 * period).clamp(128, 512).next_power_of_two(),
            (true, None) => 256,
            (false, Some(period)) => (2 * period).clamp(16, 64),
            (false, None) => 32,
        };
        // A window of features that a network of this kind of size can read, and enough windows.
        let most = (2_048 / self.channels.max(1)).min(frames / SHARE).max(super::LEAST_WINDOW);
        let window = wanted.min(most);
        // Means of a half, a quarter, a sixteenth of it have to come out even.
        if self.swings || window < 16 { window } else { window / 16 * 16 }
    }

    /// Frames from window to window where nobody said.
    pub(super) fn hop(&self, window: usize) -> usize {
        (if self.swings { window / 2 } else { window / 8 }).max(1)
    }
}

/// Deviation of the stretches' means over the mean deviation within them.
fn level_over_swing(series: &[Vec<f64>], len: usize) -> Option<f64> {
    let (mut means, mut swing) = (Vec::new(), 0.0);
    for stretch in series.iter().flat_map(|clip| clip.chunks(len)) {
        if stretch.len() < len / 2 {
            continue;
        }
        let mean = stretch.iter().sum::<f64>() / stretch.len() as f64;
        let variance = stretch.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        swing += (variance / stretch.len() as f64).sqrt();
        means.push(mean);
    }
    if means.len() < 3 || swing <= 0.0 {
        return None;
    }
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / count;
    Some(variance.sqrt() / (swing / count))
}

/// Whether a channel takes many values.
fn is_continuous(series: &[Vec<f64>]) -> bool {
    takes_more_than(CONTINUOUS, series)
}

/// Whether a channel takes very few.
fn is_state(series: &[Vec<f64>]) -> bool {
    !takes_more_than(STATES, series)
}

fn takes_more_than(count: usize, series: &[Vec<f64>]) -> bool {
    let mut values = std::collections::BTreeSet::new();
    series.iter().flatten().any(|x| {
        values.insert(x.to_bits());
        values.len() > count
    })
}

/// How far the level of the last quarter lies from that of the first 60 %, in deviations of these: the
/// median over the clips. So the parts that train and that calibrate will see it.
fn shift(clips: &[Vec<f64>]) -> Option<f64> {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let mut shifts: Vec<f64> = clips
        .iter()
        .filter(|clip| clip.len() >= STRETCH)
        .map(|clip| {
            let (first, last) = (&clip[..clip.len() * 6 / 10], &clip[clip.len() * 3 / 4..]);
            let level = mean(first);
            let variance = first.iter().map(|x| (x - level).powi(2)).sum::<f64>();
            let deviation = (variance / first.len() as f64).sqrt();
            (mean(last) - level).abs() / deviation.max(f64::MIN_POSITIVE)
        })
        .collect();
    shifts.sort_by(f64::total_cmp);
    shifts.get(shifts.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Recording;

    fn signal(rate: Option<f64>, value: impl Fn(usize) -> f32) -> Signal {
        let samples = (0..4_000).flat_map(|i| [value(i), 7.0]).collect();
        let recording = Recording::from_samples("a", vec![4_000, 2], samples).unwrap();
        Signal::of(&Clips::new(vec![recording], None, None).unwrap(), rate)
    }

    #[test]
    fn a_vibration_swings_and_a_temperature_does_not() {
        let sine = |i: usize| (1000.0 * (i as f32 * 0.628_318_5).sin()).round();
        let vibration = signal(None, sine);
        assert!(vibration.swings, "{vibration:?}");
        assert_eq!((vibration.period, &vibration.constant[..]), (Some(10), &[1][..]));
        assert_eq!(vibration.window(100_000), 128);
        // The same numbers once a minute are no vibration.
        assert!(!signal(Some(1.0 / 60.0), sine).swings);
        let drift = signal(Some(200.0), |i| 20.0 + i as f32 * 0.01);
        assert!(!drift.swings && drift.period.is_none(), "{drift:?}");
        assert_eq!(signal(Some(1.0), |_| 3.0).constant, [0, 1]);
    }

    #[test]
    fn a_heartbeat_swings_though_its_baseline_wanders() {
        let beat = |i: usize| {
            let phase = (i % 290) as f32 - 100.0;
            let wander = 60.0 * (i as f32 / 900.0).sin();
            (1024.0 + wander + 220.0 * (-(phase / 12.0).powi(2)).exp()).round()
        };
        let lead = signal(Some(360.0), beat);
        assert!(lead.swings, "{lead:?}");
        assert_eq!(lead.window(100_000), 512);
        // Once a second that is a process, whose level counts.
        assert!(!signal(Some(1.0), beat).swings);
    }

    #[test]
    fn a_heart_that_does_not_keep_time_swings_too() {
        // Beats 9 % early or late, on a baseline that wanders as far as they reach.
        let mut beats = vec![100.0f32];
        while let Some(last) = beats.last().copied().filter(|last| *last < 20_000.0) {
            let late = ((beats.len() * 7_919) % 101) as f32 / 100.0 - 0.5;
            beats.push(last + 290.0 * (1.0 + 0.18 * late));
        }
        let lead = |i: usize| {
            let t = i as f32;
            let peak = |beat: &f32| (-((t - beat) / 5.0).powi(2)).exp();
            let wander = 60.0 * (t / 900.0).sin() + 40.0 * (t / 310.0).sin();
            (1024.0 + wander + 220.0 * beats.iter().map(peak).sum::<f32>()).round()
        };
        let samples: Vec<f32> = (0..20_000).map(lead).collect();
        let recording = Recording::from_samples("a", vec![20_000, 1], samples).unwrap();
        let signal = Signal::of(&Clips::new(vec![recording], None, None).unwrap(), Some(360.0));
        assert!(signal.swings, "{signal:?}");
        assert!(signal.period.is_some_and(|period| (265..315).contains(&period)), "{signal:?}");
    }

    #[test]
    fn a_vibration_is_known_without_counts_and_rate() {
        let vibration = signal(None, |i| 9.81 + 0.03 * (i as f32 * 0.7).sin());
        assert!(vibration.swings, "{vibration:?}");
        // What turns back slowly, or not at all, is no vibration.
        assert!(!signal(None, |i| 9.81 + 0.03 * (i as f32 * 0.03).sin()).swings);
        assert!(!signal(None, |i| ((i * i * 31 + 7 * i) % 1_009) as f32 / 100.0).swings);
    }

    #[test]
    fn commands_are_told_from_what_measures() {
        let telemetry = |commands_only: bool| {
            let samples = (0..3_000).flat_map(|i: usize| {
                let command = f32::from(u8::from(i.is_multiple_of(37)));
                let measured = if commands_only { -1.0 } else { (i as f32 * 0.05).sin() };
                [measured, command, 0.0]
            });
            let recording =
                Recording::from_samples("a", vec![3_000, 3], samples.collect()).unwrap();
            Signal::of(&Clips::new(vec![recording], None, None).unwrap(), None)
        };
        let signal = telemetry(false);
        assert_eq!((&signal.states[..], &signal.constant[..]), (&[1][..], &[2][..]));
        assert_eq!(signal.faulty_channels(), [0]);
        // Where nothing measures, the states are what can go wrong.
        let signal = telemetry(true);
        assert_eq!((&signal.states[..], signal.faulty_channels()), (&[][..], vec![1]));
        assert!(!signal.swings);
    }

    #[test]
    fn what_only_drifts_is_told_from_what_measures() {
        let samples: Vec<f32> = (0..2_000)
            .flat_map(|i| {
                let t = i as f32;
                let noise = ((i * 7_919) % 101) as f32 / 100.0;
                // A temperature that rises, two measurements, a state that comes late.
                [
                    20.0 + 0.01 * t + 0.1 * noise,
                    (t * 0.2).sin() + noise,
                    noise,
                    f32::from(u8::from(i > 1_600)),
                ]
            })
            .collect();
        let recording = Recording::from_samples("a", vec![2_000, 4], samples).unwrap();
        let clips = Clips::new(vec![recording], None, None).unwrap();
        assert_eq!(Signal::of(&clips, Some(1.0)).wandering, [0]);
        // One measurement alone is never given up.
        let alone = (0..2_000).map(|i| 20.0 + 0.01 * i as f32).collect();
        let recording = Recording::from_samples("a", vec![2_000, 1], alone).unwrap();
        let clips = Clips::new(vec![recording], None, None).unwrap();
        assert!(Signal::of(&clips, Some(1.0)).wandering.is_empty());
    }
}
