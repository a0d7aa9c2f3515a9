//! What a smaller model is measured with: held-out windows, and damaged copies of them.
//!
//! A network that matches another's ELBO may still detect worse, so both are
//! measured: the mean negative ELBO of normal windows, and how scores order
//! normal and damaged ones.

use ndarray::{Array2, Axis};

use crate::emit::{Blob, BlobError};
use crate::graph::{LatentGaussian, Likelihood, ScoreKind, Vae, sample};
use crate::metrics::{rank_correlation, roc_auc};
use crate::recording::{Recording, RecordingError, WindowSet};
use crate::simulate::{mean_scores, real_score, score_set, window_noise};
use crate::synth::{Injection, InjectionKind, inject};
use picovae_core::VaeError;
use serde::Serialize;

/// How good a model is on held-out windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Mean negative ELBO, nats a window.
    pub negative_elbo: f64,
    /// Rank correlation of its scores with the reference's over normal and damaged
    /// windows; 1 for the reference itself.
    pub agreement: f64,
    /// ROC AUC of damaged against normal windows by its score.
    pub damage_auc: f64,
}

/// Why a model cannot be measured.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum YardstickError {
    /// Nothing is held out.
    #[error("there is no held-out window to measure with")]
    #[diagnostic(help("give more recordings, or shorter windows"))]
    NoWindows,
    /// The damaged windows.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] RecordingError),
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// The blob does not fit the windows.
    #[error(transparent)]
    Vae(#[from] VaeError),
}

/// Held-out windows, and the reference's view of them.
#[derive(Debug, Clone)]
pub struct Yardstick {
    /// Normal windows, one a row.
    normal: Recording,
    /// Some of them, and their damaged copies.
    probes: Recording,
    damaged: Vec<bool>,
    reference: Vae,
    /// The reference's score of every probe.
    reference_scores: Vec<f64>,
}

/// Held-out windows measured, at most.
const MOST_NORMAL: usize = 4_000;
/// Of those, damaged ones, at most; each is damaged in every way.
const MOST_DAMAGED: usize = 250;
/// Least deviation of a latent that never moves.
const LEAST_DEVIATION: f64 = 1e-6;
/// Windows run through a float model at once.
const BATCH: usize = 256;
/// Sizes of damage, in standard deviations of the channel: what is barely visible, and what is.
const AMOUNTS: [f32; 2] = [0.3, 1.0];
const KINDS: [InjectionKind; 4] =
    [InjectionKind::Noise, InjectionKind::Spike, InjectionKind::Drift, InjectionKind::Stuck];

impl Yardstick {
    /// A yardstick of some normal windows nothing was trained on.
    ///
    /// # Errors
    /// [`YardstickError::NoWindows`].
    pub fn new(
        reference: &Vae,
        held_out: &WindowSet<'_>,
        seed: u64,
    ) -> Result<Self, YardstickError> {
        if held_out.is_empty() {
            return Err(YardstickError::NoWindows);
        }
        let step = held_out.len().div_ceil(MOST_NORMAL);
        let kept: Vec<usize> = (0..held_out.len()).step_by(step).collect();
        let rows = |indices: &[usize]| -> Vec<f32> {
            indices.iter().flat_map(|i| held_out.window(*i).samples.iter().copied()).collect()
        };
        let frontend = &reference.frontend;
        let shape = |windows: usize| vec![windows, frontend.window_len, frontend.channels];
        let normal = Recording::from_samples("held out", shape(kept.len()), rows(&kept))?;

        let few: Vec<usize> =
            kept.iter().copied().step_by(kept.len().div_ceil(MOST_DAMAGED)).collect();
        let (mut samples, mut damaged) = (rows(&few), vec![false; few.len()]);
        // The likelihood of what is no probability has no meaning.
        let bounds = matches!(reference.likelihood, Likelihood::Bernoulli).then(|| {
            let least = |a: f32, b: &f32| a.min(*b);
            let most = |a: f32, b: &f32| a.max(*b);
            let all = &normal.samples;
            (all.iter().fold(f32::INFINITY, least), all.iter().fold(f32::NEG_INFINITY, most))
        });
        for (turn, (kind, amount)) in KINDS
            .iter()
            .flat_map(|kind| AMOUNTS.iter().map(move |amount| (*kind, *amount)))
            .enumerate()
        {
            let mut copy = Recording::from_samples("damaged", shape(few.len()), rows(&few))?;
            for window in 0..few.len() {
                let first = window * frontend.window_len;
                // What does not grow with its amount lasts longer instead.
                let share = if kind == InjectionKind::Stuck { amount } else { 1.0 };
                let frames = first..first + ((frontend.window_len as f32 * share) as usize).max(1);
                let seed = seed ^ ((turn * few.len() + window) as u64);
                inject(&mut copy, frontend.channels, &Injection { kind, frames, amount }, seed);
            }
            if let Some((low, high)) = bounds {
                copy.samples.iter_mut().for_each(|x| *x = x.clamp(low, high));
            }
            samples.extend(copy.samples);
            damaged.extend(std::iter::repeat_n(true, few.len()));
        }
        let probes = Recording::from_samples("probes", shape(damaged.len()), samples)?;
        let mut yardstick = Self {
            normal,
            probes,
            damaged,
            reference: reference.clone(),
            reference_scores: Vec::new(),
        };
        yardstick.reference_scores = yardstick.float_scores(reference)?;
        Ok(yardstick)
    }

