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
    /// The machine turns faster by `amount` percent, or slower where that is below 0: the frames are read at
    /// another pace, and fade back into what follows.
    Frequency,
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
            "frequency" => Ok(Self::Frequency),
            "noise" => Ok(Self::Noise),
            "spike" => Ok(Self::Spike),
            "stuck" => Ok(Self::Stuck),
            _ => Err(format!(
                "unknown fault `{text}`; known: spike, drift, dropout, stuck, noise, frequency"
            )),
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
    /// Size in standard deviations of the recording's channel; percent of a change of frequency.
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
    if injection.kind == InjectionKind::Frequency {
        resample(&mut recording.samples, channels, &frames, injection.amount);
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
                // Done above: it looks at other frames than its own.
                InjectionKind::Frequency => *x,
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

/// Frames over which a change of frequency fades out.
const FADE: usize = 16;

/// Reads `frames` at a pace `percent` faster, between samples by Catmull and Rom's cubic; at the recording's end it
/// turns back.
fn resample(samples: &mut [f32], channels: usize, frames: &Range<usize>, percent: f32) {
    // No faster than a half of what there is, and never backward.
    let pace = (1.0 + f64::from(percent) / 100.0).clamp(0.01, 2.0);
    let source = samples.to_vec();
    let last = (source.len() / channels).saturating_sub(1) as i64;
    let at = |frame: i64, c: usize| {
        let folded = if frame > last { (2 * last - frame).max(0) } else { frame.max(0) };
        f64::from(source[folded as usize * channels + c])
    };
    for (i, frame) in frames.clone().enumerate() {
        let place = frames.start as f64 + i as f64 * pace;
        let (before, t) = (place.floor() as i64, place.fract());
        let left = frames.end - frame;
        let share =
            if frames.len() > 2 * FADE { (left as f64 / FADE as f64).min(1.0) } else { 1.0 };
        for c in 0..channels {
            let [p, q, r, s] = [-1, 0, 1, 2].map(|step| at(before + step, c));
            let cubic = q + 0.5
                * t
                * (r - p + t * (2.0 * p - 5.0 * q + 4.0 * r - s + t * (3.0 * (q - r) + s - p)));
            let x = &mut samples[frame * channels + c];
            *x = (share * cubic + (1.0 - share) * f64::from(*x)) as f32;
        }
    }
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
        // Of two values in turn, a pace of 1.05 reads something between them, too.
        let faster = damaged(InjectionKind::Frequency, 3);
        assert_eq!(faster[..2], [1.0, 11.0]);
        assert!(faster.iter().any(|x| x.fract().abs() > 1e-3));
        let noise = damaged(InjectionKind::Noise, 3);
        assert_eq!(noise, damaged(InjectionKind::Noise, 3));
        assert_ne!(noise, damaged(InjectionKind::Noise, 4));
    }

    #[test]
    fn a_frequency_moves_by_its_percentage_and_comes_back() {
        // 40 periods of 50 frames in the first channel, a constant in the second.
        let turn = std::f32::consts::TAU / 50.0;
        let wave = |frame: usize| (turn * frame as f32).sin();
        let samples: Vec<f32> = (0..2_000).flat_map(|frame| [wave(frame), 7.0]).collect();
        for (percent, periods) in [(10.0, 22.0), (-10.0, 18.0), (0.0, 20.0)] {
            let mut recording =
                Recording::from_samples("m", vec![2_000, 2], samples.clone()).unwrap();
            let kind = InjectionKind::Frequency;
            let injection = Injection { kind, frames: 500..1_500, amount: percent };
            assert_eq!(inject(&mut recording, 2, &injection, 9), 500..1_500);
            let frame = |frame: usize| recording.samples[2 * frame];
            let crossings = (500..1_500).filter(|&f| frame(f) < 0.0 && frame(f + 1) >= 0.0);
            let found = crossings.count() as f32;
            assert!((found - periods).abs() <= 1.0, "{percent} %: {found} periods");
            assert!((0..500).chain(1_500..2_000).all(|f| frame(f) == wave(f)));
            assert!((0..2_000).all(|f| (recording.samples[2 * f + 1] - 7.0).abs() < 1e-5));
            let greatest = (0..2_000).map(|f| frame(f).abs()).fold(0.0, f32::max);
            assert!(greatest < 1.01, "{greatest}");
        }
    }
}
