//! The linear operators a layer can hold, their sizes and soundness.

use super::{Geometry, GraphError, Shape};
use ndarray::{Array1, Array2, Array3, Array4};

/// The linear operators a layer can hold. Activations are channels last
/// ([`Shape`]); a layer behind another reads its elements in that order, so
/// flattening and reshaping are no operators of their own.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `y[o] = sum_i(weight[o][i] * x[i]) + bias[o]`.
    FullyConnected {
        /// `weight[out][in]`, row-major, as PyTorch's `Linear.weight`.
        weight: Array2<f32>,
        /// `bias[out]`.
        bias: Array1<f32>,
    },
    /// `y[l][w][o] = sum(weight[o][i][j][c] * x[l*s+i-p][w*s+j-p][c]) + bias[o]`.
    Convolution {
        /// `weight[out][kernel length][kernel width][in]`.
        weight: Array4<f32>,
        /// `bias[out]`.
        bias: Array1<f32>,
        /// Shapes, stride, padding.
        geometry: Geometry,
    },
    /// `y[t][u][o] = sum(weight[o][i][j][c] * x[l][w][c]) + bias[o]` over `l*s+i-p = t`,
    /// `w*s+j-p = u`.
    TransposedConvolution {
        /// `weight[out][kernel length][kernel width][in]`.
        weight: Array4<f32>,
        /// `bias[out]`.
        bias: Array1<f32>,
        /// Shapes, stride, padding.
        geometry: Geometry,
    },
    /// A convolution of each channel by itself.
    DepthwiseConvolution {
        /// `weight[channel][kernel length][kernel width]`.
        weight: Array3<f32>,
        /// `bias[channel]`.
        bias: Array1<f32>,
        /// Shapes, stride, padding.
        geometry: Geometry,
    },
    /// The greatest value of each window, padding left out.
    MaxPool(Geometry),
    /// The mean of each window, padding left out.
    AveragePool(Geometry),
}

