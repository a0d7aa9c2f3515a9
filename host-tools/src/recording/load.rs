//! Bytes of a file: read whole, unpacked if gzipped, and told apart.

use super::RecordingError;
use std::io::Read;
use std::path::Path;

/// Unpacked gzip beyond this is refused: no recording for a microcontroller is
/// that long, and a small file can unpack to any length.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// A file format, told from the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Npz,
    Idx,
    Parquet,
    Wav,
    Text,
}

impl Format {
    pub(super) fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            [b'P', b'K', 3, 4, ..] => Self::Npz,
            [0, 0, ..] => Self::Idx,
            _ if super::parquet::is_parquet(bytes) => Self::Parquet,
            _ if super::waveform::is_wav(bytes) => Self::Wav,
            _ => Self::Text,
        }
    }
}

/// The whole file, unpacked if it starts like gzip.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, RecordingError> {
    let io = |source| RecordingError::Io { path: path.to_path_buf(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(&bytes[..])
        .take(MAX_UNPACKED_BYTES + 1)
        .read_to_end(&mut unpacked)
        .map_err(|source| RecordingError::Format {
            path: path.to_path_buf(),
            reason: format!("gzip: {source}"),
        })?;
    if unpacked.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(RecordingError::Format {
            path: path.to_path_buf(),
            reason: "gzip: unpacks to more than 4 GiB".into(),
        });
    }
    Ok(unpacked)
}

/// Product of the axes, refused where it is too large to be true.
pub(super) fn element_count(
    path: &Path,
    shape: impl Iterator<Item = u64>,
) -> Result<usize, RecordingError> {
    let mut count: u64 = 1;
    for len in shape {
        count = count.checked_mul(len).filter(|count| *count <= isize::MAX as u64 / 8).ok_or_else(
            || RecordingError::Format {
                path: path.to_path_buf(),
                reason: "the header's shape is absurdly large".into(),
            },
        )?;
    }
    usize::try_from(count).map_err(|_| RecordingError::Format {
        path: path.to_path_buf(),
        reason: "the header's shape is absurdly large".into(),
    })
}
