//! The tables of TensorFlow Lite's schema that a model of ours is made of, by field number.
//!
//! Numbers as in `tensorflow/compiler/mlir/lite/schema/schema.fbs`, version 3. Called by this
//! module's readers; it understands the file, not the model.

use super::flatbuffer::{Damaged, Table};

/// The file's identifier, behind the root's offset.
const IDENTIFIER: &[u8] = b"TFL3";

/// Whether `bytes` begin like a TensorFlow Lite file.
pub fn is_tflite(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(IDENTIFIER)
}

/// The main subgraph of a file.
#[derive(Debug)]
pub(super) struct File<'a> {
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) operators: Vec<Operator<'a>>,
    /// Indices of tensors.
    pub(super) inputs: Vec<usize>,
    /// Indices of tensors.
    pub(super) outputs: Vec<usize>,
}

/// An activation, or numbers of the file.
#[derive(Debug)]
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    /// The batch included.
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorKind,
    /// Empty unless its numbers are in the file.
    pub(super) data: &'a [u8],
    /// One, or one an index of `axis`; empty where it is not quantized.
    pub(super) scale: Vec<f32>,
    /// One a scale; 0 where there are none.
    pub(super) zero_point: Vec<i64>,
    pub(super) axis: usize,
    /// Whether the numbers are stored sparsely.
    pub(super) is_sparse: bool,
}

/// `TensorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TensorKind {
    Float32,
    Float16,
    Int32,
    Uint8,
    Int16,
    Int8,
    /// Another one, by number.
    Other(i8),
}

impl std::fmt::Display for TensorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float32 => f.write_str("float32"),
            Self::Float16 => f.write_str("float16"),
            Self::Int32 => f.write_str("int32"),
            Self::Uint8 => f.write_str("uint8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int8 => f.write_str("int8"),
            Self::Other(number) => write!(f, "tensor type {number}"),
        }
    }
}

/// One operator.
#[derive(Debug)]
pub(super) struct Operator<'a> {
    /// `BuiltinOperator`: [`code`].
    pub(super) code: i32,
    /// Name of a custom operator.
    pub(super) custom: String,
    /// Indices of tensors; `None` where an optional one is left out.
    pub(super) inputs: Vec<Option<usize>>,
    /// Indices of tensors.
    pub(super) outputs: Vec<usize>,
    options: Option<Table<'a>>,
}

/// Values of [`Operator::code`] that are read here.
pub(super) mod code {
    pub(crate) const ADD: i32 = 0;
    pub(crate) const AVERAGE_POOL_2D: i32 = 1;
    pub(crate) const CONCATENATION: i32 = 2;
    pub(crate) const CONV_2D: i32 = 3;
    pub(crate) const DEPTHWISE_CONV_2D: i32 = 4;
    pub(crate) const DEQUANTIZE: i32 = 6;
    pub(crate) const FULLY_CONNECTED: i32 = 9;
    pub(crate) const LOGISTIC: i32 = 14;
    pub(crate) const MAX_POOL_2D: i32 = 17;
    pub(crate) const MUL: i32 = 18;
    pub(crate) const RELU: i32 = 19;
    pub(crate) const RELU_N1_TO_1: i32 = 20;
    pub(crate) const RELU6: i32 = 21;
    pub(crate) const RESHAPE: i32 = 22;
    pub(crate) const TANH: i32 = 28;
    pub(crate) const CUSTOM: i32 = 32;
    pub(crate) const PAD: i32 = 34;
    pub(crate) const TRANSPOSE: i32 = 39;
    pub(crate) const MEAN: i32 = 40;
    pub(crate) const SUB: i32 = 41;
    pub(crate) const DIV: i32 = 42;
    pub(crate) const SQUEEZE: i32 = 43;
    pub(crate) const STRIDED_SLICE: i32 = 45;
    pub(crate) const EXP: i32 = 47;
    pub(crate) const SPLIT: i32 = 49;
    pub(crate) const CAST: i32 = 53;
    pub(crate) const SLICE: i32 = 65;
    pub(crate) const TRANSPOSE_CONV: i32 = 67;
    pub(crate) const TILE: i32 = 69;
    pub(crate) const EXPAND_DIMS: i32 = 70;
    pub(crate) const LOG: i32 = 73;
    pub(crate) const SQRT: i32 = 75;
    pub(crate) const REDUCE_MAX: i32 = 82;
    pub(crate) const RESIZE_NEAREST_NEIGHBOR: i32 = 97;
    pub(crate) const LEAKY_RELU: i32 = 98;
    pub(crate) const ELU: i32 = 111;
    pub(crate) const QUANTIZE: i32 = 114;
    pub(crate) const BROADCAST_TO: i32 = 130;
    pub(crate) const RANDOM_STANDARD_NORMAL: i32 = 146;
    pub(crate) const GELU: i32 = 150;
    pub(crate) const RELU_0_TO_1: i32 = 152;
}

