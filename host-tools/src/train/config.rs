//! What can be chosen about a network and its training.

use super::{Convolution, Image, Normalize, TrainError};
use crate::graph::{Activation, LikelihoodKind, ScoreKind};
use serde::Serialize;

/// Everything [`super::train`] needs besides the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Shape of the network.
    pub architecture: Architecture,
    /// How features are scaled.
    pub normalize: Normalize,
    /// How the weights are fitted.
    pub fit: FitConfig,
    /// Beginnings to try, 1 to 1,000: as many networks of random weights are trained for an epoch (or while the KL
    /// weight grows), and the one with the least loss then, over the held-out windows where there are any, is
    /// trained on. 1 takes the first one.
    pub starts: usize,
}

impl TrainConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), TrainError> {
        if !(1..=MOST_STARTS).contains(&self.starts) {
            return Err(TrainError::Setting {
                setting: "starts",
                value: self.starts.to_string(),
                must: "between 1 and 1000",
            });
        }
        self.fit.validate()?;
        self.architecture.validate()
    }
}

/// Beginnings beyond which another one is of no use.
const MOST_STARTS: usize = 1_000;

/// Most of the windows that may be held out.
const MOST_HELD_OUT: f32 = 0.9;

/// Shape of a VAE: convolutions, fully connected layers, the latent, and back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// Name of the model.
    pub name: String,
    /// The encoder's convolutions, input side first; may be empty.
    pub convolutions: Vec<Convolution>,
    /// The decoder's transposed convolutions, latent side first; `None` mirrors
    /// the encoder's. The last one writes as many channels as the features have.
    pub decoder_convolutions: Option<Vec<Convolution>>,
    /// Convolve the features as an image instead of a signal.
    pub image: Option<Image>,
    /// Widths of the encoder's fully connected hidden layers, input side first.
    pub hidden: Vec<usize>,
    /// Widths of the decoder's fully connected hidden layers, latent side first
    /// (before the one that feeds the transposed convolutions).
    pub decoder_hidden: Vec<usize>,
    /// Dimensions of the latent.
    pub latent: usize,
    /// After every hidden layer.
    pub activation: Activation,
    /// How features are distributed.
    pub likelihood: LikelihoodKind,
    /// Default score of the model.
    pub score: ScoreKind,
}

/// Standard deviation of a Gaussian likelihood while training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sigma {
    /// The value that maximizes the likelihood of each batch: σ² is the batch's
    /// mean squared error (σ-VAE, Rybkin et al. 2021). No weighting of
    /// reconstruction against KL is left to tune.
    Optimal,
    /// A fixed value, in feature units.
    Fixed(f32),
}

impl std::str::FromStr for Sigma {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("optimal") {
            return Ok(Self::Optimal);
        }
        match text.parse::<f32>() {
            Ok(sigma) if sigma.is_finite() && sigma > 0.0 => Ok(Self::Fixed(sigma)),
            _ => Err(format!("`{text}` is neither `optimal` nor a positive number")),
        }
    }
}

/// How weights are fitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitConfig {
    /// σ of a Gaussian likelihood; unused for Bernoulli.
    pub sigma: Sigma,
    /// Weight of the KL divergence.
    pub beta: f32,
    /// Epochs over which that weight grows linearly from 0; may be 0.
    pub beta_warmup: f32,
    /// Passes over the data, at most.
    pub epochs: usize,
    /// Windows a step.
    pub batch: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Lower the learning rate to 0 along half a cosine.
    pub cosine: bool,
    /// Decoupled weight decay (AdamW); 0 is plain Adam.
    pub weight_decay: f32,
    /// Stop after this many epochs without a better validation loss; `None`
    /// never stops early. The best weights are kept either way.
    pub patience: Option<usize>,
    /// Fraction of the windows held out for validation, in [0, 0.9]. With 0,
    /// the last weights are kept.
    pub validation: f32,
    /// Standard deviation of Gaussian noise added to the encoder's input, in
    /// feature units; the target stays clean (denoising). 0 is off.
    pub input_noise: f32,
    /// Probability of zeroing a feature of the encoder's input. 0 is off.
    pub input_dropout: f32,
    /// Let the model given compete with its epochs on the held-out windows, of a training in float: for one that
    /// was trained before. Random weights have no claim.
    pub keep_start: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads a batch is split over. Part of the result: sums are rounded in
    /// the order of the shards.
    pub shards: usize,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            sigma: Sigma::Optimal,
            beta: 1.0,
            beta_warmup: 0.0,
            epochs: 30,
            batch: 128,
            learning_rate: 1e-3,
            cosine: false,
            weight_decay: 0.0,
            patience: Some(10),
            validation: 0.1,
            input_noise: 0.0,
            input_dropout: 0.0,
            keep_start: false,
            seed: 0,
            shards: 2,
        }
    }
}

