//! The float graph: what a trained VAE *is* before anything is compressed.
//!
//! Importers and the trainer produce a [`Vae`]; the compression passes, the
//! quantizer and the evaluation read it. It holds plain `ndarray` tensors and
//! knows no file format and no training framework.

mod activation;
mod error;
mod extract;
mod forward;
mod frontend;
mod geometry;
mod latent;
mod likelihood;
mod op;
mod places;
mod score;
mod spectrum;
mod windows;

pub use activation::Activation;
pub use error::GraphError;
pub use extract::{Extractor, FrontendTables};
pub use forward::Trace;
pub(crate) use forward::sample;
pub use frontend::Frontend;
pub use geometry::{Geometry, Shape};
pub use latent::LatentGaussian;
pub use likelihood::{Likelihood, LikelihoodKind};
pub use op::Op;
pub(crate) use places::Places;
pub use score::{
    SAMPLES, ScoreKind, Scores, bernoulli_entropy, bernoulli_nll, gaussian_nll, kl_divergence,
    reconstruction_error,
};

pub use spectrum::{BandScale, BandTables, Spectrum, Taper};

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// A trained variational autoencoder (or, with `logvar` absent, a plain
/// autoencoder), in f32.
///
/// `encoder` maps the features of a window to a hidden vector, `mu` and
/// `logvar` map that vector to the latent, `decoder` maps a latent back to
/// features.
#[derive(Debug, Clone, PartialEq)]
pub struct Vae {
    /// Short name, used in file names and reports.
    pub name: String,
    /// How raw samples become the features the encoder reads.
    pub frontend: Frontend,
    /// Hidden layers of the encoder, in order. May be empty.
    pub encoder: Vec<Layer>,
    /// Head for the mean of the latent.
    pub mu: Layer,
    /// Head for ln σ² of the latent; `None` in a plain autoencoder.
    pub logvar: Option<Layer>,
    /// Layers of the decoder, in order; the last one emits logits (Bernoulli)
    /// or means (Gaussian).
    pub decoder: Vec<Layer>,
    /// How features are distributed around what the decoder emits.
    pub likelihood: Likelihood,
    /// The score that the detector reports by default.
    pub score: ScoreKind,
    /// Where the weights came from.
    pub provenance: Provenance,
    /// Whether [blocks](crate::blocks) that are all zero were pruned, and stay so in training.
    pub pruned_blocks: bool,
}

/// One operator and the activation that follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Name as in the source file without the tensor suffix, e.g. `encoder.0`.
    pub name: String,
    /// The linear operator.
    pub op: Op,
    /// Applied elementwise to the operator's output.
    pub activation: Activation,
}

/// Where a model's weights came from; copied into every file derived from it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// File name (no folders) of the imported model or the training data.
    pub source: String,
    /// SHA-256 of that file, lower-case hex; empty when there is none.
    pub sha256: String,
    /// Name and version of the tool that wrote the model.
    pub tool: String,
    /// The command that made the model, as free text.
    pub command: String,
}

/// This tool's name and version, as written to [`Provenance::tool`].
pub const TOOL: &str = concat!("picovae ", env!("CARGO_PKG_VERSION"));

impl Layer {
    /// A fully connected layer; shapes are checked by [`Vae::validate`].
    pub fn fully_connected(
        name: impl Into<String>,
        weight: Array2<f32>,
        bias: Array1<f32>,
        activation: Activation,
    ) -> Self {
        Self { name: name.into(), op: Op::FullyConnected { weight, bias }.standard(), activation }
    }

    /// Elements of one input vector.
    pub fn input_len(&self) -> usize {
        self.op.input().len()
    }

    /// Elements of one output vector.
    pub fn output_len(&self) -> usize {
        self.op.output().len()
    }

    /// Trained numbers: weights and biases.
    pub fn params(&self) -> usize {
        self.op.weight().len() + self.op.bias().map_or(0, Array1::len)
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> usize {
        self.op.macs()
    }
}

impl Vae {
    /// Every layer in order of execution: encoder, `mu`, `logvar`, decoder.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.encoder
            .iter()
            .chain(std::iter::once(&self.mu))
            .chain(self.logvar.iter())
            .chain(self.decoder.iter())
    }

