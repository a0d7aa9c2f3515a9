//! Batches with their noise.

use ndarray::Array2;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::features::Features;
use super::gradient::Batch;
use super::{FitConfig, Stream, stream};
use crate::graph::Vae;

/// Draws batches with their noise.
pub(super) struct Sampler<'a> {
    vae: &'a Vae,
    input_noise: f32,
    input_dropout: f32,
    latent: rand_chacha::ChaCha8Rng,
    corruption: rand_chacha::ChaCha8Rng,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(vae: &'a Vae, config: &FitConfig) -> Self {
        Self {
            vae,
            input_noise: config.input_noise,
            input_dropout: config.input_dropout,
            latent: stream(config.seed, Stream::Latent),
            corruption: stream(config.seed, Stream::Corruption),
        }
    }

    /// Positions in its streams of random numbers.
    pub(super) fn positions(&self) -> [u128; 2] {
        [self.latent.get_word_pos(), self.corruption.get_word_pos()]
    }

    /// Goes on at [`positions`](Self::positions).
    pub(super) fn seek(&mut self, [latent, corruption]: [u128; 2]) {
        self.latent.set_word_pos(latent);
        self.corruption.set_word_pos(corruption);
    }

    /// The windows `indices`, and what is drawn for them.
    pub(super) fn batch(&mut self, data: &Features<'_, '_>, indices: &[usize]) -> Batch {
        let target = data.of(indices);
        let mut input = target.clone();
        let rng = &mut self.corruption;
        if self.input_noise > 0.0 {
            let noise = normal((input.nrows(), input.ncols()), rng);
            input.scaled_add(self.input_noise, &noise);
        }
        if self.input_dropout > 0.0 {
            let p = self.input_dropout;
            input.mapv_inplace(|x| if rng.random::<f32>() < p { 0.0 } else { x });
        }
        Batch {
            input,
            target,
            noise: normal((indices.len(), self.vae.latent_len()), &mut self.latent),
            teacher: None,
        }
    }
}

/// Standard normal draws.
pub(super) fn normal(shape: (usize, usize), rng: &mut impl Rng) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape, || StandardNormal.sample(rng))
}
