//! What a [`Batch`] says of its windows: scores, and every activation once more.

use super::Vae;
use super::batch::{Batch, head_len, place, stride, vector};
use super::network::{restore, signed_mut};
use super::prepared::layers;
use crate::fixed::gaussian::Gaussian;
use crate::kernels::batch::vectorized;
use crate::model::wire::Likelihood;
use crate::model::wire::sections::Sampling;
use crate::score::reconstruction_error::sum_of_squares;
use crate::score::{Score, ScoreKind};
use crate::trace::Trace;

impl<'p, 'a> Batch<'p, '_, 'a> {
    /// Window `at` as [`Vae`] would hold it, as far as it has run; a window that is not there changes nothing.
    pub fn window(&mut self, at: usize) -> &mut Vae<'p, 'a> {
        let model = self.prepared.model;
        let len = model.input_len();
        let features = place(self.features, len, at);
        let head = vector(self.encoder, head_len(model), self.windows, at);
        let output = vector(self.decoder, len, self.windows, at);
        restore(model, self.vae.arena, features, head, output);
        &mut self.vae
    }

    /// The scores the model was calibrated for, of the first windows, which are decoded at their means.
    pub fn scores(&mut self, scores: &mut [Score]) {
        let model = self.model();
        match (model.score_kind(), model.sections().sampling) {
            (ScoreKind::ReconstructionProbability, Some(sampling)) => {
                self.reconstruction_probabilities(sampling, scores);
            }
            (ScoreKind::ReconstructionError, _) => {
                for (at, score) in scores.iter_mut().enumerate() {
                    *score = self.reconstruction_error(at);
                }
            }
            _ => {
                for (at, score) in scores.iter_mut().enumerate() {
                    *score = self.window(at).score();
                }
            }
        }
    }

    /// [`Vae::reconstruction_probability`] of the first windows.
    fn reconstruction_probabilities(&mut self, sampling: Sampling, scores: &mut [Score]) {
        let mut noise = Gaussian::new(sampling.seed);
        scores.fill(Score(0));
        for _ in 0..sampling.samples {
            // Every window's generator starts anew, so that all of them draw the same numbers.
            self.decode_samples(scores.len(), |_| noise.clone());
            for (at, score) in scores.iter_mut().enumerate() {
                score.0 = score.0.saturating_add(self.window(at).nll().0);
            }
            if self.model().description().latent.has_logvar {
                for _ in 0..self.model().latent_len() {
                    let _ = noise.sample_q13();
                }
            }
        }
        self.decode(scores.len());
        for score in scores {
            score.0 = score.0.checked_div(sampling.samples.into()).unwrap_or(0);
        }
    }

    /// Mean squared error of window `at`, squared feature units, Q32.
    pub fn reconstruction_error(&mut self, at: usize) -> Score {
        let model = self.prepared.model;
        match model.likelihood() {
            Likelihood::Bernoulli => self.window(at).reconstruction_error(),
            // The output is the reconstruction: read where it lies, in one loop without a choice in it.
            Likelihood::Gaussian { .. } => vectorized(|| {
                let features = &*place(self.features, model.input_len(), at);
                let output = vector(self.decoder, features.len(), self.windows, at);
                let pairs = features.iter().copied().zip(output.iter().copied());
                Score(model.description().mean_square.scale(sum_of_squares(pairs)))
            }),
        }
    }

    /// Shows `trace` what [`Vae::score_window_traced`] would have shown it of window `at`, decoded at its mean and of
    /// this score.
    pub fn replay(&mut self, at: usize, score: Score, trace: &mut impl Trace) {
        if at >= self.windows {
            return;
        }
        let model = self.model();
        trace.features(place(self.features, model.input_len(), at));
        for (decoder, range) in
            [(false, 0..model.encoder_len()), (true, model.encoder_len()..model.layer_count())]
        {
            let (area, first) = match decoder {
                true => (&*self.decoder, model.latent_len()),
                false => (&*self.encoder, model.input_len()),
            };
            let Some((z, mut rest)) = area.split_at_checked(self.windows * stride(first)) else {
                return;
            };
            if decoder {
                let z = z.get(at * stride(first)..).unwrap_or(&[]);
                trace.latent(narrowed(z, first, self.work));
            }
            let end = range.end;
            for (index, layer) in range.clone().zip(layers(model, range)) {
                let len = layer.output_len();
                let Some((values, others)) = rest.split_at_checked(self.windows * stride(len))
                else {
                    return;
                };
                let values = values.get(at * stride(len)..).unwrap_or(&[]);
                rest = others;
                let (widened, is_last) = (layer.narrow().is_some(), index + 1 == end);
                if widened || !is_last {
                    trace.layer(index, narrowed(values, len, self.work));
                }
                if is_last {
                    let head = if widened { rest } else { values };
                    let from = if widened { at * stride(len) } else { 0 };
                    trace.head(index, head.get(from..from + len).unwrap_or(&[]));
                }
            }
        }
        trace.score(score);
    }
}

/// int8 values as bytes again.
fn narrowed<'w>(values: &[i16], len: usize, work: &'w mut [u8]) -> &'w [i8] {
    let bytes = signed_mut(work.get_mut(..len).unwrap_or(&mut []));
    for (byte, &value) in bytes.iter_mut().zip(values) {
        *byte = value as i8;
    }
    bytes
}
