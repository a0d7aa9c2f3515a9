//! Encoder, latent, decoder and score of one window.

mod batch;
mod batch_scores;
mod error;
mod network;
mod prepared;

pub use batch::Batch;
pub use error::VaeError;
pub use prepared::Prepared;

use crate::fixed::exp::{exp_q24, sigmoid_grid};
use crate::fixed::gaussian::{Gaussian, SAMPLE_FRAC_BITS};
use crate::fixed::requantize::{saturate_i16, saturate_i32};
use crate::frontend::Frontend;
use crate::model::Model;
use crate::model::wire::sections::Sampling;
use crate::model::wire::{Latent, Likelihood};
use crate::score::attribution::{Attribution, attribute};
use crate::score::kl_divergence::{kl_divergence, shift_to_q16};
use crate::score::likelihood::{bernoulli_entropy, bernoulli_nll, gaussian_nll};
use crate::score::reconstruction_error::{GRID_FRAC_BITS, sum_of_squares};
use crate::score::{Score, ScoreKind};
use crate::trace::{NoTrace, Trace};

/// A model joined to its arena: runs windows, one at a time.
///
/// The latent is read at its mean for scoring ([`decode`](Self::decode)) and
/// sampled only where asked ([`decode_sample`](Self::decode_sample),
/// [`generate`](Self::generate)).
#[derive(Debug)]
pub struct Vae<'m, 'a> {
    model: &'m Model<'a>,
    arena: &'m mut [u8],
}

impl<'m, 'a> Vae<'m, 'a> {
    /// Joins a model and its arena; the last fallible step.
    ///
    /// # Errors
    /// [`VaeError::ArenaMisaligned`], [`VaeError::ArenaTooSmall`].
    pub fn new(model: &'m Model<'a>, arena: &'m mut [u8]) -> Result<Self, VaeError> {
        let (needed, got) = (model.arena_len(), arena.len());
        if !arena.as_ptr().addr().is_multiple_of(crate::arena::ALIGNMENT) {
            return Err(VaeError::ArenaMisaligned);
        }
        let arena = arena.get_mut(..needed).ok_or(VaeError::ArenaTooSmall { needed, got })?;
        Ok(Self { model, arena })
    }

    /// The model.
    pub fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// Runs the front-end on a window `[window_len][channels]` of raw samples.
    ///
    /// # Errors
    /// [`VaeError::InputLength`]; the features are then unchanged.
    pub fn load(&mut self, window: &[i16]) -> Result<(), VaeError> {
        self.load_ring(window, &[])
    }

    /// [`load`](Self::load) of a window in two pieces, older samples first.
    ///
    /// # Errors
    /// [`VaeError::InputLength`]; the features are then unchanged.
    pub fn load_ring(&mut self, older: &[i16], newer: &[i16]) -> Result<(), VaeError> {
        self.load_through(&self.model.frontend(), older, newer)
    }

    /// [`load_ring`](Self::load_ring) with another normalization than the blob's.
    pub(crate) fn load_through(
        &mut self,
        frontend: &Frontend<'_>,
        older: &[i16],
        newer: &[i16],
    ) -> Result<(), VaeError> {
        let (needed, got) = (self.model.window_samples(), older.len() + newer.len());
        if needed != got {
            return Err(VaeError::InputLength { needed, got });
        }
        let plan = self.model.plan();
        let features_len = self.model.input_len();
        if let Some((features, rest)) = self.arena.split_at_mut_checked(plan.features)
            && let (Some(features), Some(work)) =
                (features.get_mut(..features_len), rest.get_mut(plan.head..))
        {
            frontend.features(older, newer, work, network::signed_mut(features));
        }
        Ok(())
    }

    /// Calls `feature(group, v)` for every feature of a window before its normalization; what was loaded or
    /// computed before is lost.
    #[cfg(feature = "recalibration")]
    pub(crate) fn observe(
        &mut self,
        older: &[i16],
        newer: &[i16],
        feature: impl FnMut(usize, i32),
    ) {
        let plan = self.model.plan();
        if let Some(work) = self.arena.get_mut(plan.features + plan.head..) {
            self.model.frontend().observe(older, newer, work, feature);
        }
    }

    /// The int8 features, `[input_len]`.
    pub fn features(&self) -> &[i8] {
        network::signed(self.arena.get(..self.model.input_len()).unwrap_or(&[]))
    }

    /// The int8 features, to be set directly.
    pub fn features_mut(&mut self) -> &mut [i8] {
        let len = self.model.input_len();
        network::signed_mut(self.arena.get_mut(..len).unwrap_or(&mut []))
    }

    /// Features to `mu` and `logvar`.
    pub fn encode(&mut self) {
        self.encode_traced(&mut NoTrace);
    }

