//! One layer on the framework: its trained numbers, and how it runs.

use super::loss::activate;
use super::read;
use super::windows::{Gather, Scatter, Signal, mean_weights};
use crate::graph::{Activation, Layer, Op};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array1, Array2};

/// Trained numbers of a layer; none of a pool.
///
/// `weight` is a matrix: `[in][out]` of a fully connected layer, transposed
/// against the graph's so that its forward pass multiplies row-major by
/// row-major; else in the graph's order, outputs first
/// (`[out][tap * in]`, `[out * tap][in]` transposed, `[channel][tap]` depthwise).
#[derive(Module, Debug)]
pub(super) struct Weights {
    weight: Option<Param<Tensor<2>>>,
    bias: Option<Param<Tensor<1>>>,
}

/// What a layer does with its numbers.
#[derive(Debug, Clone)]
pub(super) struct Step {
    kind: Kind,
    activation: Activation,
}

#[derive(Debug, Clone)]
enum Kind {
    FullyConnected,
    Convolution(Gather),
    Transposed(Scatter),
    Depthwise(Gather),
    MaxPool(Gather),
    AveragePool(Box<(Gather, Tensor<2>)>),
}

impl Weights {
    pub(super) fn new(layer: &Layer, device: &Device) -> Self {
        let matrix = |values: Vec<f32>, rows: usize| {
            let columns = values.len().checked_div(rows).unwrap_or(0);
            let data = TensorData::new(values, [rows, columns]);
            Some(Param::from_tensor(Tensor::from_data(data, device)))
        };
        let weight = match &layer.op {
            Op::FullyConnected { weight, .. } => {
                matrix(weight.t().iter().copied().collect(), weight.ncols())
            }
            Op::Convolution { weight, .. } => {
                matrix(weight.iter().copied().collect(), weight.shape()[0])
            }
            Op::TransposedConvolution { weight, geometry, .. } => {
                matrix(weight.iter().copied().collect(), weight.shape()[0] * geometry.taps())
            }
            Op::DepthwiseConvolution { weight, .. } => {
                matrix(weight.iter().copied().collect(), weight.shape()[0])
            }
            Op::MaxPool(_) | Op::AveragePool(_) => None,
        };
        let bias = layer.op.bias().map(|bias| {
            let data = TensorData::new(bias.to_vec(), [bias.len()]);
            Param::from_tensor(Tensor::from_data(data, device))
        });
        Self { weight, bias }
    }

    /// Copies the numbers back into the layer they came from.
    pub(super) fn write_to(&self, layer: &mut Layer) {
        let (Some(weight), Some(bias)) = (&self.weight, &self.bias) else { return };
        let (values, bias) = (read(weight.val()), Array1::from_vec(read(bias.val())));
        if let Op::FullyConnected { weight, bias: to } = &mut layer.op {
            let (out, input) = weight.dim();
            if let Ok(transposed) = Array2::from_shape_vec((input, out), values) {
                weight.assign(&transposed.t());
            }
            to.assign(&bias);
        } else if let Some((weight, to)) = layer.op.parameters_mut() {
            // The same numbers in the same order: `new` took them from here.
            weight.copy_from_slice(&values);
            to.assign(&bias);
        }
    }

    /// Their gradients in the graph's order; `None` of a pool.
    #[cfg(test)]
    pub(super) fn gradients(
        &self,
        layer: &Layer,
        all: &burn::optim::GradientsParams,
    ) -> Option<(Vec<f32>, Array1<f32>)> {
        let (weight, bias) = (self.weight.as_ref()?, self.bias.as_ref()?);
        let bias = Array1::from_vec(read(all.get::<1>(bias.id)?));
        let of_weight = all.get::<2>(weight.id)?;
        let fully_connected = matches!(layer.op, Op::FullyConnected { .. });
        Some((read(if fully_connected { of_weight.transpose() } else { of_weight }), bias))
    }
}

impl Step {
    pub(super) fn new(layer: &Layer, device: &Device) -> Self {
        let kind = match &layer.op {
            Op::FullyConnected { .. } => Kind::FullyConnected,
            Op::Convolution { geometry, .. } => Kind::Convolution(Gather::by_tap(geometry, device)),
            Op::TransposedConvolution { geometry, .. } => {
                Kind::Transposed(Scatter::new(geometry, device))
            }
            Op::DepthwiseConvolution { geometry, .. } => {
                Kind::Depthwise(Gather::by_channel(geometry, 0.0, device))
            }
            Op::MaxPool(geometry) => Kind::MaxPool(Gather::by_channel(geometry, f32::MIN, device)),
            Op::AveragePool(geometry) => {
                let gather = Gather::by_channel(geometry, 0.0, device);
                Kind::AveragePool(Box::new((gather, mean_weights(geometry, device))))
            }
        };
        Self { kind, activation: layer.activation }
    }

    pub(super) fn forward(&self, weights: &Weights, x: Signal) -> Signal {
        let y = match (&self.kind, &weights.weight, &weights.bias) {
            (Kind::FullyConnected, Some(weight), Some(bias)) => {
                let y = x.into_vectors().matmul(weight.val()) + bias.val().unsqueeze();
                Signal::vectors(y)
            }
            (Kind::Convolution(gather), Some(weight), Some(bias)) => {
                gather.convolution(x, weight.val(), bias.val())
            }
            (Kind::Transposed(scatter), Some(weight), Some(bias)) => {
                scatter.transposed(x, weight.val(), bias.val())
            }
            (Kind::Depthwise(gather), Some(weight), Some(bias)) => {
                gather.depthwise(x, weight.val(), bias.val())
            }
            (Kind::MaxPool(gather), ..) => gather.maximum(x),
            (Kind::AveragePool(pool), ..) => pool.0.average(x, &pool.1),
            // Operators with numbers always have them: `Weights::new`.
            _ => x,
        };
        y.map(|y| activate(y, self.activation))
    }
}
