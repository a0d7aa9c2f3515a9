//! One layer as the kernels see it: shapes and slices into flash.

use bytemuck::AnyBitPattern;

use super::error::ModelError;
use super::geometry::Geometry;
use super::packing::{self, Matrix};
use super::phases::Phases;
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
    /// A convolution: one row an output channel, `[taps][channels]` each.
    Convolution(Geometry<'a>, Matrix<'a>),
    /// A transposed convolution: a matrix a phase.
    TransposedConvolution(Phases<'a>),
    /// A convolution of each channel by itself: one row a channel, `[taps]` each.
    DepthwiseConvolution(Geometry<'a>, Matrix<'a>),
    /// The greatest value of each window.
    MaxPool(Geometry<'a>),
    /// The mean value of each window.
    AveragePool(Geometry<'a>),
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
    /// int16: the int8 output without a table, then `table[q + 128]`.
    Widened {
        /// Added behind the requantization.
        zero_point: i8,
        /// Least output before the table.
        min: i8,
        /// Greatest output before the table.
        max: i8,
        /// What each int8 stands for.
        table: &'a [i16; 256],
    },
}

impl<'a> LayerView<'a> {
    /// Resolves a record's sections. Checks sections and known tags, not numbers.
    pub(super) fn new(record: &'a LayerRecord, payload: &'a [u8]) -> Result<Self, Fault> {
        let last =
            if cfg!(feature = "convolution") { op::AVERAGE_POOL } else { op::FULLY_CONNECTED };
        let known = record.op <= last
            && packing::is_known(record.packing)
            && match record.output {
                output::INT8 => true,
                output::INT16 => record.table == NO_TABLE && record.op < op::MAX_POOL,
                output::WIDENED => true,
                _ => false,
            };
        if !known {
            return Err(Fault::Unsupported);
        }
        let layer = Self::resolve(record, payload).ok_or(Fault::Section)?;
        let [in_length, in_width, in_channels] = record.in_shape;
        let [out_length, out_width, out_channels] = record.out_shape;
        let same_channels = in_channels == out_channels;
        let shape = match &layer.operator {
            Operator::FullyConnected(_) => [in_length, in_width, out_length, out_width] == [1; 4],
            _ if !cfg!(feature = "convolution") => false,
            Operator::Convolution(geometry, matrix) => {
                geometry.is_sound() && matrix.inputs() == geometry.taps() * geometry.in_channels()
            }
            Operator::DepthwiseConvolution(geometry, _) => geometry.is_sound() && same_channels,
            Operator::MaxPool(geometry) | Operator::AveragePool(geometry) => {
                geometry.is_sound() && same_channels
            }
            Operator::TransposedConvolution(phases) => phases.geometry().is_sound_transposed(),
        };
        let elements = |shape: [u16; 3]| shape.iter().map(|&n| u64::from(n)).product::<u64>();
        let fits = elements(record.in_shape) <= u64::from(u16::MAX)
            && elements(record.out_shape) <= u64::from(u16::MAX);
        if !shape || !fits {
            return Err(Fault::Shape);
        }
        let mut whole = true;
        layer.matrices(|matrix| whole &= matrix.is_whole()).ok_or(Fault::Section)?;
        if whole { Ok(layer) } else { Err(Fault::Section) }
    }

    /// Calls `visit` with every matrix of the layer.
    pub(super) fn matrices(&self, mut visit: impl FnMut(&Matrix<'a>)) -> Option<()> {
        match &self.operator {
            Operator::FullyConnected(matrix)
            | Operator::Convolution(_, matrix)
            | Operator::DepthwiseConvolution(_, matrix) => visit(matrix),
            Operator::TransposedConvolution(phases) if cfg!(feature = "convolution") => {
                phases.each(|_, matrix| visit(&matrix))?;
            }
            _ => {}
        }
        Some(())
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
            (output::WIDENED, offset) => Output::Widened {
                zero_point: record.output_zero_point,
                min: record.clamp_min,
                max: record.clamp_max,
                table: array::<i16>(payload, offset, 256)?.try_into().ok()?,
            },
            _ => return None,
        };
        let operator = match record.op {
            op::FULLY_CONNECTED => {
                let [.., inputs] = record.in_shape;
                let [.., outputs] = record.out_shape;
                Operator::FullyConnected(Matrix::new(record, payload, inputs, outputs)?)
            }
            _ if cfg!(feature = "convolution") => windowed(record, payload)?,
            _ => return None,
        };
        Some(Self { operator, output })
    }

    /// Elements the layer reads.
    #[inline]
    pub fn input_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(matrix) => matrix.inputs(),
            other if cfg!(feature = "convolution") => other.elements().0,
            _ => 0,
        }
    }

    /// Elements the layer writes.
    #[inline]
    pub fn output_len(&self) -> usize {
        match &self.operator {
            Operator::FullyConnected(matrix) => matrix.outputs(),
            other if cfg!(feature = "convolution") => other.elements().1,
            _ => 0,
        }
    }

    /// Multiplications of one inference.
    pub fn macs(&self) -> usize {
        let positions =
            |geometry: &Geometry<'_>| geometry.output_len() / geometry.out_channels().max(1);
        match &self.operator {
            Operator::FullyConnected(matrix) => matrix.inputs() * matrix.outputs(),
            Operator::Convolution(geometry, matrix)
            | Operator::DepthwiseConvolution(geometry, matrix) => {
                positions(geometry) * matrix.inputs() * matrix.outputs()
            }
            // Every input meets every tap once, but for the edges.
            Operator::TransposedConvolution(phases) => {
                let geometry = phases.geometry();
                geometry.input_len() * geometry.taps() * geometry.out_channels()
            }
            Operator::MaxPool(_) | Operator::AveragePool(_) => 0,
        }
    }

    /// Bytes the layer writes.
    pub fn output_bytes(&self) -> usize {
        match self.output {
            Output::Int8 { .. } => self.output_len(),
            Output::Int16 | Output::Widened { .. } => 2 * self.output_len(),
        }
    }

    /// The layer as it is before [`Output::Widened`] looks its int8 output up, and that table.
    pub fn narrow(&self) -> Option<(Self, &'a [i16; 256])> {
        let Output::Widened { zero_point, min, max, table } = self.output else { return None };
        let output = Output::Int8 { zero_point, min, max, table: None };
        Some((Self { operator: self.operator, output }, table))
    }
}

