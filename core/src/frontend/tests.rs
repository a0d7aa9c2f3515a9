//! The front-end against `realfft` in f64.

use super::fft::{self, Complex};
use super::sine::{QUARTER, TURN};
use super::*;
use core::f64::consts::PI;
extern crate std;
use realfft::RealFftPlanner;
use std::vec;
use std::vec::Vec;

/// Reproducible noise in `-1.0..1.0`.
struct Noise(u32);
impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0 >> 8) / f64::from(1 << 23) - 1.0
    }
}

/// Frames a front-end meets, and some it should not.
fn frames(len: usize) -> Vec<(&'static str, Vec<i16>)> {
    let mut noise = Noise(len as u32);
    let tone = |cycles: f64, amplitude: f64, t: usize| {
        amplitude * (2.0 * PI * cycles * t as f64 / len as f64 + 0.3).sin()
    };
    let mut make = |of: &mut dyn FnMut(usize, f64) -> f64| -> Vec<i16> {
        (0..len).map(|t| of(t, noise.next()).round() as i16).collect()
    };
    vec![
        ("noise", make(&mut |_, n| 32_767.0 * n)),
        ("quiet noise", make(&mut |_, n| 3.0 * n)),
        ("tone", make(&mut |t, _| tone(7.0, 32_000.0, t))),
        ("tone between bins", make(&mut |t, _| tone(len as f64 / 5.0 + 0.37, 20_000.0, t))),
        ("tone on a level", make(&mut |t, n| 30_000.0 + tone(3.0, 20.0, t) + n)),
        ("two tones", make(&mut |t, n| tone(5.0, 16_000.0, t) + tone(21.0, 8.0, t) + n)),
        ("square at full scale", make(&mut |t, _| if t & 1 == 0 { 32_767.0 } else { -32_768.0 })),
        ("lowest", make(&mut |_, _| -32_768.0)),
        ("impulse", make(&mut |t, _| if t == 9 { 32_767.0 } else { 0.0 })),
        ("one count", make(&mut |t, _| if t % 3 == 0 { 1.0 } else { 0.0 })),
        ("silence", make(&mut |_, _| 0.0)),
    ]
}

/// Powers of the bins `0..N/2` in f64, and the energy the frame brings to a bin at most.
fn oracle(frame: &[i16], taper: Taper, remove_mean: bool) -> (Vec<f64>, f64) {
    let len = frame.len();
    let mean = frame.iter().map(|&x| f64::from(x)).sum::<f64>() / len as f64;
    let mut x: Vec<f64> = frame
        .iter()
        .enumerate()
        .map(|(t, &x)| {
            let value = f64::from(x) - if remove_mean { mean } else { 0.0 };
            match taper {
                Taper::None => value,
                Taper::Hann => value * (0.5 - 0.5 * (2.0 * PI * t as f64 / len as f64).cos()),
            }
        })
        .collect();
    let peak = frame
        .iter()
        .map(|&x| (f64::from(x) - if remove_mean { mean } else { 0.0 }).abs())
        .fold(0.0, f64::max);
    let plan = RealFftPlanner::<f64>::new().plan_fft_forward(len);
    let mut spectrum = plan.make_output_vec();
    plan.process(&mut x, &mut spectrum).unwrap();
    (spectrum[..len / 2].iter().map(|c| c.norm_sqr()).collect(), peak)
}

fn spectrum_of(log2_len: u32, taper: Taper, edges: &[u16]) -> Spectrum<'_> {
    Spectrum {
        log2_len,
        stack: 1,
        frame_hop: 1,
        taper,
        bands: Bands::Sums { edges },
        floor: -(100 << 16),
    }
}

#[test]
fn the_quarter_is_a_sine() {
    for (i, &entry) in QUARTER.iter().enumerate() {
        let real = 32_768.0 * (2.0 * PI * i as f64 / TURN as f64).sin();
        assert_eq!(f64::from(entry), real.round(), "{i}");
    }
}

#[test]
fn products_are_exact_and_rounded_half_up() {
    let mut noise = Noise(1);
    for _ in 0..100_000 {
        let x = (noise.next() * f64::from(1 << 30)) as i32;
        let w = (noise.next() * 32_768.0).round() as i32;
        let exact = (i64::from(x) * i64::from(w) + (1 << 14)) >> 15;
        assert_eq!(i64::from(fft::scale_q15(x, w)), exact, "{x} {w}");
    }
    assert_eq!(fft::scale_q15(-12_345, 1 << 15), -12_345);
}

