//! Convolutions and pools in the metadata of this tool's own files.

use super::Problem;
use super::tensors::Tensors;
use crate::graph::{Activation, Geometry, Layer, Op};
use serde::{Deserialize, Serialize};

/// What the metadata says of a layer that is not fully connected.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct WindowedOp {
    kind: Kind,
    #[serde(flatten)]
    geometry: Geometry,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Convolution,
    TransposedConvolution,
    DepthwiseConvolution,
    MaxPool,
    AveragePool,
}

impl WindowedOp {
    /// `None` for a fully connected layer.
    pub(super) fn of(op: &Op) -> Option<Self> {
        let kind = match op {
            Op::FullyConnected { .. } => return None,
            Op::Convolution { .. } => Kind::Convolution,
            Op::TransposedConvolution { .. } => Kind::TransposedConvolution,
            Op::DepthwiseConvolution { .. } => Kind::DepthwiseConvolution,
            Op::MaxPool(_) => Kind::MaxPool,
            Op::AveragePool(_) => Kind::AveragePool,
        };
        Some(Self { kind, geometry: *op.geometry()? })
    }

    /// The layer with its tensors, which leave `tensors`; a weight of another
    /// shape than the geometry's is a problem.
    pub(super) fn take(
        &self,
        tensors: &mut Tensors,
        name: &str,
        activation: Activation,
    ) -> Option<Layer> {
        let geometry = self.geometry;
        let (input, output) = (geometry.input.channels, geometry.output.channels);
        let [length, width] = geometry.kernel;
        let layer = |op| Some(Layer { name: name.to_string(), op, activation });
        let depthwise = match self.kind {
            Kind::MaxPool => return layer(Op::MaxPool(geometry)),
            Kind::AveragePool => return layer(Op::AveragePool(geometry)),
            Kind::DepthwiseConvolution => true,
            Kind::Convolution | Kind::TransposedConvolution => false,
        };
        let (weight, bias) = tensors.take_kernel(name)?;
        let shape = weight.shape().to_vec();
        let fits = if depthwise {
            shape == [output, length, width]
        } else {
            shape == [output, length, width, input]
        };
        if !fits {
            tensors.problems.push(Problem::new(
                format!("{name}.weight"),
                format!("shape {shape:?} does not fit the metadata's kernel and channels"),
                "write the file again with picovae",
            ));
            return None;
        }
        layer(match self.kind {
            Kind::DepthwiseConvolution => Op::DepthwiseConvolution {
                weight: weight.into_dimensionality().ok()?,
                bias,
                geometry,
            },
            Kind::TransposedConvolution => Op::TransposedConvolution {
                weight: weight.into_dimensionality().ok()?,
                bias,
                geometry,
            },
            _ => Op::Convolution { weight: weight.into_dimensionality().ok()?, bias, geometry },
        })
    }
}
