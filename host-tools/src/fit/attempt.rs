//! Trains a candidate and says how well it tells damaged windows from normal ones.

use super::candidate::Candidate;
use super::faults::{Damaged, Fault};
use super::split::windows;
use super::{FitError, Signal};
use crate::graph::{Frontend, LatentGaussian, Likelihood, SAMPLES, ScoreKind, Vae};
use crate::metrics;
use crate::recording::{Recording, WindowSet};
use crate::train::{FitConfig, Normalize, Stream, fit_frontend, random_vae, stream};
use indicatif::ProgressBar;
use ndarray::ArrayView2;

/// Windows trained on at most, and judged at most.
const TRAINED: usize = 16_000;
const JUDGED: usize = 500;
/// Windows up to which they are cut more densely than the device does.
const DENSE: usize = 6_000;
/// Scores that are compared: those a device computes in one pass.
pub(super) const SCORES: [ScoreKind; 4] = [
    ScoreKind::GaussianNll,
    ScoreKind::ReconstructionError,
    ScoreKind::NegativeElbo,
    ScoreKind::Mahalanobis,
];
/// A later score must be better by so much: the first is the plainest that knows its features.
const CLEARLY: f64 = 0.003;
/// Multiply-accumulates a second that a training is planned with, forward and backward; a
/// plan by the clock would make other weights on every machine.
const SPEED: f64 = 6e9;
/// Seconds a window on top.
const OVERHEAD: f64 = 8e-6;
/// Features beyond so many deviations stretch the scale: a channel that rarely moves would
/// else have the whole grid to itself.
const REACH: f32 = 8.0;

/// The same for channels of states: a command that comes is no wonder.
const REACH_OF_STATES: f32 = 2.0;
/// A step of a state, or of a channel that was always 0, counts as a measurement so many deviations away at most.
const STEP: f32 = 1.0;

/// Scale of a channel that is not to be heard.
const SILENCE: f32 = 1e5;

/// A trained candidate.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) vae: Vae,
    /// How the latents of the training windows lie.
    pub(super) latents: Option<LatentGaussian>,
}

/// How one score of a trained candidate separates.
#[derive(Debug, Clone)]
pub struct Separation {
    /// The score.
    pub score: ScoreKind,
    /// ROC AUC of damaged against normal windows, mean over faults.
    pub mean: f64,
    /// The same, fault by fault.
    pub faults: Vec<(Fault, f64)>,
}

/// Windows for training: cut more densely than the device does, where there are few. A hop that divides
/// a signal's period meets few of its phases, and a device starts at any.
pub(super) fn training_set<'r>(
    recordings: impl IntoIterator<Item = &'r Recording>,
    frontend: &Frontend,
) -> Result<WindowSet<'r>, FitError> {
    let recordings: Vec<&Recording> = recordings.into_iter().collect();
    let sparse = frontend.hop.min((frontend.window_len / 4).max(1));
    let all = Frontend { hop: 1, ..frontend.clone() };
    let mut count = 0;
    for recording in &recordings {
        count += recording.clips(&all)?.window_count();
    }
    let hop = count.div_ceil(DENSE).clamp(1, sparse);
    windows(recordings, &Frontend { hop, ..frontend.clone() }, TRAINED)
}