    /// [`encode`](Self::encode), watched.
    pub fn encode_traced(&mut self, trace: &mut impl Trace) {
        trace.features(self.features());
        network::encode(self.model, self.arena, trace);
    }

    /// The latent mean, `[latent_len]`, with `mu_frac_bits` fraction bits.
    pub fn mu(&self) -> &[i16] {
        self.head().get(..self.model.latent_len()).unwrap_or(&[])
    }

    /// ln of the latent variance, `[latent_len]`, with `logvar_frac_bits`
    /// fraction bits; empty for a plain autoencoder.
    pub fn logvar(&self) -> &[i16] {
        let latent = self.model.latent_len();
        if !self.model.description().latent.has_logvar {
            return &[];
        }
        self.head().get(latent..latent * 2).unwrap_or(&[])
    }

    /// Decodes the latent at its mean; what [`score`](Self::score) judges.
    pub fn decode(&mut self) {
        self.decode_traced(&mut NoTrace);
    }

    /// [`decode`](Self::decode), watched.
    pub fn decode_traced(&mut self, trace: &mut impl Trace) {
        network::write_latent(self.model, self.arena, |_, mu, _| mu);
        network::decode(self.model, self.arena, trace);
    }

    /// Decodes a sample `mu + e^(logvar / 2) * epsilon` of the posterior.
    pub fn decode_sample(&mut self, noise: &mut Gaussian) {
        let latent = self.model.description().latent;
        network::write_latent(self.model, self.arena, |_, mu, logvar| {
            posterior_sample(&latent, mu, logvar, noise)
        });
        network::decode(self.model, self.arena, &mut NoTrace);
    }

    /// Decodes a draw from the prior N(0, 1); read it with [`reconstruction`](Self::reconstruction).
    /// Features and latent of the last window stay as they are.
    pub fn generate(&mut self, noise: &mut Gaussian) {
        let bits = u32::from(self.model.description().latent.mu_frac_bits.min(15));
        network::write_latent(self.model, self.arena, |_, _, _| {
            let sample = noise.sample_q13();
            let scaled = if bits <= SAMPLE_FRAC_BITS {
                let shift = SAMPLE_FRAC_BITS - bits;
                (sample + ((1 << shift) >> 1)) >> shift
            } else {
                sample << (bits - SAMPLE_FRAC_BITS)
            };
            saturate_i16(scaled)
        });
        network::decode(self.model, self.arena, &mut NoTrace);
    }

    /// Decodes a latent of the caller's: `z[latent_len]` with `mu_frac_bits` fraction bits.
    ///
    /// # Errors
    /// [`VaeError::InputLength`].
    pub fn decode_latent(&mut self, z: &[i16]) -> Result<(), VaeError> {
        let (needed, got) = (self.model.latent_len(), z.len());
        if needed != got {
            return Err(VaeError::InputLength { needed, got });
        }
        network::write_latent(self.model, self.arena, |i, _, _| z.get(i).copied().unwrap_or(0));
        network::decode(self.model, self.arena, &mut NoTrace);
        Ok(())
    }

    /// The decoder's int16 output: logits in Q8, or the mean on the features' grid with six fraction bits.
    pub fn output(&self) -> &[i16] {
        network::output(self.model, self.arena)
    }

    /// The reconstruction on the features' grid with six fraction bits:
    /// `feature = scale * (value / 64 - zero_point)`.
    pub fn reconstruction(&self) -> impl Iterator<Item = i16> {
        let bernoulli = matches!(self.model.likelihood(), Likelihood::Bernoulli);
        self.output().iter().map(move |&y| match bernoulli {
            // u8 pixels start at -128 on the int8 grid.
            true => sigmoid_grid(y) - (128 << GRID_FRAC_BITS),
            false => y,
        })
    }

    /// Mean squared error of features and reconstruction, squared feature units, Q32.
    pub fn reconstruction_error(&self) -> Score {
        let pairs = self.features().iter().copied().zip(self.reconstruction());
        Score(self.model.description().mean_square.scale(sum_of_squares(pairs)))
    }

    /// Negative log likelihood of the features, nats, Q16.
    pub fn nll(&self) -> Score {
        Score(match self.model.likelihood() {
            Likelihood::Bernoulli => bernoulli_nll(self.features(), self.output()),
            Likelihood::Gaussian { factor, constant, .. } => gaussian_nll(
                self.features(),
                self.output(),
                self.model.precision(),
                factor,
                constant,
            ),
        })
    }

    /// KL divergence of the posterior from N(0, 1), nats, Q16; 0 for a plain autoencoder.
    pub fn kl_divergence(&self) -> Score {
        let latent = &self.model.description().latent;
        Score(kl_divergence(self.mu(), self.logvar(), latent.mu_frac_bits, latent.logvar_frac_bits))
    }

