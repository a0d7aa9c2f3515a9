//! One layer as the kernels see it: shapes and slices into flash.

use bytemuck::AnyBitPattern;

use super::error::ModelError;
use super::packing::{Matrix, matrix_len};
use super::wire::{LayerRecord, NO_TABLE, op, output, packing};
use crate::arena::ALIGNMENT;

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
    /// `acc[o] = bias[o] + sum_i(weights[o][i] * input[i])`, then requantized.
    FullyConnected(Matrix<'a>),
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
                Operator::FullyConnected(matrix(record, payload, inputs, outputs)?)
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

/// The matrix of a record; its bytes have exactly the packing's length.
fn matrix<'a>(
    record: &LayerRecord,
    payload: &'a [u8],
    inputs: usize,
    outputs: usize,
) -> Result<Matrix<'a>, Fault> {
    let weights = record.weights.of(payload).ok_or(Fault::Section)?;
    let len = matrix_len(record.packing, inputs, outputs).ok_or(Fault::Unsupported)?;
    if weights.len() != len {
        return Err(Fault::Section);
    }
    let mut matrix = Matrix {
        inputs,
        outputs,
        packing: record.packing,
        flags: record.flags,
        weights,
        bias: &[],
        multiplier: &[],
        shift: &[],
    };
    if record.packing == packing::ROW_MAJOR {
        matrix.bias = array(payload, record.bias, outputs).ok_or(Fault::Section)?;
        matrix.multiplier = array(payload, record.multiplier, outputs).ok_or(Fault::Section)?;
        matrix.shift = array(payload, record.shift, outputs).ok_or(Fault::Section)?;
    } else if !weights.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        return Err(Fault::Section);
    }
    Ok(matrix)
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
