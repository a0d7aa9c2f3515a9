//! The scores in f64, straight from their formulas: the oracle that the
//! device's integer scores are held against.
//!
//! Every score grows with how unusual a window is. Sums are in nats.

use super::activation::sigmoid;
use super::{Likelihood, Vae};
use ndarray::{Array2, ArrayView1, ArrayView2};
use picovae_core::fixed::gaussian::Gaussian;
use serde::{Deserialize, Serialize};

/// Which number a detector compares with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreKind {
    /// Mean over features of `(x - y)^2`, y the decoder's mean for `mu`.
    ReconstructionError,
    /// `sum(softplus(l) - x * l)`, l the decoder's logits for `mu`.
    BernoulliNll,
    /// `0.5 * sum(p * (x - y)^2 - ln p + ln 2 pi)`, p the precision.
    GaussianNll,
    /// `0.5 * sum(mu^2 + exp(lv) - 1 - lv)`, to the unit Gaussian.
    KlDivergence,
    /// NLL of the model's likelihood plus the KL divergence.
    NegativeElbo,
    /// Bernoulli NLL less the features' own entropy.
    BernoulliExcess,
    /// Squared Mahalanobis distance of `mu` from the latents of normal windows,
    /// which a blob knows ([`super::LatentGaussian`]).
    Mahalanobis,
    /// Mean NLL over [`SAMPLES`] seeded samples of the posterior (An and Cho 2015).
    ReconstructionProbability,
}

/// Samples of the reconstruction probability.
pub const SAMPLES: u8 = 16;

impl ScoreKind {
    /// All kinds, in order.
    pub const ALL: [Self; 8] = [
        Self::ReconstructionError,
        Self::BernoulliNll,
        Self::GaussianNll,
        Self::KlDivergence,
        Self::NegativeElbo,
        Self::BernoulliExcess,
        Self::Mahalanobis,
        Self::ReconstructionProbability,
    ];

    /// The name used on the command line and in JSON.
    pub fn name(self) -> &'static str {
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

impl std::fmt::Display for ScoreKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for ScoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|kind| kind.name() == wanted).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("unknown score `{text}`; known: {}", known.join(", "))
        })
    }
}

/// Every score of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// Mean squared error over features.
    pub reconstruction_error: f64,
    /// NLL of the features under the model's own likelihood, nats.
    pub nll: f64,
    /// KL divergence of the latent, nats; 0 for a plain autoencoder.
    pub kl_divergence: f64,
    /// Entropy of the features read as Bernoulli means, nats; 0 under a Gaussian likelihood.
    pub entropy: f64,
}

impl Scores {
    /// `nll + kl_divergence`.
    pub fn negative_elbo(&self) -> f64 {
        self.nll + self.kl_divergence
    }

    /// The score of this kind, decoded from `mu`: NaN for [`ScoreKind::Mahalanobis`],
    /// and the NLL at `mu` for [`ScoreKind::ReconstructionProbability`]
    /// ([`Vae::reconstruction_probability`] samples it). The two NLL kinds both give the NLL of the
    /// model's own likelihood; [`Vae::validate`] refuses the unfit one.
    pub fn get(&self, kind: ScoreKind) -> f64 {
        match kind {
            ScoreKind::ReconstructionError => self.reconstruction_error,
            ScoreKind::BernoulliNll | ScoreKind::GaussianNll => self.nll,
            ScoreKind::KlDivergence => self.kl_divergence,
            ScoreKind::NegativeElbo => self.negative_elbo(),
            ScoreKind::BernoulliExcess => self.nll - self.entropy,
            ScoreKind::Mahalanobis => f64::NAN,
            ScoreKind::ReconstructionProbability => self.nll,
        }
    }
}

impl Vae {
    /// Scores of a batch of features `x[window][input_len]`, decoding `mu`.
    pub fn scores(&self, x: ArrayView2<'_, f32>) -> Vec<Scores> {
        let (mu, logvar) = self.encode(x);
        let output = self.decode(mu.view());
        self.scores_of(x, &mu, logvar.as_ref(), &output)
    }

    /// The model's default score ([`Vae::score`]) for a batch of features.
    pub fn score_batch(&self, x: ArrayView2<'_, f32>) -> Vec<f64> {
        let kind = self.score;
        if kind == ScoreKind::ReconstructionProbability {
            return self.reconstruction_probability(x, SAMPLES, 0);
        }
        self.scores(x).iter().map(|scores| scores.get(kind)).collect()
    }