/// Amplitude error of a bin, in units of what a tone at the frame's peak gives.
#[test]
fn every_bin_is_within_the_stated_error() {
    let mut worst = 0.0f64;
    for log2_len in 6..=11 {
        let len = 1usize << log2_len;
        let edges: Vec<u16> = (0..=len as u16 / 2).collect();
        for (name, frame) in frames(len) {
            for taper in [Taper::None, Taper::Hann] {
                for remove_mean in [false, true] {
                    let (powers, peak) = oracle(&frame, taper, remove_mean);
                    let spectrum = spectrum_of(log2_len, taper, &edges);
                    let samples = Samples { older: &frame, newer: &[], channel: 0, channels: 1 };
                    let mut buffer: Vec<Complex> = vec![[0; 2]; len / 2];
                    let mut bands = vec![0; len / 2];
                    spectrum.frame(&samples, 0, remove_mean, &mut buffer, |b, y| bands[b] = y);
                    for (k, (&y, &power)) in bands.iter().zip(&powers).enumerate() {
                        let amplitude = (f64::from(y) / 131_072.0).exp2();
                        // Beside the transform, the logarithm errs by 7e-5.
                        let error = (amplitude - power.sqrt()).abs() - 6e-5 * power.sqrt();
                        let unit = peak * len as f64 / 2.0;
                        let relative = if peak < 1e-9 { error } else { error / unit };
                        assert!(
                            relative < 1e-5,
                            "{name} {len} {taper:?} {remove_mean} bin {k}: {relative:e}"
                        );
                        worst = worst.max(relative);
                    }
                }
            }
        }
    }
    // The bound is of the right size.
    assert!(worst > 5e-6, "{worst:e}");
}

#[test]
fn logarithms_are_within_their_error() {
    let mut worst = 0.0f64;
    let sweep = (1u64..100_000).chain((0..64).map(|bit| 1 << bit));
    let mut noise = Noise(9);
    let random = (0..100_000).map(|_| (noise.next().abs() * 1.8e19) as u64 | 1);
    for x in sweep.chain(random).chain([u64::MAX]) {
        let error = f64::from(crate::fixed::log2::log2_q16(x)) / 65_536.0 - (x as f64).log2();
        worst = worst.max(error.abs());
    }
    assert!(worst < 6e-5 && worst > 3e-5, "{worst:e}");
}

/// Two channels, thinned by 2, three frames of triangles, read through a ring.
#[test]
fn a_whole_window_is_its_parts() {
    let mut noise = Noise(4);
    // A low-pass of nine taps; the half-band kind has a gain of 1.
    let taps: [i16; 9] = [-200, 0, 2_100, 7_000, 14_968, 7_000, 2_100, 0, -200];
    let decimation = Decimation { factor: 2, taps: &taps };
    let edges = [1u16, 3, 6, 11, 20, 32];
    let weights: Vec<u16> = edges
        .windows(2)
        .flat_map(|e| {
            let (from, to) = (e[0], e[1]);
            (from..to).map(move |k| ((u32::from(k - from) << 15) / u32::from(to - from)) as u16)
        })
        .collect();
    let spectrum = Spectrum {
        log2_len: 6,
        stack: 3,
        frame_hop: 20,
        taper: Taper::Hann,
        bands: Bands::Triangles { edges: &edges, weights: &weights },
        floor: 0,
    };
    let steps = spectrum.window_len();
    let (offset, multiplier, shift) = ([300_000i32; 8], [1 << 30; 8], [-12i8; 8]);
    let frontend = Frontend {
        window_len: (steps - 1) * 2 + taps.len(),
        hop: 2,
        channels: 2,
        remove_mean: true,
        zero_point: -3,
        decimation: Some(decimation),
        spectrum: Some(spectrum),
        offset: &offset,
        multiplier: &multiplier,
        shift: &shift,
    };
    assert_eq!((frontend.steps(), frontend.groups(), frontend.feature_len()), (steps, 8, 24));
    let window: Vec<i16> =
        (0..frontend.input_len()).map(|_| (9_000.0 * noise.next() + 500.0) as i16).collect();
    let mut scratch = vec![0u128; frontend.scratch_len() / 16];
    let mut wide = vec![0; frontend.feature_len()];
    let mut features = vec![0i8; frontend.feature_len()];
    frontend.wide(&window, &[], bytemuck::cast_slice_mut(&mut scratch), &mut wide);
    for cut in [0, 2, 100, window.len()] {
        let (older, newer) = window.split_at(cut);
        features.fill(0);
        frontend.features(older, newer, bytemuck::cast_slice_mut(&mut scratch), &mut features);
        for (index, (&q, &v)) in features.iter().zip(&wide).enumerate() {
            let scaled = (i64::from(v - 300_000) * (1 << 30) + (1 << 42)) >> 43;
            assert_eq!(i64::from(q), (scaled - 3).clamp(-128, 127), "{index}");
        }
    }
    for channel in 0..2 {
        let x: Vec<f64> = window.iter().skip(channel).step_by(2).map(|&x| x.into()).collect();
        let thin: Vec<i16> = (0..steps)
            .map(|t| {
                let sum: f64 = (0..9).map(|k| f64::from(taps[k]) * x[2 * t + k]).sum();
                (sum / 32_768.0 + 0.5).floor() as i16
            })
            .collect();
        for frame in 0..3 {
            let (powers, _) = oracle(&thin[20 * frame..][..64], Taper::Hann, true);
            for band in 0..4 {
                let rising = f64::from(edges[band])..f64::from(edges[band + 1]);
                let falling = f64::from(edges[band + 1])..f64::from(edges[band + 2]);
                let share = |k: f64| {
                    if rising.contains(&k) {
                        (k - rising.start) / (rising.end - rising.start)
                    } else if falling.contains(&k) {
                        (falling.end - k) / (falling.end - falling.start)
                    } else {
                        0.0
                    }
                };
                let power: f64 = powers.iter().enumerate().map(|(k, p)| share(k as f64) * p).sum();
                let got = f64::from(wide[frame * 8 + band * 2 + channel]) / 65_536.0;
                assert!(
                    (got - power.log2()).abs() < 1e-3,
                    "{channel} {frame} {band}: {got} {power}"
                );
            }
        }
    }
}