    /// [`layers`](Self::layers), to be changed.
    pub fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        self.encoder
            .iter_mut()
            .chain(std::iter::once(&mut self.mu))
            .chain(self.logvar.iter_mut())
            .chain(self.decoder.iter_mut())
    }

    /// Features of one window.
    pub fn input_len(&self) -> usize {
        self.frontend.feature_len()
    }

    /// Dimensions of the latent.
    pub fn latent_len(&self) -> usize {
        self.mu.output_len()
    }

    /// Trained numbers in all layers (the Gaussian precision not counted).
    pub fn params(&self) -> usize {
        self.layers().map(Layer::params).sum()
    }

    /// Multiply-accumulates of one encode and one decode.
    pub fn macs(&self) -> usize {
        self.layers().map(Layer::macs).sum()
    }

    /// Checks that the front-end makes sense, that all shapes chain from
    /// features to features, that every number is finite and that the score
    /// fits the likelihood.
    ///
    /// # Errors
    /// The first problem found; it names the layer.
    pub fn validate(&self) -> Result<(), GraphError> {
        self.frontend.validate()?;
        for layer in self.layers() {
            layer.op.validate(&layer.name)?;
        }
        let mut len = self.input_len();
        let mut from = "the front-end".to_string();
        for layer in &self.encoder {
            chain(layer, &from, len)?;
            len = layer.output_len();
            from = format!("`{}`", layer.name);
        }
        for head in std::iter::once(&self.mu).chain(self.logvar.iter()) {
            chain(head, &from, len)?;
        }
        if let Some(logvar) = &self.logvar
            && logvar.output_len() != self.latent_len()
        {
            return Err(GraphError::HeadsDiffer {
                mu: self.latent_len(),
                logvar: logvar.output_len(),
            });
        }
        if self.decoder.is_empty() {
            return Err(GraphError::NoDecoder);
        }
        len = self.latent_len();
        from = "the latent".to_string();
        for layer in &self.decoder {
            chain(layer, &from, len)?;
            len = layer.output_len();
            from = format!("`{}`", layer.name);
        }
        if len != self.input_len() {
            return Err(GraphError::OutputLength {
                layer: self.decoder[self.decoder.len() - 1].name.clone(),
                expected: self.input_len(),
                found: len,
            });
        }
        self.validate_likelihood()
    }

    fn validate_likelihood(&self) -> Result<(), GraphError> {
        if let Likelihood::Gaussian { precision: Some(precision) } = &self.likelihood {
            if precision.len() != self.input_len() {
                return Err(GraphError::PrecisionLength {
                    expected: self.input_len(),
                    found: precision.len(),
                });
            }
            if let Some(at) = precision.iter().position(|p| !(p.is_finite() && *p > 0.0)) {
                return Err(GraphError::PrecisionValue { feature: at, value: precision[at] });
            }
        }
        let bernoulli = matches!(self.likelihood, Likelihood::Bernoulli);
        let reason = match self.score {
            ScoreKind::BernoulliNll | ScoreKind::BernoulliExcess if !bernoulli => {
                "the likelihood is Gaussian"
            }
            ScoreKind::ReconstructionProbability if self.logvar.is_none() => {
                "a plain autoencoder has no posterior to sample"
            }
            ScoreKind::GaussianNll if bernoulli => "the likelihood is Bernoulli",
            ScoreKind::KlDivergence if self.logvar.is_none() => {
                "a plain autoencoder has no logvar, so it would always be 0"
            }
            _ => return Ok(()),
        };
        Err(GraphError::ScoreUnfit { score: self.score, reason })
    }
}

fn chain(layer: &Layer, from: &str, len: usize) -> Result<(), GraphError> {
    if layer.input_len() == len {
        return Ok(());
    }
    Err(GraphError::InputLength {
        layer: layer.name.clone(),
        from: from.to_string(),
        expected: layer.input_len(),
        found: len,
    })
}

#[cfg(test)]
pub(crate) mod tests;
