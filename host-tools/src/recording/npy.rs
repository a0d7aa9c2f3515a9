//! NPY arrays, through `npyz`; the header is checked against the file's length
//! before anything is allocated for it.

use super::{Recording, RecordingError, load};
use npyz::{DType, NpyFile, Order, TypeChar, WriterBuilder};
use std::path::Path;

pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Recording, RecordingError> {
    let format = |reason: String| RecordingError::Format { path: path.to_path_buf(), reason };
    check_header_len(path, bytes)?;
    let file = NpyFile::new(bytes).map_err(|e| format(format!("NPY header: {e}")))?;
    let header = file.header();
    let DType::Plain(dtype) = header.dtype() else {
        return Err(format("NPY: structured arrays cannot be read".into()));
    };
    let shape = header.shape().to_vec();
    let order = header.order();
    let count = load::element_count(path, shape.iter().copied())?;
    let item = dtype.num_bytes().unwrap_or(0);
    // `NpyFile::new` consumed the header: what is left is the data.
    let data = file.into_inner();
    // Asked once the dtype is known to be one that has a size.
    let complete = || {
        if count.saturating_mul(item) > data.len() {
            return Err(RecordingError::Truncated {
                path: path.to_path_buf(),
                expected: (count as u64).saturating_mul(item as u64),
                found: data.len() as u64,
                unit: "data bytes",
            });
        }
        Ok(())
    };
    let again = || NpyFile::new(bytes);
    macro_rules! samples {
        ($t:ty, $to:expr) => {{
            complete()?;
            again()
                .and_then(|f| f.into_vec::<$t>())
                .map(|v| v.into_iter().map($to).collect::<Vec<f32>>())
        }};
    }
    let samples = match (dtype.type_char(), item) {
        (TypeChar::Uint, 1) => samples!(u8, f32::from),
        (TypeChar::Int, 1) => samples!(i8, f32::from),
        (TypeChar::Uint, 2) => samples!(u16, f32::from),
        (TypeChar::Int, 2) => samples!(i16, f32::from),
        (TypeChar::Uint, 4) => samples!(u32, |x| x as f32),
        (TypeChar::Int, 4) => samples!(i32, |x| x as f32),
        (TypeChar::Uint, 8) => samples!(u64, |x| x as f32),
        (TypeChar::Int, 8) => samples!(i64, |x| x as f32),
        (TypeChar::Bool, 1) => samples!(bool, |x| f32::from(u8::from(x))),
        (TypeChar::Float, 2) => samples!(half::f16, f32::from),
        (TypeChar::Float, 4) => samples!(f32, |x| x),
        (TypeChar::Float, 8) => samples!(f64, |x| x as f32),
        (kind, _) => {
            let what = match kind {
                TypeChar::Object => " (Python objects)",
                TypeChar::ByteStr | TypeChar::UnicodeStr => " (text)",
                _ => "",
            };
            return Err(format(format!(
                "NPY: dtype `{dtype}`{what} cannot be read; save as float32 or int16"
            )));
        }
    }
    .map_err(|e| format(format!("NPY: {e}")))?;

    let mut shape: Vec<usize> = shape.iter().map(|d| *d as usize).collect();
    let samples = match order {
        Order::C => samples,
        Order::Fortran => to_c_order(&shape, samples),
    };
    if shape.is_empty() {
        // A scalar: one row.
        shape.push(1);
    }
    if samples.is_empty() {
        return Err(RecordingError::Empty { path: path.to_path_buf() });
    }
    Ok(Recording { shape, samples, ..Recording::empty(path) })
}

/// Types of plain numbers, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    Bool,
    F16,
    F32,
    F64,
    I16,
    I32,
    I64,
    I8,
    U16,
    U32,
    U64,
    U8,
}

impl Dtype {
    /// Bytes of a number.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Appends the numbers in `bytes`; what is left of the last one is not read.
    pub(super) fn append(self, bytes: &[u8], samples: &mut Vec<f32>) {
        macro_rules! all {
            ($t:ty, $to:expr) => {{
                let (numbers, _) = bytes.as_chunks::<{ size_of::<$t>() }>();
                samples.extend(numbers.iter().map(|b| <$t>::from_le_bytes(*b)).map($to))
            }};
        }
        match self {
            Self::Bool => all!(u8, |x| f32::from(u8::from(x != 0))),
            Self::F16 => all!(half::f16, f32::from),
            Self::F32 => all!(f32, |x| x),
            Self::F64 => all!(f64, |x| x as f32),
            Self::I16 => all!(i16, f32::from),
            Self::I32 => all!(i32, |x| x as f32),
            Self::I64 => all!(i64, |x| x as f32),
            Self::I8 => all!(i8, f32::from),
            Self::U16 => all!(u16, f32::from),
            Self::U32 => all!(u32, |x| x as f32),
            Self::U64 => all!(u64, |x| x as f32),
            Self::U8 => all!(u8, f32::from),
        }
    }
}