#[test]
fn thinned_samples_have_their_mean_removed() {
    let (offset, multiplier, shift) = ([0; 1], [1 << 30; 1], [1; 1]);
    let frontend = Frontend {
        window_len: 7,
        hop: 3,
        channels: 1,
        remove_mean: true,
        zero_point: 0,
        decimation: Some(Decimation { factor: 3, taps: &[1 << 14] }),
        spectrum: None,
        offset: &offset,
        multiplier: &multiplier,
        shift: &shift,
    };
    let mut scratch = [0u128; 4];
    let mut wide = [0; 3];
    // 100, 50, 0 halved, times 3, less their sum.
    let window = [100, 1, 2, 50, 4, 5, 0];
    frontend.wide(&window, &[], bytemuck::cast_slice_mut(&mut scratch), &mut wide);
    assert_eq!(wide, [75, 0, -75]);
    let mut features = [0i8; 3];
    frontend.features(&window, &[], bytemuck::cast_slice_mut(&mut scratch), &mut features);
    assert_eq!(features, [75, 0, -75]);
    // Scratch that is too short changes nothing.
    frontend.features(&window, &[], &mut [], &mut features);
    assert_eq!(features, [75, 0, -75]);
}

/// Means that overlap, of channels in fours and not, read through a ring cut anywhere.
#[test]
fn means_are_means_of_their_channel() {
    means_of::<3>();
    means_of::<4>();
    means_of::<8>();
}

fn means_of<const CHANNELS: usize>() {
    let taps = [8_192i16; 4];
    let (offset, multiplier, shift) = ([0i32; CHANNELS], [1 << 30; CHANNELS], [1i8; CHANNELS]);
    let frontend = Frontend {
        window_len: 5,
        hop: 1,
        channels: CHANNELS,
        remove_mean: false,
        zero_point: 0,
        decimation: Some(Decimation { factor: 1, taps: &taps }),
        spectrum: None,
        offset: &offset,
        multiplier: &multiplier,
        shift: &shift,
    };
    assert_eq!(frontend.feature_len(), 2 * CHANNELS);
    let slope = |channel: usize| [4, -8, 20, 12][channel % 4];
    let window: Vec<i16> =
        (0..5 * CHANNELS).map(|i| slope(i % CHANNELS) * (i / CHANNELS) as i16).collect();
    for cut in 0..=window.len() {
        let (older, newer) = window.split_at(cut);
        let mut scratch = vec![0u128; frontend.scratch_len().div_ceil(16)];
        let mut features = vec![0i8; 2 * CHANNELS];
        frontend.features(older, newer, bytemuck::cast_slice_mut(&mut scratch), &mut features);
        for (index, q) in features.iter().enumerate() {
            // Means of 0..=3 and of 1..=4: three and five halves.
            let halves = if index < CHANNELS { 3 } else { 5 };
            assert_eq!(i16::from(*q), slope(index % CHANNELS) * halves / 2, "{cut} {index}");
        }
    }
}