impl<'a> Operator<'a> {
    /// Elements of input and output of a windowed operator.
    #[cold]
    #[inline(never)]
    fn elements(&self) -> (usize, usize) {
        self.geometry().map_or((0, 0), |geometry| (geometry.input_len(), geometry.output_len()))
    }

    /// Shapes of a windowed operator.
    pub fn geometry(&self) -> Option<Geometry<'a>> {
        match self {
            Self::FullyConnected(_) => None,
            Self::Convolution(geometry, _)
            | Self::DepthwiseConvolution(geometry, _)
            | Self::MaxPool(geometry)
            | Self::AveragePool(geometry) => Some(*geometry),
            Self::TransposedConvolution(phases) => Some(phases.geometry()),
        }
    }
}

/// Convolutions and pools, out of the way of the fully connected layers.
#[inline(never)]
fn windowed<'a>(record: &'a LayerRecord, payload: &'a [u8]) -> Option<Operator<'a>> {
    let geometry = Geometry(record);
    let [.., outputs] = record.out_shape;
    Some(match record.op {
        op::CONVOLUTION => {
            let inputs = u16::try_from(geometry.taps() * geometry.in_channels()).ok()?;
            Operator::Convolution(geometry, Matrix::new(record, payload, inputs, outputs)?)
        }
        op::TRANSPOSED_CONVOLUTION => Operator::TransposedConvolution(Phases { record, payload }),
        op::DEPTHWISE_CONVOLUTION => {
            let taps = u16::try_from(geometry.taps()).ok()?;
            Operator::DepthwiseConvolution(geometry, Matrix::new(record, payload, taps, outputs)?)
        }
        op::MAX_POOL => Operator::MaxPool(geometry),
        op::AVERAGE_POOL => Operator::AveragePool(geometry),
        _ => return None,
    })
}

/// Why a record does not resolve; the index is added by the caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Section,
    Shape,
    Unsupported,
}

impl Fault {
    pub(super) fn at(self, layer: u16) -> ModelError {
        match self {
            Self::Section => ModelError::Section,
            Self::Shape => ModelError::LayerShape { layer },
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