impl Op {
    /// Name as in tables and files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FullyConnected { .. } => "fully_connected",
            Self::Convolution { .. } => "convolution",
            Self::TransposedConvolution { .. } => "transposed_convolution",
            Self::DepthwiseConvolution { .. } => "depthwise_convolution",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
        }
    }

    /// Shapes, stride and padding; `None` for fully connected.
    pub fn geometry(&self) -> Option<&Geometry> {
        match self {
            Self::FullyConnected { .. } => None,
            Self::Convolution { geometry, .. }
            | Self::TransposedConvolution { geometry, .. }
            | Self::DepthwiseConvolution { geometry, .. }
            | Self::MaxPool(geometry)
            | Self::AveragePool(geometry) => Some(geometry),
        }
    }

    /// Shape of the input.
    pub fn input(&self) -> Shape {
        match self {
            Self::FullyConnected { weight, .. } => Shape::flat(weight.ncols()),
            other => other.geometry().map_or(Shape::flat(0), |geometry| geometry.input),
        }
    }

    /// Shape of the output.
    pub fn output(&self) -> Shape {
        match self {
            Self::FullyConnected { weight, .. } => Shape::flat(weight.nrows()),
            other => other.geometry().map_or(Shape::flat(0), |geometry| geometry.output),
        }
    }

    /// Trained numbers in order of storage; empty for a pool.
    pub fn weight(&self) -> &[f32] {
        let slice = match self {
            Self::FullyConnected { weight, .. } => weight.as_slice(),
            Self::Convolution { weight, .. } | Self::TransposedConvolution { weight, .. } => {
                weight.as_slice()
            }
            Self::DepthwiseConvolution { weight, .. } => weight.as_slice(),
            Self::MaxPool(_) | Self::AveragePool(_) => None,
        };
        slice.unwrap_or(&[])
    }

    /// Shape of [`weight`](Self::weight), outputs first; empty for a pool.
    pub fn weight_shape(&self) -> &[usize] {
        match self {
            Self::FullyConnected { weight, .. } => weight.shape(),
            Self::Convolution { weight, .. } | Self::TransposedConvolution { weight, .. } => {
                weight.shape()
            }
            Self::DepthwiseConvolution { weight, .. } => weight.shape(),
            Self::MaxPool(_) | Self::AveragePool(_) => &[],
        }
    }

    /// The biases, one an output channel; `None` for a pool.
    pub fn bias(&self) -> Option<&Array1<f32>> {
        match self {
            Self::FullyConnected { bias, .. }
            | Self::Convolution { bias, .. }
            | Self::TransposedConvolution { bias, .. }
            | Self::DepthwiseConvolution { bias, .. } => Some(bias),
            Self::MaxPool(_) | Self::AveragePool(_) => None,
        }
    }

    /// Weights and bias to be changed in place, in order of storage.
    pub fn parameters_mut(&mut self) -> Option<(&mut [f32], &mut Array1<f32>)> {
        match self {
            Self::FullyConnected { weight, bias } => Some((weight.as_slice_mut()?, bias)),
            Self::Convolution { weight, bias, .. }
            | Self::TransposedConvolution { weight, bias, .. } => {
                Some((weight.as_slice_mut()?, bias))
            }
            Self::DepthwiseConvolution { weight, bias, .. } => Some((weight.as_slice_mut()?, bias)),
            Self::MaxPool(_) | Self::AveragePool(_) => None,
        }
    }

    /// Multiply-accumulates of one inference; those in a convolution's padding are counted.
    pub fn macs(&self) -> usize {
        let weights = self.weight().len();
        match self {
            Self::FullyConnected { .. } => weights,
            Self::Convolution { geometry, .. } | Self::DepthwiseConvolution { geometry, .. } => {
                weights.saturating_mul(geometry.positions())
            }
            Self::TransposedConvolution { geometry, .. } => {
                weights.saturating_mul(geometry.input.length).saturating_mul(geometry.input.width)
            }
            Self::MaxPool(_) | Self::AveragePool(_) => 0,
        }
    }

    /// Weights in row-major order whatever the memory layout was.
    pub(crate) fn standardize(&mut self) {
        fn own<D: ndarray::Dimension>(weight: &mut ndarray::Array<f32, D>) {
            if !weight.is_standard_layout() {
                *weight = weight.as_standard_layout().into_owned();
            }
        }
        match self {
            Self::FullyConnected { weight, .. } => own(weight),
            Self::Convolution { weight, .. } | Self::TransposedConvolution { weight, .. } => {
                own(weight);
            }
            Self::DepthwiseConvolution { weight, .. } => own(weight),
            Self::MaxPool(_) | Self::AveragePool(_) => {}
        }
    }

    /// The same operator with its weights in row-major order, as every layer keeps them.
    pub fn standard(mut self) -> Self {
        self.standardize();
        self
    }

    /// Checks one layer's operator: weights that fit the geometry, bias length, finite numbers.
    pub(crate) fn validate(&self, layer: &str) -> Result<(), GraphError> {
        let name = || layer.to_string();
        if let Some(geometry) = self.geometry() {
            let transposed = matches!(self, Self::TransposedConvolution { .. });
            geometry.validate(layer, transposed)?;
            let (input, output) = (geometry.input.channels, geometry.output.channels);
            let [length, width] = geometry.kernel;
            let fits = match self {
                Self::Convolution { weight, .. } | Self::TransposedConvolution { weight, .. } => {
                    weight.shape() == [output, length, width, input]
                }
                Self::DepthwiseConvolution { weight, .. } => {
                    weight.shape() == [output, length, width] && input == output
                }
                _ => input == output,
            };
            if !fits {
                let reason = "its weight's shape does not fit kernel and channels";
                return Err(GraphError::Geometry { layer: name(), reason });
            }
        } else if self.weight_shape().contains(&0) {
            let (out, input) = (self.output().len(), self.input().len());
            return Err(GraphError::EmptyLayer { layer: name(), out, input });
        }
        let Some(bias) = self.bias() else { return Ok(()) };
        let outputs = self.output().channels;
        if bias.len() != outputs {
            return Err(GraphError::BiasLength {
                layer: name(),
                expected: outputs,
                found: bias.len(),
            });
        }
        // An odd memory layout would hide the weights from the passes.
        if self.weight().is_empty() {
            let reason = "its weights are not in row-major order";
            return Err(GraphError::Geometry { layer: name(), reason });
        }
        if self.weight().iter().chain(bias).any(|v| !v.is_finite()) {
            return Err(GraphError::NotFinite { layer: name() });
        }
        Ok(())
    }
}
