//! Weights, biases and multipliers of one layer.

use picovae_core::fixed::Rounding;

use super::super::grid::{Grid, Multiplier};
use super::super::integers::{IntLayer, IntMatrix, IntOp, IntOutput};
use super::super::weight_scales::{integer, row_scale};
use super::super::{QuantizeError, QuantizeOptions};
use crate::emit::pack::transposed_phases;
use crate::graph::{Layer, Op};

pub(super) fn factor_error(layer: &str, channel: usize, factor: f64) -> QuantizeError {
    QuantizeError::Factor { layer: layer.to_string(), channel, factor }
}

/// Weights, biases and multipliers, an output channel a row; `scales` holds the
/// grid of each channel's output, `bias_shift` is added to every bias.
pub(super) fn lower_rows(
    layer: &Layer,
    bias_shift: f64,
    input: Grid,
    scales: &[f64],
    output: IntOutput,
    options: &QuantizeOptions,
) -> Result<IntLayer, QuantizeError> {
    for (what, value) in [("inputs", layer.input_len()), ("outputs", layer.output_len())] {
        if value > usize::from(u16::MAX) {
            let what = format!("number of {what} of layer `{}`", layer.name);
            return Err(QuantizeError::TooLarge { what, value });
        }
    }
    let bits = options.weight_bits.of(&layer.name);
    let (op, matrices) = match (&layer.op, layer.op.bias()) {
        (op, Some(bias)) => {
            let rows = Rows {
                layer,
                values: op.weight(),
                bias: bias.iter().map(|&bias| f64::from(bias) + bias_shift).collect(),
                input,
                scales,
                rounding: options.rounding,
                bits,
                row_scales: options.weight_scales.of(&layer.name),
            };
            match op {
                Op::FullyConnected { weight, .. } => {
                    let (outputs, inputs) = weight.dim();
                    (IntOp::FullyConnected { inputs, outputs }, vec![rows.matrix()?])
                }
                Op::Convolution { geometry, .. } => {
                    (IntOp::Convolution(*geometry), vec![rows.matrix()?])
                }
                Op::DepthwiseConvolution { geometry, .. } => {
                    (IntOp::DepthwiseConvolution(*geometry), vec![rows.matrix()?])
                }
                Op::TransposedConvolution { geometry, .. } => {
                    let split = |weights: &[i8]| {
                        let channels = geometry.input.channels;
                        transposed_phases(weights, geometry.kernel, channels, geometry.stride)
                    };
                    (IntOp::TransposedConvolution(*geometry), rows.split(split)?)
                }
                Op::MaxPool(_) | Op::AveragePool(_) => unreachable!("a pool has no bias"),
            }
        }
        (Op::MaxPool(geometry), None) => (IntOp::MaxPool(*geometry), Vec::new()),
        (op, None) => {
            let geometry = op.geometry().copied();
            (IntOp::AveragePool(geometry.unwrap_or_else(|| unreachable!("pools"))), Vec::new())
        }
    };
    let name = layer.name.clone();
    let (input_zero_point, rounding) = (input.zero_point, options.rounding);
    Ok(IntLayer { name, op, bits, matrices, input_zero_point, rounding, output })
}

/// The rows of a layer, still real.
struct Rows<'a> {
    layer: &'a Layer,
    /// `[output channel][...]`.
    values: &'a [f32],
    bias: Vec<f64>,
    input: Grid,
    scales: &'a [f64],
    rounding: Rounding,
    bits: u8,
    /// Given, not searched.
    row_scales: Option<Vec<f64>>,
}

impl Rows<'_> {
    /// All rows as one matrix.
    fn matrix(&self) -> Result<IntMatrix, QuantizeError> {
        let one = self.split(|weights| vec![weights.to_vec()])?;
        Ok(one.into_iter().next().unwrap_or_default())
    }

    /// Quantizes every row and distributes it over the matrices that `split` makes of all of them.
    fn split(
        &self,
        split: impl Fn(&[i8]) -> Vec<Vec<i8>>,
    ) -> Result<Vec<IntMatrix>, QuantizeError> {
        let outputs = self.bias.len();
        let len = self.values.len().checked_div(outputs).unwrap_or(0);
        let mut weights = Vec::with_capacity(self.values.len());
        let mut row_scales = Vec::with_capacity(outputs);
        let rows = self.values.chunks_exact(len.max(1)).zip(&self.bias);
        for (at, (row, &bias)) in rows.enumerate() {
            let given = self.row_scales.as_ref().and_then(|scales| scales.get(at).copied());
            // A row of tiny weights must not blow its bias beyond 30 bits; one of 4-bit weights that are all
            // zero (pruned away) has no scale of its own, and a large bias would cost its layer the fast packing.
            let most = if self.bits == 4 && row.iter().all(|w| *w == 0.0) { 20 } else { 29 };
            let floor = bias.abs() / (self.input.scale * f64::from(1 << most));
            let scale = given.unwrap_or_else(|| row_scale(row, self.bits)).max(floor).max(1e-30);
            weights.extend(row.iter().map(|&w| integer(w.into(), scale, self.bits)));
            row_scales.push(scale);
        }
        split(&weights).into_iter().map(|weights| self.finish(weights, &row_scales)).collect()
    }

    /// Folds the input's zero point, finds the multipliers, proves the sums.
    fn finish(&self, weights: Vec<i8>, row_scales: &[f64]) -> Result<IntMatrix, QuantizeError> {
        let name = &self.layer.name;
        let inputs = weights.len().checked_div(row_scales.len()).unwrap_or(0);
        let mut matrix = IntMatrix { inputs, weights, bias: Vec::new(), multiplier: Vec::new() };
        for (channel, (&row_scale, &bias)) in row_scales.iter().zip(&self.bias).enumerate() {
            let row = matrix.weights.get(channel * inputs..(channel + 1) * inputs).unwrap_or(&[]);
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let real = (bias / (self.input.scale * row_scale)).round() as i64;
            let folded = real - i64::from(self.input.zero_point) * sum;
            let scale = self.scales.get(channel).copied().unwrap_or(1.0);
            let factor = self.input.scale * row_scale / scale;
            let multiplier = Multiplier::from_factor(factor)
                .ok_or_else(|| factor_error(name, channel, factor))?;
            let bound = folded.unsigned_abs() + inputs as u64 * 128 * 128;
            let double = self.rounding == Rounding::Double;
            let headroom = if double { multiplier.shift.max(0) } else { 0 };
            let limit = i32::MAX as u64 >> headroom;
            if bound > limit {
                return Err(QuantizeError::Overflow { layer: name.clone(), bound, limit });
            }
            matrix.bias.push(folded as i32);
            matrix.multiplier.push(multiplier);
        }
        Ok(matrix)
    }
}
