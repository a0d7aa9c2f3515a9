//! IDX arrays (MNIST's format): big-endian, a type byte, a rank byte, one u32
//! an axis, then the data.

use super::{Recording, RecordingError, load};
use std::path::Path;

pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Recording, RecordingError> {
    let format = |reason: String| RecordingError::Format { path: path.to_path_buf(), reason };
    let (&[0, 0, kind, rank], rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| format("IDX: shorter than its magic number".into()))?
    else {
        return Err(format("neither NPY, IDX nor text".into()));
    };
    let item = match kind {
        0x08 | 0x09 => 1,
        0x0b => 2,
        0x0c | 0x0d => 4,
        0x0e => 8,
        _ => return Err(format(format!("IDX: unknown type 0x{kind:02x}"))),
    };
    if rank == 0 {
        return Err(format("IDX: no axes".into()));
    }
    let (axes, data) = rest
        .split_at_checked(4 * usize::from(rank))
        .ok_or_else(|| format("IDX: the file ends inside its header".into()))?;
    let shape: Vec<usize> =
        axes.as_chunks::<4>().0.iter().map(|axis| u32::from_be_bytes(*axis) as usize).collect();
    let count = load::element_count(path, shape.iter().map(|d| *d as u64))?;
    let expected = count as u64 * item;
    if expected != data.len() as u64 {
        return Err(RecordingError::Truncated {
            path: path.to_path_buf(),
            expected,
            found: data.len() as u64,
            unit: "data bytes",
        });
    }
    if count == 0 {
        return Err(RecordingError::Empty { path: path.to_path_buf() });
    }
    let samples = match kind {
        0x08 => data.iter().map(|b| f32::from(*b)).collect(),
        0x09 => data.iter().map(|b| f32::from(*b as i8)).collect(),
        0x0b => numbers(data, |b| f32::from(i16::from_be_bytes(b))),
        0x0c => numbers(data, |b| i32::from_be_bytes(b) as f32),
        0x0d => numbers(data, f32::from_be_bytes),
        _ => numbers(data, |b| f64::from_be_bytes(b) as f32),
    };
    Ok(Recording { shape, samples, ..Recording::empty(path) })
}

fn numbers<const N: usize>(data: &[u8], to: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|b| to(*b)).collect()
}
