//! Faults put into held-back normal windows: what candidates are compared by, as there are no
//! labels and none may be used. Seeded; mild to plain, so that no candidate finds all of them.

use super::{FitError, Signal};
use crate::recording::Recording;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f32::consts::TAU;

/// What happens to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A channel ramps away.
    Drift,
    /// A channel is at its mean for a stretch.
    Dropout,
    /// A channel swings more, or less.
    Gain,
    /// A channel's level is another.
    Level,
    /// Noise on all channels.
    Noise,
    /// A channel jumps for a sample.
    Spike,
    /// A channel runs faster or slower.
    Stretch,
    /// A channel stays at one value for a stretch.
    Stuck,
    /// A channel is that of another time.
    Swap,
    /// A tone on a channel.
    Tone,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Drift,
        Self::Dropout,
        Self::Gain,
        Self::Level,
        Self::Noise,
        Self::Spike,
        Self::Stretch,
        Self::Stuck,
        Self::Swap,
        Self::Tone,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Dropout => "dropout",
            Self::Gain => "gain",
            Self::Level => "level",
            Self::Noise => "noise",
            Self::Spike => "spike",
            Self::Stretch => "stretch",
            Self::Stuck => "stuck",
            Self::Swap => "swap",
            Self::Tone => "tone",
        }
    }

    /// Whether a detector of this signal is to see it: where the level says nothing, another
    /// level is no fault.
    fn concerns(self, signal: &Signal) -> bool {
        match self {
            Self::Level | Self::Drift => !signal.swings,
            Self::Tone | Self::Stretch => signal.swings || signal.period.is_some(),
            _ => true,
        }
    }
}

/// How bad, relative to the channel's deviation.
const SEVERITIES: [f32; 3] = [0.5, 1.0, 2.0];
/// Windows damaged by each fault at each severity.
const WINDOWS: usize = 48;

/// Damaged windows of one fault.
#[derive(Debug)]
pub(super) struct Damaged {
    pub(super) fault: Fault,
    /// `[windows][window_len][channels]`.
    pub(super) windows: Recording,
    /// What they were before.
    pub(super) whole: Recording,
}

/// Damages copies of normal windows, `[window_len][channels]` each.
pub(super) fn damage(
    normal: &[&[f32]],
    signal: &Signal,
    seed: u64,
) -> Result<Vec<Damaged>, FitError> {
    let channels = signal.channels;
    let moving = signal.faulty_channels();
    let Some(len) = normal.first().map(|window| window.len() / channels) else {
        return Ok(Vec::new());
    };
    let chosen: Vec<&[f32]> = (0..WINDOWS).map(|at| normal[at * normal.len() / WINDOWS]).collect();
    let whole = Recording::from_samples("whole", vec![WINDOWS, len, channels], chosen.concat())?;
    let mut sets = Vec::new();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for fault in Fault::ALL.into_iter().filter(|fault| fault.concerns(signal)) {
        let mut samples = Vec::new();
        let mut count = 0;
        for severity in SEVERITIES {
            for before in &chosen {
                let mut window = before.to_vec();
                let Some(&channel) = moving.choose(&mut rng) else { continue };
                let Some(&other) = normal.choose(&mut rng) else { continue };
                let mut series = Series { window: &mut window, other, channels, channel, len };
                series.damage(fault, severity, signal, &mut rng);
                samples.extend(window);
                count += 1;
            }
        }
        let windows = Recording::from_samples(fault.name(), vec![count, len, channels], samples)?;
        sets.push(Damaged { fault, windows, whole: whole.clone() });
    }
    Ok(sets)
}

/// One channel of a window.
struct Series<'w> {
    window: &'w mut [f32],
    /// A window of another time.
    other: &'w [f32],
    channels: usize,
    channel: usize,
    len: usize,
}