impl FitConfig {
    /// [`validate`](Self::validate) of a command that measures with the windows held out, so that there have
    /// to be some.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn validate_with_held_out(&self) -> Result<(), TrainError> {
        // Written so that NaN fails too.
        if !(self.validation > 0.0 && self.validation <= MOST_HELD_OUT) {
            return Err(TrainError::Setting {
                setting: "validation",
                value: self.validation.to_string(),
                must: "above 0 and at most 0.9",
            });
        }
        self.validate()
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<(), TrainError> {
        let sigma = match self.sigma {
            Sigma::Optimal => 1.0,
            Sigma::Fixed(sigma) => sigma,
        };
        // Written so that NaN fails too.
        let checks: [(&'static str, f64, bool, &'static str); 10] = [
            ("sigma", sigma.into(), sigma > 0.0, "positive"),
            ("beta", self.beta.into(), self.beta >= 0.0, "0 or more"),
            ("beta-warmup", self.beta_warmup.into(), self.beta_warmup >= 0.0, "0 or more"),
            ("epochs", self.epochs as f64, self.epochs > 0, "at least 1"),
            ("batch", self.batch as f64, self.batch > 0, "at least 1"),
            ("lr", self.learning_rate, self.learning_rate > 0.0, "positive"),
            ("weight-decay", self.weight_decay.into(), self.weight_decay >= 0.0, "0 or more"),
            (
                "validation",
                self.validation.into(),
                (0.0..=MOST_HELD_OUT).contains(&self.validation),
                "between 0 and 0.9",
            ),
            ("input-noise", self.input_noise.into(), self.input_noise >= 0.0, "0 or more"),
            (
                "input-dropout",
                self.input_dropout.into(),
                (0.0..1.0).contains(&self.input_dropout),
                "at least 0 and below 1",
            ),
        ];
        for (setting, value, good, must) in checks {
            if !good || !value.is_finite() {
                return Err(TrainError::Setting { setting, value: value.to_string(), must });
            }
        }
        Ok(())
    }
}

impl Architecture {
    /// For tests: fully connected, the decoder the encoder's mirror, ReLU, Gaussian.
    #[cfg(test)]
    pub(crate) fn mirrored(name: &str, hidden: &[usize], latent: usize) -> Self {
        Self {
            name: name.into(),
            convolutions: Vec::new(),
            decoder_convolutions: None,
            image: None,
            hidden: hidden.to_vec(),
            decoder_hidden: hidden.iter().rev().copied().collect(),
            latent,
            activation: Activation::Relu,
            likelihood: LikelihoodKind::Gaussian,
            score: ScoreKind::NegativeElbo,
        }
    }

    /// Checks that no layer is empty.
    ///
    /// # Errors
    /// [`TrainError::Setting`].
    pub fn validate(&self) -> Result<(), TrainError> {
        let convolutions =
            self.convolutions.iter().chain(self.decoder_convolutions.iter().flatten());
        if convolutions.clone().any(|c| c.channels == 0 || c.kernel == 0 || c.stride == 0) {
            return Err(TrainError::Setting {
                setting: "a convolution's channels, kernel or stride",
                value: "0".into(),
                must: "at least 1",
            });
        }
        if convolutions.clone().any(|c| c.kernel > 255 || c.stride > 255) {
            return Err(TrainError::Setting {
                setting: "a convolution's kernel or stride",
                value: "more".into(),
                must: "at most 255",
            });
        }
        let widths = self.hidden.iter().chain(&self.decoder_hidden);
        if widths.chain([&self.latent]).any(|width| *width == 0) {
            return Err(TrainError::Setting {
                setting: "a layer's width",
                value: "0".into(),
                must: "at least 1",
            });
        }
        Ok(())
    }
}