/// Trains a candidate for about so many seconds.
pub(super) fn train<'r>(
    candidate: &Candidate,
    recordings: impl IntoIterator<Item = &'r Recording>,
    signal: &Signal,
    seconds: f64,
    seed: u64,
    progress: &ProgressBar,
) -> Result<Trained, FitError> {
    let set = training_set(recordings, &candidate.frontend)?;
    let mut signal = signal.clone();
    if candidate.without_states {
        let zero = signal.constant.iter().filter(|channel| signal.mean[**channel] == 0.0);
        let silenced: Vec<usize> = signal.states.iter().chain(zero).copied().collect();
        signal.wandering.extend(silenced);
    }
    let signal = &signal;
    let frontend = normalized(&set, &candidate.frontend, signal)?;
    let start = random_vae(frontend, &candidate.architecture, &mut stream(seed, Stream::Init))?;
    let cost = 3.0 * start.macs() as f64 / SPEED + OVERHEAD;
    let epochs = (seconds / (cost * set.len() as f64)).clamp(4.0, 300.0) as usize;
    let config = FitConfig {
        epochs,
        batch: (set.len() / 16).clamp(16, 128).next_power_of_two(),
        learning_rate: 2e-3,
        cosine: true,
        patience: Some((epochs / 4).max(8)),
        seed,
        ..FitConfig::default()
    };
    let (mut vae, _) = crate::train::fit(&start, &set, &config, progress)?;
    if let Likelihood::Gaussian { precision: Some(precision) } = &mut vae.likelihood {
        bound_states(precision, &vae.frontend, signal);
    }
    vae.validate()?;
    let indices: Vec<usize> = (0..set.len()).step_by(set.len().div_ceil(4_000)).collect();
    let x = set.features(&vae.frontend, &indices);
    let mu = vae.encode(x.view()).0.mapv(f64::from);
    let latents = LatentGaussian::fit(mu.view(), true, 1e-6);
    Ok(Trained { vae, latents })
}

/// The front-end with offsets, scales and LSBs fitted, so that rare and constant channels
/// and large levels do no harm.
fn normalized(
    set: &WindowSet<'_>,
    frontend: &Frontend,
    signal: &Signal,
) -> Result<Frontend, FitError> {
    let mut fitted = fit_frontend(set, frontend, Normalize::PerChannel)?;
    fitted.input_lsb = fine_lsb(&fitted.input_lsb, signal);
    if frontend.spectrum.is_some() {
        // The LSB is the unit of the bands.
        fitted.input_lsb = fit_frontend(set, frontend, Normalize::None)?.input_lsb;
        return Ok(fitted);
    }
    for &channel in &signal.constant {
        let level = signal.mean[channel].abs();
        fitted.scale[channel] = if level > 0.0 { 0.1 * level } else { 1.0 };
    }
    if !fitted.remove_mean {
        // Silent, whatever comes: the device rounds the gain to nothing.
        signal.wandering.iter().for_each(|channel| fitted.scale[*channel] *= SILENCE);
    }
    let indices: Vec<usize> = (0..set.len()).step_by(set.len().div_ceil(4_000).max(1)).collect();
    let groups = fitted.groups();
    let mut reach = vec![0f32; groups];
    for row in set.features(&fitted, &indices).rows() {
        for (at, x) in row.iter().enumerate() {
            reach[at % groups] = reach[at % groups].max(x.abs());
        }
    }
    for (group, (scale, reach)) in fitted.scale.iter_mut().zip(reach).enumerate() {
        let most = if signal.states.contains(&group) { REACH_OF_STATES } else { REACH };
        *scale *= (reach / most).max(1.0);
    }
    Ok(fitted)
}

/// Commands come when they come: what cannot be foreseen must not drown what is measured.
fn bound_states(precision: &mut ndarray::Array1<f32>, frontend: &Frontend, signal: &Signal) {
    if frontend.spectrum.is_some() {
        return;
    }
    let groups = frontend.groups();
    for (at, precision) in precision.iter_mut().enumerate() {
        let channel = at % groups;
        let never = signal.constant.contains(&channel) && signal.mean[channel] == 0.0;
        let step = if never { 1.0 } else { REACH_OF_STATES };
        if never || signal.states.contains(&channel) {
            *precision = precision.min((STEP / step).powi(2));
        }
    }
}

