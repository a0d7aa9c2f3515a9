//! Post-training quantization: a float [`Vae`] and calibration windows become
//! integer layers.
//!
//! ```text
//! windows ─► observe (ranges of every activation) ─► lower (integers) ─► emit (blob)
//! ```
//! The arithmetic these numbers feed is `docs/numerics.md`; nothing here runs
//! an integer kernel, the core does.

mod adaround;
mod correct_bias;
mod equalize;
mod extras;
mod grid;
mod heads;
mod integers;
mod joints;
mod k_means;
mod lower;
mod mirror;
#[cfg(test)]
pub(crate) mod mirror_tests;
mod observe;
mod on_windows;
mod post_training;
#[cfg(test)]
mod post_training_tests;
mod settled;
mod weight_bits;
mod weight_scales;

pub use adaround::{AdaRound, adaround};
pub use correct_bias::correct_biases;
pub use equalize::equalize;
pub use extras::{Extras, IntDecision, IntLatentGaussian, IntNormalFeatures};
pub use grid::{Grid, Multiplier};
pub use heads::{IntHead, IntHeads, KnownState};
pub use integers::{
    IntFrontend, IntLatent, IntLayer, IntLikelihood, IntMatrix, IntOp, IntOutput, QuantizedVae,
};
pub use lower::lower;
pub(crate) use lower::{lower_frontend, lower_likelihood, mean_square};
pub use mirror::{Mirror, MirrorLayer, MirrorOutput};
pub use observe::{Observer, Ranges, observe};
pub use on_windows::{quantize_on, spread};
pub use post_training::PostTraining;
pub use settled::Settled;
pub use weight_bits::WeightBits;
pub use weight_scales::WeightScales;
pub(crate) use weight_scales::integer;

use crate::graph::GraphError;

/// How the range of an activation is chosen from what calibration saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeMethod {
    /// Least and greatest value seen.
    MinMax,
    /// The range between the quantiles `1 - p` and `p`, e.g. 0.99999.
    Percentile(f64),
    /// The range with the least mean squared quantization error.
    MseOptimal,
}

impl std::str::FromStr for RangeMethod {
    type Err = String;

    /// `minmax`, `percentile` (0.99999), `percentile(0.999)`, `mse`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "minmax" | "min-max" => return Ok(Self::MinMax),
            "percentile" => return Ok(Self::Percentile(0.99999)),
            "mse" | "mse-optimal" => return Ok(Self::MseOptimal),
            _ => {}
        }
        let number =
            text.strip_prefix("percentile(").and_then(|rest| rest.strip_suffix(')')?.parse().ok());
        match number {
            Some(p) if p > 0.5 && p <= 1.0 => Ok(Self::Percentile(p)),
            _ => Err(format!(
                "unknown range method `{text}`; known: minmax, percentile(0.99999) with a number in (0.5, 1], mse"
            )),
        }
    }
}

impl std::fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(p) => write!(f, "percentile({p})"),
            Self::MseOptimal => f.write_str("mse"),
        }
    }
}

/// Settings of a quantization.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizeOptions {
    /// Range of hidden activations.
    pub range: RangeMethod,
    /// The features' range is what calibration saw, times this: anomalies are
    /// larger than normal data, and what is clipped cannot be scored.
    pub input_headroom: f32,
    /// Rounding of every requantization.
    pub rounding: picovae_core::fixed::Rounding,
    /// Bits of the weights, layer by layer.
    pub weight_bits: WeightBits,
    /// Units of weight rows that are given, not searched.
    pub weight_scales: WeightScales,
    /// At most so many calibration windows are observed, evenly spread.
    pub max_windows: usize,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            range: RangeMethod::Percentile(0.99999),
            input_headroom: 3.0,
            rounding: picovae_core::fixed::Rounding::Double,
            weight_bits: WeightBits::default(),
            weight_scales: WeightScales::default(),
            max_windows: 2_000,
        }
    }
}