impl Series<'_> {
    fn at(&mut self, t: usize) -> &mut f32 {
        &mut self.window[t * self.channels + self.channel]
    }

    fn values(&self) -> Vec<f32> {
        self.window.iter().skip(self.channel).step_by(self.channels).copied().collect()
    }

    /// A stretch of at least a quarter of the window.
    fn stretch(&self, rng: &mut ChaCha8Rng) -> std::ops::Range<usize> {
        let len = rng.random_range(self.len.div_ceil(4)..=self.len);
        let start = rng.random_range(0..=self.len - len);
        start..start + len
    }

    fn damage(&mut self, fault: Fault, severity: f32, signal: &Signal, rng: &mut ChaCha8Rng) {
        let before = self.values();
        let len = self.len;
        let mean = before.iter().sum::<f32>() / len as f32;
        let deviation = signal.deviation[self.channel];
        let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let amount = sign * severity * deviation;
        match fault {
            Fault::Drift => {
                for t in 0..len {
                    *self.at(t) += 1.5 * amount * t as f32 / len as f32;
                }
            }
            Fault::Dropout => {
                for t in self.stretch(rng) {
                    *self.at(t) = signal.mean[self.channel];
                }
            }
            Fault::Gain => {
                let gain = if sign > 0.0 { 1.0 + 0.6 * severity } else { 1.0 / (1.0 + severity) };
                for (t, x) in before.iter().enumerate() {
                    *self.at(t) = mean + gain * (x - mean);
                }
            }
            Fault::Level => (0..len).for_each(|t| *self.at(t) += amount),
            Fault::Noise => {
                for (at, x) in self.window.iter_mut().enumerate() {
                    if signal.states.contains(&(at % self.channels)) {
                        continue;
                    }
                    let noise: f32 = StandardNormal.sample(rng);
                    *x += 0.5 * severity * signal.deviation[at % self.channels] * noise;
                }
            }
            Fault::Spike => *self.at(rng.random_range(0..len)) += 4.0 * amount,
            Fault::Stretch => {
                let speed = 1.0 + 0.1 * sign * severity;
                for t in 0..len {
                    // There and back again at the end.
                    let source = t as f32 * speed;
                    let last = (len - 1) as f32;
                    let source =
                        if source > last { (2.0 * last - source).max(0.0) } else { source };
                    let (low, share) = (source.floor() as usize, source.fract());
                    let high = (low + 1).min(len - 1);
                    *self.at(t) = before[low] + share * (before[high] - before[low]);
                }
            }
            Fault::Stuck => {
                let stretch = self.stretch(rng);
                let value = before[stretch.start];
                stretch.for_each(|t| *self.at(t) = value);
            }
            Fault::Swap => {
                for t in 0..len {
                    let at = t * self.channels + self.channel;
                    // A second half only, where there is no other channel to disagree with.
                    if self.channels > 1 || t >= len / 2 {
                        self.window[at] = self.other[at];
                    }
                }
            }
            Fault::Tone => {
                let turns = rng.random_range(0.02..0.45f32) * len as f32;
                let phase = rng.random_range(0.0..TAU);
                for t in 0..len {
                    let angle = TAU * turns * t as f32 / len as f32 + phase;
                    *self.at(t) += 0.5 * amount.abs() * angle.sin();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_changes_windows_and_leaves_other_channels() {
        let window: Vec<f32> =
            (0..64).flat_map(|t| [(t as f32 * 0.7).sin(), (t as f32 * 0.3).cos(), 5.0]).collect();
        let later: Vec<f32> =
            (0..64).flat_map(|t| [(t as f32 * 0.7 + 1.0).sin(), 0.1, 5.0]).collect();
        let signal = Signal {
            channels: 3,
            frames_per_second: None,
            swings: false,
            period: Some(9),
            constant: vec![2],
            states: vec![],
            wandering: vec![],
            deviation: vec![0.7, 0.7, 0.0],
            mean: vec![0.0, 0.0, 5.0],
        };
        let normal: [&[f32]; 2] = [&window, &later];
        let sets = damage(&normal, &signal, 3).unwrap();
        assert_eq!(sets.len(), Fault::ALL.len());
        let again = damage(&normal, &signal, 3).unwrap();
        for (set, same) in sets.iter().zip(&again) {
            assert_eq!(set.windows.samples, same.windows.samples);
            let damaged = set.windows.samples.chunks_exact(window.len());
            let changed = damaged.clone().filter(|w| *w != &window[..] && *w != &later[..]).count();
            // A swap with itself is none.
            assert!(changed * 3 > damaged.len(), "{:?}: {changed}", set.fault);
            assert!(set.windows.samples.iter().skip(2).step_by(3).all(|x| *x == 5.0));
        }
        let swinging = damage(&normal, &Signal { swings: true, ..signal }, 3).unwrap();
        assert!(!swinging.iter().any(|set| set.fault == Fault::Level));
    }
}
