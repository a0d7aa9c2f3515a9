//! A model in integers: what `lower` makes and `emit` writes.

use picovae_core::fixed::Rounding;
use picovae_core::fixed::wide::Factor;

use super::extras::Extras;
use super::grid::{Grid, Multiplier};
use crate::graph::{Frontend, FrontendTables, Geometry, Provenance, ScoreKind};

/// A model in integers: what a blob holds, before packing.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedVae {
    /// Name of the model.
    pub name: String,
    /// Where it came from.
    pub provenance: Provenance,
    /// Rounding of what has none of its own.
    pub rounding: Rounding,
    /// From raw samples to features.
    pub frontend: IntFrontend,
    /// Encoder (its last layer is the head `mu ++ logvar`), then decoder.
    pub layers: Vec<IntLayer>,
    /// Layers of the encoder, the head included.
    pub encoder_len: usize,
    /// Between encoder and decoder.
    pub latent: IntLatent,
    /// What the decoder's output means.
    pub likelihood: IntLikelihood,
    /// The default score.
    pub score: ScoreKind,
    /// From the sum of squared grid differences to the mean squared error, Q32.
    pub mean_square: Factor,
    /// What the detector has beside the network.
    pub extras: Extras,
}

impl QuantizedVae {
    /// Trained numbers: weights and biases, a bias an output channel.
    pub fn params(&self) -> usize {
        let count = |layer: &IntLayer| {
            let weights: usize = layer.matrices.iter().map(|matrix| matrix.weights.len()).sum();
            weights + layer.matrices.first().map_or(0, |matrix| matrix.bias.len())
        };
        self.layers.iter().map(count).sum()
    }
}

/// Front-end in integers, see `docs/numerics.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct IntFrontend {
    /// The float front-end it came from.
    pub float: Frontend,
    /// Grid of the features.
    pub grid: Grid,
    /// Per group; raw counts (times the steps with `remove_mean`), or logarithms in Q16.
    pub offset: Vec<i32>,
    /// Per group.
    pub multiplier: Vec<Multiplier>,
    /// Filter and bands.
    pub tables: FrontendTables,
}

/// A layer in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct IntLayer {
    /// Name.
    pub name: String,
    /// What it computes.
    pub op: IntOp,
    /// Bits of a weight: 8, or 4 for weights of -8 to 7.
    pub bits: u8,
    /// One; none for a pool, one a phase of the strides (width innermost) for a
    /// transposed convolution ([`transposed_phases`](crate::emit::pack::transposed_phases)).
    pub matrices: Vec<IntMatrix>,
    /// Zero point of the input.
    pub input_zero_point: i8,
    /// Rounding of its requantization.
    pub rounding: Rounding,
    /// What it writes.
    pub output: IntOutput,
}

/// The operators a device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntOp {
    /// Every output sees every input.
    FullyConnected {
        /// Inputs.
        inputs: usize,
        /// Outputs.
        outputs: usize,
    },
    /// Convolution.
    Convolution(Geometry),
    /// Transposed convolution.
    TransposedConvolution(Geometry),
    /// Convolution of each channel by itself.
    DepthwiseConvolution(Geometry),
    /// The greatest value of each window.
    MaxPool(Geometry),
    /// The mean of each window.
    AveragePool(Geometry),
}

impl IntOp {
    /// Elements it writes.
    pub fn output_len(&self) -> usize {
        match self {
            Self::FullyConnected { outputs, .. } => *outputs,
            Self::Convolution(geometry)
            | Self::TransposedConvolution(geometry)
            | Self::DepthwiseConvolution(geometry)
            | Self::MaxPool(geometry)
            | Self::AveragePool(geometry) => geometry.output.len(),
        }
    }
}

/// Rows of weights with their numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntMatrix {
    /// Columns.
    pub inputs: usize,
    /// `weights[output][input]`.
    pub weights: Vec<i8>,
    /// One an output, the input's zero point folded in.
    pub bias: Vec<i32>,
    /// One an output.
    pub multiplier: Vec<Multiplier>,
}

/// What a layer writes.
#[derive(Debug, Clone, PartialEq)]
pub enum IntOutput {
    /// int8.
    Int8 {
        /// Grid of the result.
        grid: Grid,
        /// Zero point of the requantization, before the table.
        zero_point: i8,
        /// Least requantized value.
        min: i8,
        /// Greatest requantized value.
        max: i8,
        /// Non-linearity, indexed by `q + 128`.
        table: Option<Box<[i8; 256]>>,
    },
    /// int16 with this scale and zero point 0.
    Int16 {
        /// Real value of one unit.
        scale: f64,
    },
    /// int8, then through a table to int16.
    Widened {
        /// Real value of one unit of the table's entries.
        scale: f64,
        /// Zero point of the requantization.
        zero_point: i8,
        /// Least requantized value.
        min: i8,
        /// Greatest requantized value.
        max: i8,
        /// Indexed by `q + 128`.
        table: Box<[i16; 256]>,
    },
}

/// Latent in integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntLatent {
    /// Dimensions.
    pub len: usize,
    /// Whether the head holds logvar too.
    pub has_logvar: bool,
    /// Fraction bits of mu.
    pub mu_frac_bits: u8,
    /// Fraction bits of logvar.
    pub logvar_frac_bits: u8,
    /// Grid of the decoder's input.
    pub grid: Grid,
    /// From mu to the decoder's input.
    pub multiplier: Multiplier,
}

/// Likelihood in integers.
#[derive(Debug, Clone, PartialEq)]
pub enum IntLikelihood {
    /// Logits in Q8.
    Bernoulli,
    /// Mean on the features' grid.
    Gaussian {
        /// Relative precision a feature.
        precision: Vec<u16>,
        /// From the weighted sum of squares to half its nats, Q16.
        factor: Factor,
        /// Data-independent nats, Q16.
        constant: i64,
    },
}
