//! Files read row by row of their first axis.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::csv_rows::CsvRows;
use super::load::Format;
use super::npy::{self, Dtype};
use super::{ReadOptions, RecordingError};

/// Bytes read to tell what a file is; a header of NPY, the first lines of a text.
const PREFIX: usize = 1 << 20;

/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// Rows a text may have: how many is not known before its end.
pub(super) const ENDLESS: usize = 1 << 40;

/// A file whose rows are read one after the other.
pub(super) struct RowReader {
    path: PathBuf,
    options: ReadOptions,
    shape: Vec<usize>,
    source: Samples,
}

enum Samples {
    /// Numbers one after the other.
    Plain(BufReader<File>, Dtype),
    Text(Box<CsvRows>),
    Wav(Box<hound::WavReader<BufReader<File>>>),
}

impl RowReader {
    /// `None` of a format that is read whole: packed ones, IDX, and NPY in Fortran order.
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Option<Self>, RecordingError> {
        let io = |source| RecordingError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut prefix = Vec::new();
        file.take(PREFIX as u64).read_to_end(&mut prefix).map_err(io)?;
        let open = || File::open(path).map(BufReader::new).map_err(io);
        let (shape, source) = if let Some(kind) = options.headerless {
            let dtype = if kind.float { Dtype::F32 } else { Dtype::I16 };
            let frame = (dtype.len() * kind.channels) as u64;
            if !len.is_multiple_of(frame) {
                // Said better by who reads it whole.
                return Ok(None);
            }
            (vec![(len / frame) as usize, kind.channels], Samples::Plain(open()?, dtype))
        } else {
            match Format::of(&prefix) {
                _ if prefix.starts_with(&[0x1f, 0x8b]) => return Ok(None),
                // UTF-16.
                _ if prefix.starts_with(&[0xff, 0xfe]) || prefix.starts_with(&[0xfe, 0xff]) => {
                    return Ok(None);
                }
                Format::Npy => {
                    let Some(header) = npy::plain_header(path, &prefix, len)? else {
                        return Ok(None);
                    };
                    let mut file = open()?;
                    file.seek_relative(header.data_at as i64).map_err(io)?;
                    (header.shape, Samples::Plain(file, header.dtype))
                }
                Format::Wav => {
                    let format = |error| RecordingError::Format {
                        path: path.to_path_buf(),
                        reason: format!("WAV: {error}"),
                    };
                    let reader = hound::WavReader::new(open()?).map_err(format)?;
                    let channels = usize::from(reader.spec().channels);
                    (vec![reader.duration() as usize, channels], Samples::Wav(Box::new(reader)))
                }
                Format::Text => {
                    let rows = CsvRows::open(path, &prefix, options)?;
                    (vec![ENDLESS, rows.columns()], Samples::Text(Box::new(rows)))
                }
                _ => return Ok(None),
            }
        };
        let has_columns = matches!(source, Samples::Text(_));
        if !options.columns.is_empty() && !has_columns && options.headerless.is_none() {
            return Err(RecordingError::NoColumns { path: path.to_path_buf() });
        }
        Ok(Some(Self { path: path.into(), options: options.clone(), shape, source }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn options(&self) -> &ReadOptions {
        &self.options
    }

    /// Axes; the first is [`ENDLESS`] where nobody knows.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the end is not known before it comes.
    pub(super) fn is_endless(&self) -> bool {
        self.shape[0] == ENDLESS
    }

    /// Names of the columns of a text.
    pub(super) fn columns(&self) -> Vec<String> {
        match &self.source {
            Samples::Text(text) => text.names(),
            _ => Vec::new(),
        }
    }

    /// Frames a second, where the file says.
    pub(super) fn sample_rate(&self) -> Option<f64> {
        match &self.source {
            Samples::Text(text) => text.sample_rate(),
            Samples::Wav(reader) => Some(f64::from(reader.spec().sample_rate)),
            Samples::Plain(..) => None,
        }
    }

    /// The file ended after so many rows.
    pub(super) fn truncated(&self, found: usize) -> RecordingError {
        RecordingError::Truncated {
            path: self.path.clone(),
            expected: self.shape[0] as u64,
            found: found as u64,
            unit: "rows",
        }
    }

    /// Leaves out rows.
    pub(super) fn skip(&mut self, rows: usize) -> Result<(), RecordingError> {
        let row_len = self.row_len();
        let piece = (PIECE / row_len).max(1);
        let (mut left, mut unused) = (rows, Vec::new());
        while left > 0 {
            unused.clear();
            let read = self.read(left.min(piece), &mut unused)?;
            if read == 0 {
                return Err(self.truncated(rows - left));
            }
            left -= read;
        }
        Ok(())
    }

    fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product::<usize>().max(1)
    }

    /// Appends up to so many rows; fewer at the end.
    pub(super) fn read(
        &mut self,
        rows: usize,
        samples: &mut Vec<f32>,
    ) -> Result<usize, RecordingError> {
        let row_len = self.row_len();
        let io = |source| RecordingError::Io { path: self.path.clone(), source };
        let before = samples.len();
        match &mut self.source {
            Samples::Plain(file, dtype) => {
                let mut left = rows * row_len * dtype.len();
                let piece = PIECE / dtype.len() * dtype.len();
                let mut bytes = Vec::with_capacity(piece.min(left));
                while left > 0 {
                    bytes.clear();
                    let wanted = left.min(piece);
                    file.by_ref().take(wanted as u64).read_to_end(&mut bytes).map_err(io)?;
                    dtype.append(&bytes, samples);
                    left -= wanted;
                    if bytes.len() < wanted {
                        break;
                    }
                }
            }
            Samples::Wav(reader) => {
                let format = |error: hound::Error| RecordingError::Format {
                    path: self.path.clone(),
                    reason: format!("WAV: {error}"),
                };
                super::waveform::append(reader, rows * row_len, samples).map_err(format)?;
            }
            Samples::Text(text) => {
                for _ in 0..rows {
                    if !text.append(samples)? {
                        break;
                    }
                }
            }
        }
        Ok((samples.len() - before) / row_len)
    }
}
