//! Anomaly scores: integers in a stated Q format, greater is more anomalous.

pub mod attribution;
pub mod kl_divergence;
pub mod likelihood;
pub mod mahalanobis;
pub mod reconstruction_error;
#[cfg(feature = "latent-heads")]
pub mod resemblance;

use serde::{Deserialize, Serialize};

/// What a score measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ScoreKind {
    /// Mean squared difference of features and reconstruction, in squared feature units.
    ReconstructionError,
    /// `-ln p(x | z)` of a Bernoulli decoder, nats a window.
    BernoulliNll,
    /// `-ln p(x | z)` of a Gaussian decoder, nats a window.
    GaussianNll,
    /// `KL(q(z | x) || N(0, 1))`, nats a window.
    KlDivergence,
    /// Negative log likelihood at `z = mu` plus KL, nats a window.
    NegativeElbo,
    /// `-ln p(x | z)` of a Bernoulli decoder in excess of the features' own entropy, nats a window.
    BernoulliExcess,
    /// Squared Mahalanobis distance of `mu` from the latents of normal windows.
    Mahalanobis,
    /// Mean of `-ln p(x | z)` over samples of the posterior, nats a window.
    ReconstructionProbability,
}

impl ScoreKind {
    /// Fraction bits of a score of this kind: 32 for the mean squared error, 16 for everything else.
    pub const fn frac_bits(self) -> u32 {
        match self {
            Self::ReconstructionError => 32,
            _ => 16,
        }
    }

    /// The stable name, as the command line and the documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReconstructionError => "reconstruction_error",
            Self::BernoulliNll => "bernoulli_nll",
            Self::GaussianNll => "gaussian_nll",
            Self::KlDivergence => "kl_divergence",
            Self::NegativeElbo => "negative_elbo",
            Self::BernoulliExcess => "bernoulli_excess",
            Self::Mahalanobis => "mahalanobis",
            Self::ReconstructionProbability => "reconstruction_probability",
        }
    }
}

/// A score: an integer with [`ScoreKind::frac_bits`] fraction bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Score(
    /// The raw integer.
    pub i64,
);
