//! One layer as the kernels see it: shapes and slices into flash.

use bytemuck::AnyBitPattern;

use super::error::ModelError;
use super::wire::{LayerRecord, NO_TABLE, op, output, packing};

/// A layer's operator and the output it writes.
#[derive(Clone, Copy, Debug)]
pub struct LayerView<'a> {
    /// What the layer computes.
    pub operator: Operator<'a>,
    /// What it writes.
    pub output: Output<'a>,
}

/// What a layer computes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operator<'a> {
    /// A dense layer.
    FullyConnected(FullyConnected<'a>),
}

/// `acc[o] = bias[o] + sum_i(weights[o][i] * input[i])`, then requantized.
#[derive(Clone, Copy, Debug)]
pub struct FullyConnected<'a> {
    /// Inputs.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
    /// Layout of the weights: [`packing`].
    pub packing: u8,
    /// Packed weights.
    pub weights: &'a [u8],
    /// int32 bias an output, the input's zero point folded in.
    pub bias: &'a [i32],
    /// Q0.31 multiplier an output.
    pub multiplier: &'a [i32],
    /// Shift an output, negative to the right.
    pub shift: &'a [i8],
}

/// What a layer writes.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// int8: `clamp(zero_point + requantize(acc))`, then `table[q + 128]` if there is one.
    Int8 {
        /// Added behind the requantization.
        zero_point: i8,
        /// Least output before the table.
        min: i8,
        /// Greatest output before the table.
        max: i8,
        /// A non-linearity as 256 int8 entries.
        table: Option<&'a [i8; 256]>,
    },
    /// int16: `saturate(requantize(acc))`.
    Int16,
}

impl<'a> LayerView<'a> {
    /// Resolves a record's sections. Checks sections and known tags, not numbers.
    pub(super) fn new(record: &LayerRecord, payload: &'a [u8]) -> Result<Self, Fault> {
        let table = match record.table {
            NO_TABLE => None,
            offset => Some(
                array::<i8>(payload, offset, 256)
                    .and_then(|t| t.try_into().ok())
                    .ok_or(Fault::Section)?,
            ),
        };
        let output = match record.output {
            output::INT8 => Output::Int8 {
                zero_point: record.output_zero_point,
                min: record.clamp_min,
                max: record.clamp_max,
                table,
            },
            output::INT16 if table.is_none() => Output::Int16,
            _ => return Err(Fault::Unsupported),
        };
        let operator = match record.op {
            op::FULLY_CONNECTED => {
                let (inputs, outputs) =
                    (usize::from(record.in_shape[2]), usize::from(record.out_shape[2]));
                let weights = record.weights.of(payload).ok_or(Fault::Section)?;
                match record.packing {
                    packing::ROW_MAJOR if Some(weights.len()) == inputs.checked_mul(outputs) => {}
                    packing::ROW_MAJOR => return Err(Fault::Section),
                    _ => return Err(Fault::Unsupported),
                }
                Operator::FullyConnected(FullyConnected {
                    inputs,
                    outputs,
                    packing: record.packing,
                    weights,
                    bias: array(payload, record.bias, outputs).ok_or(Fault::Section)?,
                    multiplier: array(payload, record.multiplier, outputs).ok_or(Fault::Section)?,
                    shift: array(payload, record.shift, outputs).ok_or(Fault::Section)?,
                })
            }
            _ => return Err(Fault::Unsupported),
        };
        Ok(Self { operator, output })
    }

    /// Elements the layer reads.
    pub fn input_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(layer) => layer.inputs,
        }
    }

    /// Elements the layer writes.
    pub fn output_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(layer) => layer.outputs,
        }
    }

    /// Bytes the layer writes.
    pub fn output_bytes(&self) -> usize {
        match self.output {
            Output::Int8 { .. } => self.output_len(),
            Output::Int16 => 2 * self.output_len(),
        }
    }
}

/// Why a record does not resolve; the index is added by the caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Section,
    Unsupported,
}

impl Fault {
    pub(super) fn at(self, layer: u16) -> ModelError {
        match self {
            Self::Section => ModelError::Section,
            Self::Unsupported => ModelError::UnsupportedLayer { layer },
        }
    }
}

/// `len` little-endian numbers at `offset` of the payload, `None` if they leave it or are misaligned.
pub(super) fn array<T: AnyBitPattern>(payload: &[u8], offset: u32, len: usize) -> Option<&[T]> {
    let start = offset as usize;
    let bytes = len.checked_mul(size_of::<T>())?;
    bytemuck::try_cast_slice(payload.get(start..start.checked_add(bytes)?)?).ok()
}