    /// Mean NLL over `samples` draws of each window's posterior, nats; every window's
    /// generator starts at `seed`, as the device's does.
    pub fn reconstruction_probability(
        &self,
        x: ArrayView2<'_, f32>,
        samples: u8,
        seed: u32,
    ) -> Vec<f64> {
        let (mu, logvar) = self.encode(x);
        let mut generator = Gaussian::new(seed);
        let mut sum = vec![0.0; x.nrows()];
        for _ in 0..samples {
            let draw: Vec<f32> =
                (0..mu.ncols()).map(|_| generator.sample_q13() as f32 / 8192.0).collect();
            let noise = Array2::from_shape_fn(mu.dim(), |(_, i)| draw[i]);
            let z = super::sample(&mu, logvar.as_ref(), Some(noise.view()));
            let scores = self.scores_of(x, &mu, logvar.as_ref(), &self.decode(z.view()));
            sum.iter_mut().zip(scores).for_each(|(sum, scores)| *sum += scores.nll);
        }
        sum.iter().map(|sum| sum / f64::from(samples.max(1))).collect()
    }

    /// Scores from tensors already computed: `x` and `output` are
    /// `[window][input_len]`, `mu` and `logvar` `[window][latent]`.
    pub fn scores_of(
        &self,
        x: ArrayView2<'_, f32>,
        mu: &Array2<f32>,
        logvar: Option<&Array2<f32>>,
        output: &Array2<f32>,
    ) -> Vec<Scores> {
        (0..x.nrows())
            .map(|row| {
                let (x, y) = (x.row(row), output.row(row));
                let (mse, nll, entropy) = match &self.likelihood {
                    Likelihood::Bernoulli => {
                        let mean = y.mapv(sigmoid);
                        let mse = reconstruction_error(x, mean.view());
                        (mse, bernoulli_nll(x, y), bernoulli_entropy(x))
                    }
                    Likelihood::Gaussian { precision } => {
                        let p = precision.as_ref().map(|p| p.view());
                        (reconstruction_error(x, y), gaussian_nll(x, y, p), 0.0)
                    }
                };
                Scores {
                    reconstruction_error: mse,
                    nll,
                    entropy,
                    kl_divergence: logvar
                        .map_or(0.0, |logvar| kl_divergence(mu.row(row), logvar.row(row))),
                }
            })
            .collect()
    }
}

/// Mean over features of `(x - y)^2`.
pub fn reconstruction_error(x: ArrayView1<'_, f32>, y: ArrayView1<'_, f32>) -> f64 {
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    sum / x.len().max(1) as f64
}

/// `sum(softplus(l) - x * l)` in nats; `x` in [0, 1], `logits` unbounded.
pub fn bernoulli_nll(x: ArrayView1<'_, f32>, logits: ArrayView1<'_, f32>) -> f64 {
    x.iter()
        .zip(logits)
        .map(|(x, l)| {
            let l = f64::from(*l);
            l.max(0.0) + (-l.abs()).exp().ln_1p() - f64::from(*x) * l
        })
        .sum()
}

/// `-sum(x ln x + (1 - x) ln(1 - x))` in nats; `x` in [0, 1].
pub fn bernoulli_entropy(x: ArrayView1<'_, f32>) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    x.iter().map(|x| term(f64::from(*x)) + term(1.0 - f64::from(*x))).sum()
}

/// `0.5 * sum(p * (x - y)^2 - ln p + ln 2 pi)` in nats; without a precision,
/// p is 1.
pub fn gaussian_nll(
    x: ArrayView1<'_, f32>,
    y: ArrayView1<'_, f32>,
    precision: Option<ArrayView1<'_, f32>>,
) -> f64 {
    let sum: f64 = x
        .iter()
        .zip(y)
        .enumerate()
        .map(|(i, (x, y))| {
            let p = precision.map_or(1.0, |p| f64::from(p[i]));
            p * (f64::from(*x) - f64::from(*y)).powi(2) - p.ln()
        })
        .sum();
    0.5 * (sum + x.len() as f64 * std::f64::consts::TAU.ln())
}

/// `0.5 * sum(mu^2 + exp(lv) - 1 - lv)` in nats.
pub fn kl_divergence(mu: ArrayView1<'_, f32>, logvar: ArrayView1<'_, f32>) -> f64 {
    let sum: f64 = mu
        .iter()
        .zip(logvar)
        .map(|(mu, lv)| {
            let (mu, lv) = (f64::from(*mu), f64::from(*lv));
            // exp_m1 keeps the digits where the latent is close to its prior.
            mu * mu + lv.exp_m1() - lv
        })
        .sum();
    0.5 * sum
}
