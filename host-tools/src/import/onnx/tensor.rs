//! Numbers of an ONNX file: initializers, constants, and what is computed from
//! them while reading.

use super::proto;
use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use std::path::Path;

/// A constant, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

/// Floats of every width as f32; integers and truth values as i64.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// Numbers of a file, at most.
pub(super) const MAX_ELEMENTS: usize = 1 << 24;

impl Tensor {
    pub(super) fn ints(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], data: Data::Int(values) }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
        }
    }

    /// Integers, e.g. of axes or shapes; floats are taken where they are whole.
    pub(super) fn as_ints(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::Int(values) => Some(values.clone()),
            Data::Float(values) => {
                values.iter().map(|v| (v.fract() == 0.0).then_some(*v as i64)).collect()
            }
        }
    }

    pub(super) fn floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|v| *v as f32).collect(),
        }
    }

    /// The one number of a scalar.
    pub(super) fn number(&self) -> Option<f32> {
        match (self.len(), &self.data) {
            (1, Data::Float(values)) => Some(values[0]),
            (1, Data::Int(values)) => Some(values[0] as f32),
            _ => None,
        }
    }

    pub(super) fn array(&self) -> ArrayD<f32> {
        ArrayD::from_shape_vec(IxDyn(&self.shape), self.floats())
            .unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0])))
    }

    /// The same numbers at `pick`, in a new shape.
    pub(super) fn select(&self, shape: Vec<usize>, pick: &[usize]) -> Option<Self> {
        fn at<T: Copy>(values: &[T], pick: &[usize]) -> Option<Vec<T>> {
            pick.iter().map(|i| values.get(*i).copied()).collect()
        }
        let data = match &self.data {
            Data::Float(values) => Data::Float(at(values, pick)?),
            Data::Int(values) => Data::Int(at(values, pick)?),
        };
        Some(Self { shape, data })
    }

    /// Reads a tensor of the file; external numbers lie beside it.
    /// `left` of all numbers of the file may be read.
    pub(super) fn read(
        tensor: &proto::Tensor,
        file: &Path,
        left: &mut usize,
    ) -> Result<Self, String> {
        let shape: Option<Vec<usize>> =
            tensor.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let len = shape
            .as_ref()
            .and_then(|shape| shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)))
            .filter(|len| *len <= *left);
        let (Some(shape), Some(len)) = (shape, len) else {
            return Err(format!("shape {:?} makes no sense", tensor.dims));
        };
        *left -= len;
        let external;
        let raw: &[u8] = if tensor.data_location == 1 {
            external = external_data(tensor, len, file)?;
            &external
        } else {
            &tensor.raw_data
        };
        let data = match tensor.data_type {
            1 if !tensor.float_data.is_empty() => Data::Float(tensor.float_data.clone()),
            1 => Data::Float(numbers(raw, f32::from_le_bytes)),
            11 if !tensor.double_data.is_empty() => {
                Data::Float(tensor.double_data.iter().map(|v| *v as f32).collect())
            }
            11 => Data::Float(numbers(raw, |b| f64::from_le_bytes(b) as f32)),
            10 if !tensor.int32_data.is_empty() => Data::Float(
                tensor.int32_data.iter().map(|v| f16::from_bits(*v as u16).into()).collect(),
            ),
            10 => Data::Float(numbers(raw, |b| f16::from_le_bytes(b).into())),
            16 if !tensor.int32_data.is_empty() => Data::Float(
                tensor.int32_data.iter().map(|v| bf16::from_bits(*v as u16).into()).collect(),
            ),
            16 => Data::Float(numbers(raw, |b| bf16::from_le_bytes(b).into())),
            7 if !tensor.int64_data.is_empty() => Data::Int(tensor.int64_data.clone()),
            7 => Data::Int(numbers(raw, i64::from_le_bytes)),
            2..=6 | 9 if !tensor.int32_data.is_empty() => {
                Data::Int(tensor.int32_data.iter().map(|v| i64::from(*v)).collect())
            }
            6 => Data::Int(numbers(raw, |b| i32::from_le_bytes(b).into())),
            2 | 9 => Data::Int(raw.iter().map(|b| i64::from(*b)).collect()),
            3 => Data::Int(numbers(raw, |b| i8::from_le_bytes(b).into())),
            4 => Data::Int(numbers(raw, |b| u16::from_le_bytes(b).into())),
            5 => Data::Int(numbers(raw, |b| i16::from_le_bytes(b).into())),
            12 | 13 if !tensor.uint64_data.is_empty() => {
                Data::Int(tensor.uint64_data.iter().map(|v| *v as i64).collect())
            }
            12 => Data::Int(numbers(raw, |b| u32::from_le_bytes(b).into())),
            13 => Data::Int(numbers(raw, |b| u64::from_le_bytes(b) as i64)),
            other => return Err(format!("numbers of type {other} are not read")),
        };
        let tensor = Self { shape, data };
        if tensor.len() != len {
            return Err(format!("holds {} numbers for shape {:?}", tensor.len(), tensor.shape));
        }
        Ok(tensor)
    }
}

fn numbers<T, const N: usize>(raw: &[u8], to: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|bytes| to(*bytes)).collect()
}

/// Numbers in a file of their own, beside the model and nowhere else.
fn external_data(tensor: &proto::Tensor, len: usize, file: &Path) -> Result<Vec<u8>, String> {
    use std::io::{Read, Seek, SeekFrom};
    let entry = |key: &str| {
        tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    };
    let location = entry("location").ok_or("names no file for its numbers")?;
    let mut parts = Path::new(location).components();
    let (Some(std::path::Component::Normal(name)), None) = (parts.next(), parts.next()) else {
        return Err(format!("its numbers are in `{location}`, not beside the model"));
    };
    let width: usize = match tensor.data_type {
        1 | 6 | 12 => 4,
        7 | 11 | 13 => 8,
        4 | 5 | 10 | 16 => 2,
        _ => 1,
    };
    let offset: u64 = entry("offset").unwrap_or("0").parse().map_err(|_| "a bad offset")?;
    let path = file.with_file_name(name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut source = std::fs::File::open(&path).map_err(failed)?;
    let there = source.metadata().map_err(failed)?.len();
    let bytes = len.saturating_mul(width) as u64;
    if offset.checked_add(bytes).is_none_or(|end| end > there) {
        return Err(format!("{} is too short", path.display()));
    }
    source.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut data = Vec::new();
    source.take(bytes).read_to_end(&mut data).map_err(failed)?;
    Ok(data)
}
