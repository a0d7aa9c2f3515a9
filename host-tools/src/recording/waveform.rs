//! Samples without axes of their own: WAV, and files without a header.

use super::{Headerless, Recording, RecordingError};
use std::path::Path;

/// Whether bytes start like a WAV file.
pub(super) fn is_wav(bytes: &[u8]) -> bool {
    matches!(bytes, [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..])
}

/// WAV: integers in the converter's counts (24 and 32 bits scaled to 16), floats as they are.
pub(super) fn read_wav(path: &Path, bytes: &[u8]) -> Result<Recording, RecordingError> {
    let format = |error: hound::Error| RecordingError::Format {
        path: path.to_path_buf(),
        reason: format!("WAV: {error}"),
    };
    let mut reader = hound::WavReader::new(bytes).map_err(format)?;
    let spec = reader.spec();
    let mut samples = Vec::new();
    append(&mut reader, usize::MAX, &mut samples).map_err(format)?;
    let rate = f64::from(spec.sample_rate);
    frames(path, samples, spec.channels.into(), Some(rate).filter(|rate| *rate > 0.0))
}

/// Appends up to so many samples of a WAV file.
pub(super) fn append<R: std::io::Read>(
    reader: &mut hound::WavReader<R>,
    count: usize,
    samples: &mut Vec<f32>,
) -> Result<(), hound::Error> {
    let spec = reader.spec();
    match spec.sample_format {
        hound::SampleFormat::Float => {
            for sample in reader.samples::<f32>().take(count) {
                samples.push(sample?);
            }
        }
        hound::SampleFormat::Int => {
            let scale = 2f32.powi((i32::from(spec.bits_per_sample) - 16).max(0));
            for sample in reader.samples::<i32>().take(count) {
                samples.push(sample? as f32 / scale);
            }
        }
    }
    Ok(())
}

/// Little-endian samples and nothing else.
pub(super) fn read_headerless(
    path: &Path,
    bytes: &[u8],
    kind: Headerless,
) -> Result<Recording, RecordingError> {
    let (samples, rest): (Vec<f32>, usize) = if kind.float {
        let (values, rest) = bytes.as_chunks::<4>();
        (values.iter().map(|b| f32::from_le_bytes(*b)).collect(), rest.len())
    } else {
        let (values, rest) = bytes.as_chunks::<2>();
        (values.iter().map(|b| i16::from_le_bytes(*b).into()).collect(), rest.len())
    };
    if rest > 0 {
        return Err(RecordingError::Format {
            path: path.to_path_buf(),
            reason: format!("{} bytes are no whole number of samples", bytes.len()),
        });
    }
    frames(path, samples, kind.channels, None)
}

fn frames(
    path: &Path,
    samples: Vec<f32>,
    channels: usize,
    sample_rate: Option<f64>,
) -> Result<Recording, RecordingError> {
    let path = path.to_path_buf();
    if samples.is_empty() {
        return Err(RecordingError::Empty { path });
    }
    let count = samples.len();
    if channels == 0 || !count.is_multiple_of(channels) {
        let reason = format!("{count} samples are no whole number of frames of {channels}");
        return Err(RecordingError::Format { path, reason });
    }
    let shape = vec![count / channels, channels];
    Ok(Recording { shape, samples, sample_rate, ..Recording::empty(&path) })
}