    /// Negative log likelihood plus KL, nats, Q16.
    pub fn negative_elbo(&self) -> Score {
        Score(self.nll().0.saturating_add(self.kl_divergence().0))
    }

    /// NLL in excess of the features' own entropy, nats, Q16; for a Bernoulli likelihood.
    pub fn bernoulli_excess(&self) -> Score {
        Score(self.nll().0.saturating_sub(bernoulli_entropy(self.features())))
    }

    /// Squared Mahalanobis distance of `mu`, Q16; 0 where the model has no [`LatentGaussian`](crate::score::mahalanobis::LatentGaussian).
    pub fn mahalanobis(&self) -> Score {
        Score(self.model.latent_gaussian().map_or(0, |normal| normal.squared_distance(self.mu())))
    }

    /// Mean NLL over `samples` draws of the posterior, nats, Q16, rounded towards zero; the
    /// generator starts anew at every window. Leaves the reconstruction of `mu`.
    pub fn reconstruction_probability(&mut self, sampling: Sampling) -> Score {
        let mut noise = Gaussian::new(sampling.seed);
        let mut sum = 0i64;
        for _ in 0..sampling.samples {
            self.decode_sample(&mut noise);
            sum = sum.saturating_add(self.nll().0);
        }
        self.decode();
        Score(sum.checked_div(sampling.samples.into()).unwrap_or(0))
    }

    /// Which channel or band carried the last decoded window's error.
    pub fn attribution(&self) -> Attribution {
        let frontend = self.model.frontend();
        let (groups, channels) = (frontend.groups(), frontend.channels);
        let reconstruction = || self.reconstruction();
        attribute(self.features(), reconstruction, self.model.precision(), groups, channels)
    }

    /// The score the model was calibrated for, of the last decoded window.
    pub fn score(&mut self) -> Score {
        match self.model.score_kind() {
            ScoreKind::ReconstructionError => self.reconstruction_error(),
            ScoreKind::BernoulliNll | ScoreKind::GaussianNll => self.nll(),
            ScoreKind::KlDivergence => self.kl_divergence(),
            ScoreKind::NegativeElbo => self.negative_elbo(),
            #[cfg(feature = "extra-scores")]
            ScoreKind::BernoulliExcess => self.bernoulli_excess(),
            #[cfg(feature = "extra-scores")]
            ScoreKind::Mahalanobis => self.mahalanobis(),
            #[cfg(feature = "extra-scores")]
            ScoreKind::ReconstructionProbability => match self.model.sections().sampling {
                Some(sampling) => self.reconstruction_probability(sampling),
                None => self.nll(),
            },
            // The gate has refused them.
            #[cfg(not(feature = "extra-scores"))]
            _ => self.nll(),
        }
    }

    /// Load, encode, decode and score one window.
    ///
    /// # Errors
    /// [`VaeError::InputLength`].
    pub fn score_window(&mut self, window: &[i16]) -> Result<Score, VaeError> {
        self.score_window_traced(window, &mut NoTrace)
    }

    /// [`score_window`](Self::score_window), watched.
    ///
    /// # Errors
    /// [`VaeError::InputLength`].
    pub fn score_window_traced(
        &mut self,
        window: &[i16],
        trace: &mut impl Trace,
    ) -> Result<Score, VaeError> {
        self.load(window)?;
        Ok(self.score_loaded(trace))
    }

    /// Encode, decode and score the features loaded.
    pub fn score_loaded(&mut self, trace: &mut impl Trace) -> Score {
        self.encode_traced(trace);
        self.decode_traced(trace);
        let score = self.score();
        trace.score(score);
        score
    }

    /// The encoder's head: `mu`, then `logvar`.
    fn head(&self) -> &[i16] {
        let plan = self.model.plan();
        let bytes = self.arena.get(plan.features..plan.features + plan.head).unwrap_or(&[]);
        bytemuck::try_cast_slice(bytes).unwrap_or(&[])
    }
}

/// `mu + e^(logvar / 2) * epsilon`, or `mu` for a plain autoencoder.
#[inline(always)]
fn posterior_sample(latent: &Latent, mu: i16, logvar: Option<i16>, noise: &mut Gaussian) -> i16 {
    let mu_bits = u32::from(latent.mu_frac_bits.min(15));
    let logvar_bits = u32::from(latent.logvar_frac_bits.min(15));
    let Some(logvar) = logvar else { return mu };
    let deviation = exp_q24(shift_to_q16(logvar.into(), logvar_bits) >> 1) as i64;
    let shift = 24 + SAMPLE_FRAC_BITS - mu_bits;
    let noise = (deviation * i64::from(noise.sample_q13()) + (1 << (shift - 1))) >> shift;
    saturate_i16(saturate_i32(noise + i64::from(mu)))
}