/// What the header of an array says that can be read row by row.
pub(super) struct PlainHeader {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    /// Bytes of the header.
    pub(super) data_at: usize,
}

/// The header at the start of a file of `len` bytes; `None` of an array that [`read`] reads, or refuses, whole.
pub(super) fn plain_header(
    path: &Path,
    prefix: &[u8],
    len: u64,
) -> Result<Option<PlainHeader>, RecordingError> {
    check_header_len(path, prefix)?;
    let Ok(file) = NpyFile::new(prefix) else { return Ok(None) };
    let header = file.header();
    let (DType::Plain(plain), Order::C) = (header.dtype(), header.order()) else { return Ok(None) };
    let dtype = match (plain.type_char(), plain.num_bytes()) {
        _ if plain.endianness() == npyz::Endianness::Big => return Ok(None),
        (TypeChar::Bool, Some(1)) => Dtype::Bool,
        (TypeChar::Float, Some(2)) => Dtype::F16,
        (TypeChar::Float, Some(4)) => Dtype::F32,
        (TypeChar::Float, Some(8)) => Dtype::F64,
        (TypeChar::Int, Some(1)) => Dtype::I8,
        (TypeChar::Int, Some(2)) => Dtype::I16,
        (TypeChar::Int, Some(4)) => Dtype::I32,
        (TypeChar::Int, Some(8)) => Dtype::I64,
        (TypeChar::Uint, Some(1)) => Dtype::U8,
        (TypeChar::Uint, Some(2)) => Dtype::U16,
        (TypeChar::Uint, Some(4)) => Dtype::U32,
        (TypeChar::Uint, Some(8)) => Dtype::U64,
        _ => return Ok(None),
    };
    let count = load::element_count(path, header.shape().iter().copied())?;
    let shape: Vec<usize> = header.shape().iter().map(|d| *d as usize).collect();
    let data_at = prefix.len() - file.into_inner().len();
    let (expected, found) = ((count * dtype.len()) as u64, len - data_at as u64);
    if expected > found {
        let path = path.to_path_buf();
        return Err(RecordingError::Truncated { path, expected, found, unit: "data bytes" });
    }
    Ok((count > 0 && !shape.is_empty()).then_some(PlainHeader { shape, dtype, data_at }))
}

/// A damaged length field must not make the parser allocate: it is compared
/// with the file first.
fn check_header_len(path: &Path, bytes: &[u8]) -> Result<(), RecordingError> {
    let (len, at) = match bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (u64::from(u16::from_le_bytes([*a, *b])), 10),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), 12)
        }
        [_, _, _, _, _, _, version, ..] if *version > 3 => {
            return Err(RecordingError::Format {
                path: path.to_path_buf(),
                reason: format!("NPY: unknown version {version}"),
            });
        }
        _ => (u64::MAX, 0),
    };
    let found = bytes.len() as u64 - at;
    if len > found {
        return Err(RecordingError::Truncated {
            path: path.to_path_buf(),
            expected: len,
            found,
            unit: "header bytes",
        });
    }
    Ok(())
}

/// Column-major samples to row-major ones.
fn to_c_order(shape: &[usize], samples: Vec<f32>) -> Vec<f32> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(samples.len());
    for _ in 0..samples.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
        out.push(samples[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// Writes an i16 array in C order.
///
/// # Errors
/// [`RecordingError::Io`] when the file cannot be written.
pub fn write_i16(path: &Path, shape: &[usize], samples: &[i16]) -> Result<(), RecordingError> {
    write(path, shape, samples)
}

/// Writes an f32 array in C order.
///
/// # Errors
/// [`RecordingError::Io`] when the file cannot be written.
pub fn write_f32(path: &Path, shape: &[usize], samples: &[f32]) -> Result<(), RecordingError> {
    write(path, shape, samples)
}

fn write<T: npyz::AutoSerialize + Copy>(
    path: &Path,
    shape: &[usize],
    samples: &[T],
) -> Result<(), RecordingError> {
    let shape: Vec<u64> = shape.iter().map(|d| *d as u64).collect();
    let io = |source| RecordingError::Io { path: path.to_path_buf(), source };
    let file = std::io::BufWriter::new(std::fs::File::create(path).map_err(io)?);
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(file)
        .begin_nd()
        .map_err(io)?;
    writer.extend(samples.iter().copied()).map_err(io)?;
    writer.finish().map_err(io)
}
