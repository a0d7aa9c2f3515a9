//! What can be wrong with a float graph.

use super::ScoreKind;

/// Why a [`super::Vae`] does not make sense. Every variant names the layer or
/// the setting; the help says what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum GraphError {
    /// A layer with no inputs or no outputs.
    #[error("layer `{layer}` is empty: {out} outputs, {input} inputs")]
    #[diagnostic(help("remove the layer, or export the model again"))]
    EmptyLayer {
        /// The layer.
        layer: String,
        /// Its outputs.
        out: usize,
        /// Its inputs.
        input: usize,
    },
    /// A convolution or pool does not make sense.
    #[error("layer `{layer}`: {reason}")]
    #[diagnostic(help("check kernel, stride and padding against the shape of its input"))]
    Geometry {
        /// The layer.
        layer: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A bias does not have one element an output.
    #[error("layer `{layer}`: bias has {found} elements, the weight has {expected} outputs")]
    #[diagnostic(help("weight and bias come from different layers; export them together"))]
    BiasLength {
        /// The layer.
        layer: String,
        /// Outputs of the weight.
        expected: usize,
        /// Elements of the bias.
        found: usize,
    },
    /// A weight or bias is NaN or infinite.
    #[error("layer `{layer}` holds a weight or bias that is not a finite number")]
    #[diagnostic(help("training diverged: train again with a lower learning rate"))]
    NotFinite {
        /// The layer.
        layer: String,
    },
    /// A layer does not accept what the layer before it emits.
    #[error("layer `{layer}` takes {expected} inputs, but {from} gives {found}")]
    #[diagnostic(help(
        "check the order of the layers, and window length times channels against the first layer"
    ))]
    InputLength {
        /// The layer that does not fit.
        layer: String,
        /// What comes before it.
        from: String,
        /// Inputs the layer takes.
        expected: usize,
        /// Elements it would be given.
        found: usize,
    },
    /// `mu` and `logvar` have different lengths.
    #[error("`mu` has {mu} latent dimensions, `logvar` has {logvar}")]
    #[diagnostic(help("both heads must describe the same latent"))]
    HeadsDiffer {
        /// Outputs of `mu`.
        mu: usize,
        /// Outputs of `logvar`.
        logvar: usize,
    },
    /// The model has no decoder.
    #[error("the model has no decoder")]
    #[diagnostic(help("every score but the KL divergence needs one; export encoder and decoder"))]
    NoDecoder,
    /// The decoder does not end in as many features as the encoder starts from.
    #[error("the last layer `{layer}` emits {found} features, the encoder reads {expected}")]
    #[diagnostic(help("an autoencoder's output has the shape of its input"))]
    OutputLength {
        /// The last decoder layer.
        layer: String,
        /// Features of the input.
        expected: usize,
        /// Features of the output.
        found: usize,
    },
    /// The Gaussian precision does not have one element a feature.
    #[error("the Gaussian precision has {found} elements, the model {expected} features")]
    #[diagnostic(help("leave it out (precision 1), or give one value a feature"))]
    PrecisionLength {
        /// Features.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// A Gaussian precision is not a positive finite number.
    #[error("the Gaussian precision of feature {feature} is {value}")]
    #[diagnostic(help("a precision is 1 / variance: positive and finite"))]
    PrecisionValue {
        /// Index of the feature.
        feature: usize,
        /// Its precision.
        value: f32,
    },
    /// The default score cannot be computed by this model.
    #[error("the score {score} does not fit this model: {reason}")]
    #[diagnostic(help("choose another with --score"))]
    ScoreUnfit {
        /// The score asked for.
        score: ScoreKind,
        /// Why it does not fit.
        reason: &'static str,
    },
    /// A front-end setting is out of range.
    #[error("front-end: {setting} is {value}, it must be {must}")]
    #[diagnostic(help("correct it in the model's metadata, or import the model again"))]
    Frontend {
        /// The setting.
        setting: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        must: &'static str,
    },
}