impl<'a> File<'a> {
    /// Reads the tables; the model behind them may still be nonsense.
    ///
    /// # Errors
    /// [`Damaged`] where the file ends early or an index leads nowhere.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let model = Table::root(bytes)?;
        let codes = model.tables(1)?.iter().map(operator_code).collect::<Result<Vec<_>, _>>()?;
        let buffers = model.tables(4)?;
        let buffers =
            buffers.iter().map(|table| buffer(table, bytes)).collect::<Result<Vec<_>, _>>()?;
        let subgraphs = model.tables(2)?;
        let main = subgraphs.first().ok_or(Damaged)?;
        let tensors = main.tables(0)?;
        let tensors =
            tensors.iter().map(|table| tensor(table, &buffers)).collect::<Result<Vec<_>, _>>()?;
        let index = |index: &i32| {
            usize::try_from(*index).ok().filter(|index| *index < tensors.len()).ok_or(Damaged)
        };
        let indices = |indices: Vec<i32>| indices.iter().map(index).collect::<Result<Vec<_>, _>>();
        let operator = |table: &Table<'a>| {
            let (code, custom) = codes.get(table.number(0, 0u32)? as usize).ok_or(Damaged)?.clone();
            let optional = |at: &i32| if *at == -1 { Ok(None) } else { index(at).map(Some) };
            Ok(Operator {
                code,
                custom,
                inputs: table.numbers(1)?.iter().map(optional).collect::<Result<Vec<_>, _>>()?,
                outputs: indices(table.numbers(2)?)?,
                options: table.table(4)?,
            })
        };
        Ok(Self {
            operators: main.tables(3)?.iter().map(operator).collect::<Result<Vec<_>, _>>()?,
            inputs: indices(main.numbers(1)?)?,
            outputs: indices(main.numbers(2)?)?,
            tensors,
        })
    }
}

fn operator_code(table: &Table<'_>) -> Result<(i32, String), Damaged> {
    // Field 0 is the code of old files; new ones write both, as far as it fits.
    let code = i32::from(table.number(0, 0i8)?).max(table.number(3, 0i32)?);
    Ok((code, table.text(1)?))
}

/// The bytes of a buffer: in the table, or of large files behind it.
fn buffer<'a>(table: &Table<'a>, file: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (offset, size) = (table.number(1, 0u64)?, table.number(2, 0u64)?);
    if offset <= 1 {
        return table.bytes(0);
    }
    let end = offset.checked_add(size).ok_or(Damaged)?;
    let range =
        usize::try_from(offset).map_err(|_| Damaged)?..usize::try_from(end).map_err(|_| Damaged)?;
    file.get(range).ok_or(Damaged)
}

