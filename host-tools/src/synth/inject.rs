//! Faults of the sensor put into an existing recording.

use crate::recording::Recording;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// What happens to the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectionKind {
    /// A ramp that ends `amount` away.
    Drift,
    /// Samples become 0.
    Dropout,
    /// Gaussian noise of deviation `amount` is added.
    Noise,
    /// One frame in fifty jumps by `amount`, up or down.
    Spike,
    /// The first frame is repeated.
    Stuck,
}

impl std::str::FromStr for InjectionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "drift" => Ok(Self::Drift),
            "dropout" => Ok(Self::Dropout),
            "noise" => Ok(Self::Noise),
            "spike" => Ok(Self::Spike),
            "stuck" => Ok(Self::Stuck),
            _ => Err(format!("unknown fault `{text}`; known: spike, drift, dropout, stuck, noise")),
        }
    }
}

/// One fault over a range of frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// What happens.
    pub kind: InjectionKind,
    /// Frames it lasts, counted over the whole recording: frame `f` is the
    /// samples from `f * channels`. For one-window-a-row recordings, window
    /// `w` is the frames from `w * window_len`.
    pub frames: Range<usize>,
    /// Size in standard deviations of the recording's channel.
    pub amount: f32,
}

/// One frame in this many spikes.
const SPIKE_EVERY: f64 = 50.0;

/// Damages `recording` in place, channel by channel, and returns the frames
/// that were touched, clipped to the recording's length.
///
/// `channels` values make a frame. The seed decides noise and spikes.
pub fn inject(
    recording: &mut Recording,
    channels: usize,
    injection: &Injection,
    seed: u64,
) -> Range<usize> {
    let channels = channels.max(1);
    let count = recording.samples.len() / channels;
    let frames = injection.frames.start.min(count)..injection.frames.end.min(count);
    if frames.is_empty() {
        return frames;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let deviation = deviations(&recording.samples, channels);
    let first = recording.samples[frames.start * channels..][..channels].to_vec();
    let len = frames.len() as f32;
    for (i, frame) in frames.clone().enumerate() {
        let spikes = injection.kind == InjectionKind::Spike
            && (i == 0 || rng.random_bool(1.0 / SPIKE_EVERY));
        let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let samples = &mut recording.samples[frame * channels..][..channels];
        for (c, x) in samples.iter_mut().enumerate() {
            let amount = injection.amount * deviation[c];
            *x = match injection.kind {
                InjectionKind::Drift => *x + amount * (i + 1) as f32 / len,
                InjectionKind::Dropout => 0.0,
                InjectionKind::Noise => {
                    let noise: f32 = StandardNormal.sample(&mut rng);
                    *x + amount * noise
                }
                InjectionKind::Spike if spikes => *x + sign * amount,
                InjectionKind::Spike => *x,
                InjectionKind::Stuck => first[c],
            };
        }
    }
    frames
}

/// Standard deviation of each channel.
fn deviations(samples: &[f32], channels: usize) -> Vec<f32> {
    (0..channels)
        .map(|c| {
            let channel = || samples.iter().skip(c).step_by(channels).map(|x| f64::from(*x));
            let n = channel().count().max(1) as f64;
            let mean = channel().sum::<f64>() / n;
            (channel().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt() as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(kind: InjectionKind, seed: u64) -> Vec<f32> {
        // Deviation 1 in both channels.
        let samples = [1.0, 11.0, -1.0, 9.0].repeat(25);
        let mut recording = Recording::from_samples("m", vec![50, 2], samples).unwrap();
        let injection = Injection { kind, frames: 10..60, amount: 5.0 };
        assert_eq!(inject(&mut recording, 2, &injection, seed), 10..50);
        // Before the fault nothing changes.
        assert_eq!(recording.samples[..20], [1.0, 11.0, -1.0, 9.0].repeat(5));
        recording.samples[20..].to_vec()
    }

    #[test]
    fn each_fault_does_what_it_says() {
        assert!(damaged(InjectionKind::Dropout, 0).iter().all(|x| *x == 0.0));
        assert_eq!(damaged(InjectionKind::Stuck, 0), [1.0, 11.0].repeat(40));
        let drift = damaged(InjectionKind::Drift, 0);
        assert_eq!(drift[78..], [-1.0 + 5.0, 9.0 + 5.0]);
        let spikes = damaged(InjectionKind::Spike, 3);
        assert!((spikes[0] - 1.0).abs() == 5.0);
        let noise = damaged(InjectionKind::Noise, 3);
        assert_eq!(noise, damaged(InjectionKind::Noise, 3));
        assert_ne!(noise, damaged(InjectionKind::Noise, 4));
    }
}
