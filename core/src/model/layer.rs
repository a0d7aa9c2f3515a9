//! One layer as the kernels see it: shapes and slices into flash.

use bytemuck::AnyBitPattern;

use super::error::ModelError;
use super::packing::{self, Matrix};
use super::wire::{LayerRecord, NO_TABLE, op, output};

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
    pub(super) fn new(record: &'a LayerRecord, payload: &'a [u8]) -> Result<Self, Fault> {
        let known = record.op == op::FULLY_CONNECTED
            && packing::is_known(record.packing)
            && match record.output {
                output::INT8 => true,
                output::INT16 => record.table == NO_TABLE,
                _ => false,
            };
        if !known {
            return Err(Fault::Unsupported);
        }
        let layer = Self::resolve(record, payload).ok_or(Fault::Section)?;
        let Operator::FullyConnected(matrix) = &layer.operator;
        if matrix.is_whole() { Ok(layer) } else { Err(Fault::Section) }
    }

    /// [`new`](Self::new) for a record that has passed it, without repeating its
    /// arithmetic: what an inference calls for each layer.
    pub(super) fn resolve(record: &'a LayerRecord, payload: &'a [u8]) -> Option<Self> {
        let output = match (record.output, record.table) {
            (output::INT8, table) => Output::Int8 {
                zero_point: record.output_zero_point,
                min: record.clamp_min,
                max: record.clamp_max,
                table: match table {
                    NO_TABLE => None,
                    offset => Some(array::<i8>(payload, offset, 256)?.try_into().ok()?),
                },
            },
            (output::INT16, NO_TABLE) => Output::Int16,
            _ => return None,
        };
        let operator = match record.op {
            op::FULLY_CONNECTED => {
                let [.., inputs] = record.in_shape;
                let [.., outputs] = record.out_shape;
                Operator::FullyConnected(Matrix::new(record, payload, inputs, outputs)?)
            }
            _ => return None,
        };
        Some(Self { operator, output })
    }

    /// Elements the layer reads.
    pub fn input_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(layer) => layer.inputs(),
        }
    }

    /// Elements the layer writes.
    pub fn output_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(layer) => layer.outputs(),
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
