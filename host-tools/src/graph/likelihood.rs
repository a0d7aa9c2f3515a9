//! How features are distributed around the decoder's output.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

/// How a feature is distributed given the decoder's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Likelihood {
    /// Features in [0, 1]; the decoder emits logits (a trailing sigmoid of the
    /// source model is stripped on import).
    Bernoulli,
    /// The decoder emits the mean of an independent Gaussian a feature.
    Gaussian {
        /// 1 / variance of each feature, learnt from the residuals on normal
        /// data; `None` stands for 1 everywhere.
        precision: Option<Array1<f32>>,
    },
}

/// A likelihood without its parameters, as it is named on the command line and
/// in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LikelihoodKind {
    /// Features in [0, 1], cross-entropy on logits.
    Bernoulli,
    /// Real features, squared error over a variance.
    Gaussian,
}

impl std::str::FromStr for LikelihoodKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "bernoulli" | "bce" => Ok(Self::Bernoulli),
            "gaussian" | "mse" => Ok(Self::Gaussian),
            _ => Err(format!("unknown likelihood `{text}`; known: bernoulli, gaussian")),
        }
    }
}

impl Likelihood {
    /// Which likelihood this is.
    pub fn kind(&self) -> LikelihoodKind {
        match self {
            Self::Bernoulli => LikelihoodKind::Bernoulli,
            Self::Gaussian { .. } => LikelihoodKind::Gaussian,
        }
    }
}

impl std::fmt::Display for LikelihoodKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bernoulli => "bernoulli",
            Self::Gaussian => "gaussian",
        })
    }
}