    /// The float model everything is compared with.
    pub fn reference(&self) -> &Vae {
        &self.reference
    }

    fn windows<'r>(&self, recording: &'r Recording) -> Result<WindowSet<'r>, RecordingError> {
        let frontend = &self.reference.frontend;
        let whole = crate::graph::Frontend { hop: frontend.window_len, ..frontend.clone() };
        let mut set = WindowSet::new();
        set.add(recording.clips(&whole)?)?;
        Ok(set)
    }

    /// Distances of the probes' latents from those of the normal windows, as a float model knows none.
    fn distances(&self, vae: &Vae) -> Result<Vec<f64>, YardstickError> {
        let latents = |recording| -> Result<Array2<f64>, YardstickError> {
            let set = self.windows(recording)?;
            let mut all = Array2::zeros((set.len(), vae.latent_len()));
            for (batch, mut rows) in (0..set.len())
                .collect::<Vec<_>>()
                .chunks(BATCH)
                .zip(all.axis_chunks_iter_mut(Axis(0), BATCH))
            {
                let (mu, _) = vae.encode(set.features(&vae.frontend, batch).view());
                rows.assign(&mu.mapv(f64::from));
            }
            Ok(all)
        };
        let normal = latents(&self.normal)?;
        let fitted = [true, false].into_iter();
        let mut fitted =
            fitted.filter_map(|full| LatentGaussian::fit(normal.view(), full, LEAST_DEVIATION));
        let normal = fitted.next().ok_or(YardstickError::NoWindows)?;
        let probes = latents(&self.probes)?;
        Ok(probes.rows().into_iter().map(|mu| normal.squared_distance(mu)).collect())
    }

    /// The model's score of every probe.
    fn float_scores(&self, vae: &Vae) -> Result<Vec<f64>, YardstickError> {
        if vae.score == ScoreKind::Mahalanobis {
            return self.distances(vae);
        }
        let set = self.windows(&self.probes)?;
        let mut scores = Vec::with_capacity(set.len());
        for batch in (0..set.len()).collect::<Vec<_>>().chunks(BATCH) {
            let x = set.features(&vae.frontend, batch);
            let (mu, logvar) = vae.encode(x.view());
            let output = vae.decode(mu.view());
            let of = vae.scores_of(x.view(), &mu, logvar.as_ref(), &output);
            scores.extend(of.iter().map(|scores| scores.get(vae.score)));
        }
        Ok(scores)
    }

    fn quality(&self, negative_elbo: f64, scores: &[f64]) -> Quality {
        Quality {
            negative_elbo,
            agreement: rank_correlation(scores, &self.reference_scores).unwrap_or(0.0),
            damage_auc: roc_auc(scores, &self.damaged).unwrap_or(0.5),
        }
    }

    /// Measures a float model.
    ///
    /// # Errors
    /// [`YardstickError`].
    pub fn of_float(&self, vae: &Vae) -> Result<Quality, YardstickError> {
        let set = self.windows(&self.normal)?;
        let mut sum = 0.0;
        for batch in (0..set.len()).collect::<Vec<_>>().chunks(BATCH) {
            let x = set.features(&vae.frontend, batch);
            let (mu, logvar) = vae.encode(x.view());
            let mut noise = Array2::zeros(mu.raw_dim());
            for (mut row, index) in noise.axis_iter_mut(Axis(0)).zip(batch) {
                let mut draw = window_noise(0, *index);
                row.iter_mut().for_each(|n| *n = draw.sample_q13() as f32 / 8192.0);
            }
            let z = sample(&mu, logvar.as_ref(), Some(noise.view()));
            let output = vae.decode(z.view());
            let of = vae.scores_of(x.view(), &mu, logvar.as_ref(), &output);
            sum += of.iter().map(crate::graph::Scores::negative_elbo).sum::<f64>();
        }
        Ok(self.quality(sum / set.len() as f64, &self.float_scores(vae)?))
    }

    /// Measures a blob, by the core.
    ///
    /// # Errors
    /// [`YardstickError`].
    pub fn of_blob(&self, blob: &Blob) -> Result<Quality, YardstickError> {
        let model = blob.model()?;
        let means = mean_scores(&model, &self.windows(&self.normal)?, 0)?;
        let scores = score_set(&model, &self.windows(&self.probes)?)?;
        let kind = model.score_kind();
        let scores: Vec<f64> = scores.iter().map(|score| real_score(*score, kind)).collect();
        Ok(self.quality(means.negative_elbo(), &scores))
    }

    /// How much worse a negative ELBO is than another, as a share of it. A Gaussian one
    /// may be near 0, where its own size says nothing: half a nat a feature is the
    /// least it is compared with.
    pub fn relative_loss(&self, negative_elbo: f64, reference: f64) -> f64 {
        let floor = match self.reference.likelihood {
            Likelihood::Gaussian { .. } => 0.5 * self.reference.input_len() as f64,
            Likelihood::Bernoulli => 1e-9,
        };
        (negative_elbo - reference) / reference.abs().max(floor)
    }
}

#[cfg(test)]
#[path = "yardstick_tests.rs"]
mod tests;
