//! How well a model tells anomalies from normal windows, float or int8 alike.

use crate::graph::{SAMPLES, ScoreKind, Vae, sample};
use crate::metrics;
use crate::recording::{Clips, WindowLabels};
use crate::simulate::{MeanScores, ScoredWindow, real_score, window_noise};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::Serialize;

/// Windows run through the float model at once.
const BATCH: usize = 256;

/// Scores of things with labels: clips where the labels are the clips', else windows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labelled {
    /// One score each; a clip's is the mean of its windows'.
    pub scores: Vec<f64>,
    /// Whether it is an anomaly.
    pub anomalous: Vec<bool>,
}

/// What `picovae eval` reports of detection; `None` where it is not defined
/// (one class only).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub pr_auc: Option<f64>,
    /// Best F1 over all thresholds.
    pub best_f1: Option<f64>,
    /// The threshold of the best F1.
    pub threshold: Option<f64>,
    /// Anomalies among what was judged.
    pub anomalies: usize,
    /// All that was judged: clips or windows.
    pub judged: usize,
}

impl Labelled {
    /// Adds a recording's window scores under its labels. `normal` is the label of normal data.
    pub fn add(&mut self, scored: &[(usize, f64)], labels: &WindowLabels, normal: i64) {
        match &labels.clips {
            Some(clips) => {
                let mut sums = vec![(0.0, 0u32); clips.len()];
                for &(clip, score) in scored {
                    if let Some((sum, count)) = sums.get_mut(clip) {
                        *sum += score;
                        *count += 1;
                    }
                }
                for ((sum, count), label) in sums.into_iter().zip(clips) {
                    // `--limit` may leave the last clips without a window.
                    if count > 0 {
                        self.push(sum / f64::from(count), *label != normal);
                    }
                }
            }
            None => {
                for ((_, score), label) in scored.iter().zip(&labels.windows) {
                    self.push(*score, *label != normal);
                }
            }
        }
    }

    /// Adds one.
    pub fn push(&mut self, score: f64, anomalous: bool) {
        self.scores.push(score);
        self.anomalous.push(anomalous);
    }

    /// The figures.
    pub fn detection(&self) -> Detection {
        let best = metrics::best_f1(&self.scores, &self.anomalous);
        Detection {
            roc_auc: metrics::roc_auc(&self.scores, &self.anomalous),
            pr_auc: metrics::pr_auc(&self.scores, &self.anomalous),
            best_f1: best.map(|best| best.f1),
            threshold: best.map(|best| best.threshold),
            anomalies: self.anomalous.iter().filter(|anomalous| **anomalous).count(),
            judged: self.scores.len(),
        }
    }
}

/// (clip, score) of the core's scores.
pub fn real_scores(scored: &[ScoredWindow], kind: picovae_core::ScoreKind) -> Vec<(usize, f64)> {
    scored.iter().map(|window| (window.clip, real_score(window.score, kind))).collect()
}

/// (clip, score) of every window by the float model, and its mean negative ELBO
/// and parts; the noise of each window is the one
/// [`score_all`](crate::simulate::score_all) gives the core.
pub fn float_scores(
    vae: &Vae,
    clips: &Clips<'_>,
    kind: ScoreKind,
    seed: u32,
) -> (Vec<(usize, f64)>, MeanScores) {
    let batches: Vec<_> = clips.batches(BATCH).collect();
    let (scored, sums): (Vec<_>, Vec<MeanScores>) = batches
        .into_par_iter()
        .map(|range| {
            let x = clips.features(&vae.frontend, range.clone());
            let mut noise = Array2::zeros((range.len(), vae.latent_len()));
            for (mut row, index) in noise.axis_iter_mut(Axis(0)).zip(range.clone()) {
                let mut draw = window_noise(seed, index);
                row.iter_mut().for_each(|n| *n = draw.sample_q13() as f32 / 8192.0);
            }
            let (mu, logvar) = vae.encode(x.view());
            let scores_at = |z: &Array2<f32>| {
                vae.scores_of(x.view(), &mu, logvar.as_ref(), &vae.decode(z.view()))
            };
            let at_mean = scores_at(&mu);
            let sampled = scores_at(&sample(&mu, logvar.as_ref(), Some(noise.view())));
            let mut sum = MeanScores::default();
            for (mean, sampled) in at_mean.iter().zip(sampled) {
                sum.nll += sampled.nll;
                sum.kl_divergence += sampled.kl_divergence;
                sum.reconstruction_error += mean.reconstruction_error;
            }
            let values: Vec<f64> = match kind {
                ScoreKind::ReconstructionProbability => {
                    vae.reconstruction_probability(x.view(), SAMPLES, 0)
                }
                _ => at_mean.iter().map(|scores| scores.get(kind)).collect(),
            };
            let scores = range.zip(values).map(|(i, value)| (clips.window(i).clip, value));
            (scores.collect::<Vec<_>>(), sum)
        })
        .unzip();
    (scored.into_iter().flatten().collect(), MeanScores::mean(&sums, clips.window_count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_judged_by_the_mean_of_its_windows() {
        let mut labelled = Labelled::default();
        let labels = WindowLabels { windows: vec![0, 0, 1, 1], clips: Some(vec![0, 1]) };
        labelled.add(&[(0, 1.0), (0, 3.0), (1, 2.0), (1, 6.0)], &labels, 0);
        assert_eq!(labelled.scores, [2.0, 4.0]);
        let detection = labelled.detection();
        assert_eq!(detection.roc_auc, Some(1.0));
        assert_eq!((detection.anomalies, detection.judged), (1, 2));
    }
}