/// LSBs of the device's samples: finer than usual for a channel that moves little about a large
/// level, and those of the others for a channel that was always 0.
fn fine_lsb(lsb: &[f32], signal: &Signal) -> Vec<f32> {
    let moving = |channel: &usize| !signal.constant.contains(channel);
    let mut known: Vec<f32> =
        (0..signal.channels).filter(moving).filter_map(|c| lsb.get(c).copied()).collect();
    known.sort_by(f32::total_cmp);
    let usual = known.get(known.len() / 2).copied().unwrap_or(1.0);
    let of = |(channel, &lsb): (usize, &f32)| {
        if !moving(&channel) && signal.mean[channel] == 0.0 {
            return usual;
        }
        // Counts of integers stay counts.
        let fine = (0..2).fold(lsb, |lsb, _| {
            let coarse = moving(&channel) && signal.deviation[channel] < 32.0 * lsb;
            if coarse && lsb != 1.0 { lsb / 2.0 } else { lsb }
        });
        // Never without half as much again as was seen.
        let largest = signal.mean[channel].abs() + 4.0 * signal.deviation[channel];
        if largest * 1.5 / f32::from(i16::MAX) < fine { fine } else { lsb }
    };
    lsb.iter().enumerate().map(of).collect()
}

/// Scores of some features, `[score][window]`.
pub(super) fn scores(
    vae: &Vae,
    latents: Option<&LatentGaussian>,
    kinds: &[ScoreKind],
    x: ArrayView2<'_, f32>,
) -> Vec<Vec<f64>> {
    let (mu, logvar) = vae.encode(x);
    let output = vae.decode(mu.view());
    let plain = vae.scores_of(x, &mu, logvar.as_ref(), &output);
    let of = |kind: &ScoreKind| match (kind, latents) {
        (ScoreKind::Mahalanobis, Some(normal)) => {
            let mu = mu.mapv(f64::from);
            mu.rows().into_iter().map(|mu| normal.squared_distance(mu)).collect()
        }
        (ScoreKind::ReconstructionProbability, _) => vae.reconstruction_probability(x, SAMPLES, 0),
        _ => plain.iter().map(|scores| scores.get(*kind)).collect(),
    };
    kinds.iter().map(of).collect()
}

/// The front-end as it cuts a damaged window: once.
pub(super) fn once(frontend: &Frontend, window: usize) -> Frontend {
    Frontend { hop: window.max(1), ..frontend.clone() }
}

/// How each score separates; the best one first.
pub(super) fn judge(
    trained: &Trained,
    validation: &[Recording],
    damaged: &[Damaged],
    window: usize,
) -> Result<Vec<Separation>, FitError> {
    let normal = windows(validation, &trained.vae.frontend, JUDGED)?;
    let latents = trained.latents.as_ref();
    let mut found = separations(&trained.vae, latents, &SCORES, &normal, damaged, window)?;
    let plainest = found.first().map_or(0.0, |found| found.mean);
    found.sort_by(|a, b| {
        let of = |s: &Separation| if s.score == SCORES[0] { plainest + CLEARLY } else { s.mean };
        of(b).total_cmp(&of(a))
    });
    Ok(found)
}

/// How each of these scores tells damaged windows from normal ones.
pub(super) fn separations(
    vae: &Vae,
    latents: Option<&LatentGaussian>,
    kinds: &[ScoreKind],
    normal: &WindowSet<'_>,
    damaged: &[Damaged],
    window: usize,
) -> Result<Vec<Separation>, FitError> {
    let frontend = &vae.frontend;
    let all: Vec<usize> = (0..normal.len()).collect();
    let quiet = scores(vae, latents, kinds, normal.features(frontend, &all).view());
    let mut found: Vec<Separation> = kinds
        .iter()
        .map(|score| Separation { score: *score, mean: 0.0, faults: Vec::new() })
        .collect();
    let scores_once = |windows: &Recording| -> Result<Vec<Vec<f64>>, FitError> {
        let clips = windows.clips(&once(frontend, window))?;
        let x = clips.features(frontend, 0..clips.window_count());
        Ok(scores(vae, latents, kinds, x.view()))
    };
    let whole = damaged.first().map(|set| scores_once(&set.whole)).transpose()?;
    let whole = whole.unwrap_or_default();
    for set in damaged {
        let loud = scores_once(&set.windows)?;
        for (((loud, whole), quiet), found) in loud.iter().zip(&whole).zip(&quiet).zip(&mut found) {
            found.faults.push((set.fault, separation(quiet, whole, loud)));
        }
    }
    for found in &mut found {
        found.mean = mean(&found.faults);
    }
    Ok(found)
}