fn tensor<'a>(table: &Table<'a>, buffers: &[&'a [u8]]) -> Result<Tensor<'a>, Damaged> {
    let size = |&size: &i32| usize::try_from(size).map_err(|_| Damaged);
    let mut tensor = Tensor {
        name: table.text(3)?,
        shape: table.numbers(0)?.iter().map(size).collect::<Result<_, _>>()?,
        kind: match table.number(1, 0i8)? {
            0 => TensorKind::Float32,
            1 => TensorKind::Float16,
            2 => TensorKind::Int32,
            3 => TensorKind::Uint8,
            7 => TensorKind::Int16,
            9 => TensorKind::Int8,
            other => TensorKind::Other(other),
        },
        data: buffers.get(table.number(2, 0u32)? as usize).ok_or(Damaged)?,
        scale: Vec::new(),
        zero_point: Vec::new(),
        axis: 0,
        is_sparse: table.table(6)?.is_some(),
    };
    if let Some(quantization) = table.table(4)? {
        tensor.scale = quantization.numbers(2)?;
        tensor.zero_point = quantization.numbers(3)?;
        tensor.axis = size(&quantization.number(6, 0i32)?)?;
    }
    Ok(tensor)
}

impl Tensor<'_> {
    /// Elements of one window: the batch, where there is one, is 1.
    pub(super) fn len(&self) -> usize {
        self.shape.iter().fold(1, |len: usize, n| len.saturating_mul(*n))
    }

    /// The shape without the batch.
    pub(super) fn inner_shape(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or(&[])
    }
}

/// `ActivationFunctionType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fused {
    None,
    Relu,
    ReluN1To1,
    Relu6,
    Tanh,
    /// Another one, by number.
    Other(i8),
}

/// Options of a windowed operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowOptions {
    /// `SAME`, else `VALID`.
    pub(super) same: bool,
    /// Height and width.
    pub(super) stride: [usize; 2],
    /// Height and width; of a pool, else 0.
    pub(super) kernel: [usize; 2],
    /// Height and width.
    pub(super) dilation: [usize; 2],
    pub(super) fused: Fused,
}

impl Operator<'_> {
    /// The operator's name, for messages.
    pub(super) fn operator_name(&self) -> String {
        match (self.code, self.custom.as_str()) {
            (code::CUSTOM, custom) => format!("custom operator {custom}"),
            (code, _) => super::operator_names::name(code),
        }
    }

    /// A number of the options, `default` where it is left out.
    pub(super) fn option<T: super::flatbuffer::Number>(
        &self,
        field: usize,
        default: T,
    ) -> Result<T, Damaged> {
        self.options.map_or(Ok(default), |options| options.number(field, default))
    }

    /// The function fused into the operator, in field `field` of its options.
    pub(super) fn fused(&self, field: usize) -> Result<Fused, Damaged> {
        Ok(match self.option(field, 0i8)? {
            0 => Fused::None,
            1 => Fused::Relu,
            2 => Fused::ReluN1To1,
            3 => Fused::Relu6,
            4 => Fused::Tanh,
            other => Fused::Other(other),
        })
    }

    /// Stride, padding and their kin of a convolution or pool.
    pub(super) fn window(&self) -> Result<WindowOptions, Damaged> {
        let pair = |height: usize, width: usize, default: i32| {
            let number = |field| usize::try_from(self.option(field, default)?).map_err(|_| Damaged);
            Ok([number(height)?, number(width)?])
        };
        let (kernel, dilation, fused) = match self.code {
            code::CONV_2D => ([0; 2], pair(5, 4, 1)?, self.fused(3)?),
            code::DEPTHWISE_CONV_2D => ([0; 2], pair(6, 5, 1)?, self.fused(4)?),
            code::TRANSPOSE_CONV => ([0; 2], [1; 2], self.fused(3)?),
            _ => (pair(4, 3, 0)?, [1; 2], self.fused(5)?),
        };
        let same = self.option(0, 0i8)? == 0;
        Ok(WindowOptions { same, stride: pair(2, 1, 0)?, kernel, dilation, fused })
    }
}