/// Why a model cannot be quantized.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The float model does not make sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
    /// There is nothing to calibrate with.
    #[error("there is no calibration window")]
    #[diagnostic(help(
        "give a recording of normal operation that holds at least one whole window"
    ))]
    NoWindows,
    /// A dimension is beyond the blob's 16 bits.
    #[error("{what} is {value}, the device's limit is 65,535")]
    #[diagnostic(help("use a shorter window, fewer channels or a narrower layer"))]
    TooLarge {
        /// The dimension.
        what: String,
        /// Its value.
        value: usize,
    },
    /// Bernoulli features must lie in [0, 1].
    #[error(
        "a calibration feature is {value}, but a Bernoulli likelihood needs features in [0, 1]"
    )]
    #[diagnostic(help(
        "train with `--normalize unit255` (images), or with `--likelihood gaussian`"
    ))]
    NotUnit {
        /// The feature.
        value: f32,
    },
    /// The sums of a layer could leave 32 bits.
    #[error("layer `{layer}`: sums could leave 32 bits ({bound} at most, {limit} allowed)")]
    #[diagnostic(help(
        "make the layer narrower, or train with weight decay so that its bias shrinks"
    ))]
    Overflow {
        /// The layer.
        layer: String,
        /// Greatest possible magnitude of a sum.
        bound: u64,
        /// The limit.
        limit: u64,
    },
    /// A scale factor is beyond what multiplier and shift express.
    #[error("layer `{layer}`: scale factor {factor:e} of output {channel} is out of range")]
    #[diagnostic(help(
        "the layer's weights or activations are extreme: check the export and that the recordings have the scale the model was made for, or train with weight decay"
    ))]
    Factor {
        /// The layer.
        layer: String,
        /// The output channel.
        channel: usize,
        /// The factor.
        factor: f64,
    },
    /// A head of a variational latent has an activation: both heads share a layer, which has no room for it.
    #[error("layer `{layer}`: the latent's head has the activation {activation}")]
    #[diagnostic(help("end `mu` and `logvar` in linear layers"))]
    HeadActivation {
        /// The layer.
        layer: String,
        /// Its activation.
        activation: crate::graph::Activation,
    },
    /// A layer named for its weight bits is not in the model.
    #[error("there is no layer `{layer}` to give its weights other bits; there are: {known}")]
    #[diagnostic(help("name a layer as `picovae inspect` does"))]
    UnknownLayer {
        /// The layer.
        layer: String,
        /// Layers of the model.
        known: String,
    },
    /// A front-end gives another number of features than the model reads.
    #[error("the front-end gives {got} features, the model reads {needed}")]
    #[diagnostic(help("window length times channels must be what the model reads"))]
    Features {
        /// What the model reads.
        needed: usize,
        /// What the front-end gives.
        got: usize,
    },
    /// The features are in no usual unit.
    #[error("features reach {reach:e}, too far from 1 for the device's scores")]
    #[diagnostic(help(
        "normalize the features: train with `--normalize per-channel`, or give a state dict's `--scale`"
    ))]
    FeatureRange {
        /// Greatest feature the grid holds.
        reach: f64,
    },
    /// Integers and model have different layers.
    #[error("the integers are of a model with other layers")]
    #[diagnostic(help("this is an error of the tool: please report it with the model"))]
    NoMirror,
    /// The headroom makes no sense.
    #[error("the input headroom is {0}")]
    #[diagnostic(help("it is a factor of at least 1, e.g. 2"))]
    Headroom(f32),
    /// The front-end cannot be expressed in integers.
    #[error("front-end: offset or scale of channel {channel} is out of the device's range")]
    #[diagnostic(help(
        "the recording's unit is too coarse or too fine: scale it so that it fills some of the i16 range, or shorten the window"
    ))]
    Frontend {
        /// The channel.
        channel: usize,
    },
}