/// ROC AUC of damaged against normal windows, less what the same windows differ by before they are damaged: a few dozen
/// windows of a few recordings lie above or below the rest by more than a mild fault moves them, which would be chance's
/// choice among candidates.
pub(super) fn separation(quiet: &[f64], whole: &[f64], loud: &[f64]) -> f64 {
    (roc_auc(quiet, loud) - (roc_auc(quiet, whole) - 0.5)).clamp(0.0, 1.0)
}

/// One half where it is not defined.
fn roc_auc(quiet: &[f64], loud: &[f64]) -> f64 {
    let scores: Vec<f64> = quiet.iter().chain(loud).copied().collect();
    let labels: Vec<bool> = quiet.iter().map(|_| false).chain(loud.iter().map(|_| true)).collect();
    metrics::roc_auc(&scores, &labels).unwrap_or(0.5)
}

pub(super) fn mean(faults: &[(Fault, f64)]) -> f64 {
    faults.iter().map(|(_, auc)| auc).sum::<f64>() / faults.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_do_not_outweigh_what_is_measured() {
        let signal = Signal {
            channels: 4,
            frames_per_second: None,
            swings: false,
            period: None,
            constant: vec![2, 3],
            states: vec![1],
            wandering: vec![],
            deviation: vec![1.0, 0.1, 0.0, 0.0],
            mean: vec![0.0, 0.01, 0.0, 230.0],
        };
        let frontend = Frontend::identity(2, 1, 4);
        let mut precision = ndarray::Array1::from_elem(8, 50.0);
        bound_states(&mut precision, &frontend, &signal);
        // A measurement and a supply that never moved keep theirs.
        assert_eq!(precision.to_vec(), [50.0, 0.25, 1.0, 50.0].repeat(2));
        // A command in one of 200 frames reaches two deviations instead of eight.
        let samples = (0..4_000).flat_map(|i: usize| {
            [(i as f32 * 0.3).sin(), f32::from(u8::from(i % 200 == 9)), 0.0, 230.0]
        });
        let samples: Vec<f32> = samples.collect();
        let recording = Recording::from_samples("a", vec![4_000, 4], samples).unwrap();
        let set = windows([&recording], &frontend, usize::MAX).unwrap();
        let fitted = normalized(&set, &frontend, &signal).unwrap();
        assert!((1.0 / fitted.scale[1] - REACH_OF_STATES).abs() < 0.05, "{:?}", fitted.scale);
    }

    #[test]
    fn training_meets_every_phase_of_a_period() {
        // A day of 24 hours, every sixth of which the device judges.
        let starts = |frames: usize| -> Vec<f32> {
            let samples = (0..frames).map(|i| i as f32).collect();
            let recording = Recording::from_samples("a", vec![frames, 1], samples).unwrap();
            let set = training_set([&recording], &Frontend::identity(48, 6, 1)).unwrap();
            (0..set.len()).map(|i| set.window(i).samples[0]).collect()
        };
        let few = starts(500);
        let phases: std::collections::BTreeSet<i64> = few.iter().map(|x| *x as i64 % 24).collect();
        assert_eq!((few.len(), phases.len()), (453, 24));
        // Of many windows the device's hop is dense enough.
        assert_eq!(starts(60_000)[..3], [0.0, 6.0, 12.0]);
    }

    #[test]
    fn where_the_damaged_windows_lay_before_does_not_count() {
        let quiet: Vec<f64> = (0..100).map(f64::from).collect();
        // All from the upper end; nothing happens to them, then a little does.
        let whole = [70.5, 80.5, 90.5];
        assert!((separation(&quiet, &whole, &whole) - 0.5).abs() < 1e-12);
        let loud = whole.map(|score| score + 5.0);
        assert!((separation(&quiet, &whole, &loud) - 0.55).abs() < 1e-12);
        assert!(separation(&quiet, &whole, &[0.0; 3]) < 0.5);
    }
}
