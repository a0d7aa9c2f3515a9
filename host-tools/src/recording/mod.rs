//! Recordings: sensor data, images and labels read from CSV, NPY and IDX
//! files, and the windows a model scores in them.
//!
//! [`Recording::read`] reads a file, [`Recording::clips`] says how its shape
//! becomes windows, [`WindowSet`] gathers windows of several recordings.
//! Nothing here trusts a header: lengths are checked against the file before
//! anything is allocated for them.

mod blocks;
mod clips;
mod csv_layout;
mod csv_rows;
mod csv_table;
mod csv_text;
mod error;
mod idx;
mod label_words;
mod labels;
mod load;
mod npy;
mod npz;
mod options;
mod parquet;
mod row_reader;
mod rows;
mod stretches;
mod timestamps;
mod waveform;
mod window_set;

pub use blocks::{Block, Blocks, LongBlocks, Source};
pub use clips::{Clips, Window};
pub use error::RecordingError;
pub use labels::{Labels, WindowLabels};
pub use npy::{write_f32 as write_npy_f32, write_i16 as write_npy_i16};
pub use options::{Headerless, ReadOptions};
pub use rows::Rows;
pub use window_set::WindowSet;

use std::path::{Path, PathBuf};

/// Missing rows that whoever reads them ([`ReadOptions::gaps`]) bridges by a straight line; more of them are a gap.
pub(crate) const BRIDGED: usize = 5;

/// One recording: an array of finite samples in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The file it was read from.
    pub path: PathBuf,
    /// Axes, slowest first, e.g. `[clips, frames, channels]`.
    pub shape: Vec<usize>,
    /// All samples, row-major, in the file's units.
    pub samples: Vec<f32>,
    /// Names of the columns of a CSV file; empty for arrays.
    pub columns: Vec<String>,
    /// Frames a second, where the file says: a WAV header, a column of timestamps.
    pub sample_rate: Option<f64>,
    /// Rows before which the timestamps jump, where missing samples are read ([`ReadOptions::gaps`]) and the file has
    /// timestamps: the rows on either side do not follow one another.
    pub jumps: Vec<usize>,
}

impl Recording {
    /// Reads a CSV (`,`, `;` or tab), NPY or IDX file, gzipped or not; the
    /// format is told from the content, not from the name.
    ///
    /// `columns` names the columns of a CSV file to keep, in that order; empty
    /// keeps every numeric column but those that count time or rows: named so
    /// (`time`, `index`, …), or with a constant step. Decimal commas are read
    /// where `;` or tab separates.
    ///
    /// # Errors
    /// [`RecordingError`], always naming the file: unreadable, truncated,
    /// unknown format or dtype, a cell that is not a finite number.
    pub fn read(path: impl AsRef<Path>, columns: &[String]) -> Result<Self, RecordingError> {
        Self::read_with(path, &ReadOptions { columns: columns.to_vec(), ..ReadOptions::default() })
    }

    /// [`Self::read`] with all there is to say: also NPZ (`columns` names the array), WAV, and
    /// samples without a header; missing samples may be kept as NaN.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with(
        path: impl AsRef<Path>,
        options: &ReadOptions,
    ) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let bytes = load::bytes(path)?;
        if let Some(kind) = options.headerless {
            return waveform::read_headerless(path, &bytes, kind)?.checked(options);
        }
        let recording = match load::Format::of(&bytes) {
            load::Format::Parquet => {
                return parquet::read(path, bytes, options)?.checked(options);
            }
            load::Format::Npz => {
                return npz::read(path, &bytes, &options.columns)?.checked(options);
            }
            load::Format::Npy => npy::read(path, &bytes)?,
            load::Format::Idx => idx::read(path, &bytes)?,
            load::Format::Wav => waveform::read_wav(path, &bytes)?,
            load::Format::Text => return csv_text::read(path, &bytes, options),
        };
        if !options.columns.is_empty() {
            return Err(RecordingError::NoColumns { path: path.to_path_buf() });
        }
        recording.checked(options)
    }

    /// Nothing of a file.
    fn empty(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            shape: Vec::new(),
            samples: Vec::new(),
            columns: Vec::new(),
            sample_rate: None,
            jumps: Vec::new(),
        }
    }

    /// Finite, or with NaN where samples are missing.
    fn checked(self, options: &ReadOptions) -> Result<Self, RecordingError> {
        self.checked_from(0, options)
    }

    /// [`checked`](Self::checked) of rows from `first` on.
    fn checked_from(mut self, first: usize, options: &ReadOptions) -> Result<Self, RecordingError> {
        if options.gaps {
            self.samples.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = f32::NAN);
        } else {
            self.check_finite(first)?;
        }
        Ok(self)
    }

    /// A recording made in memory.
    ///
    /// # Errors
    /// [`RecordingError::Truncated`] unless `samples` fills `shape` exactly;
    /// [`RecordingError::NotFinite`] for NaN and infinity.
    pub fn from_samples(
        name: impl Into<PathBuf>,
        shape: Vec<usize>,
        samples: Vec<f32>,
    ) -> Result<Self, RecordingError> {
        let path = name.into();
        let expected = load::element_count(&path, shape.iter().map(|d| *d as u64))?;
        if samples.len() != expected {
            return Err(RecordingError::Truncated {
                path,
                expected: expected as u64,
                found: samples.len() as u64,
                unit: "samples",
            });
        }
        let recording = Self { shape, samples, ..Self::empty(&path) };
        recording.check_finite(0)?;
        Ok(recording)
    }

    /// Samples of one step along the first axis.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Steps along the first axis.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Whether every sample is an integer that fits i16, so that the device
    /// can take it as it is (`input_lsb` 1).
    pub fn is_i16(&self) -> bool {
        self.samples.iter().all(|x| x.fract() == 0.0 && (-32768.0..=32767.0).contains(x))
    }

    /// Keeps the given range of the first axis.
    ///
    /// # Errors
    /// [`RecordingError::RowsOutOfRange`] when the range leaves the file or
    /// holds nothing.
    pub fn select_rows(mut self, rows: Rows) -> Result<Self, RecordingError> {
        let range = rows.resolve(&self.path, self.rows())?;
        let row_len = self.row_len();
        self.samples.truncate(range.end * row_len);
        self.samples.drain(..range.start * row_len);
        self.shape[0] = range.len();
        self.jumps.retain(|row| range.start < *row && *row < range.end);
        self.jumps.iter_mut().for_each(|row| *row -= range.start);
        Ok(self)
    }

    fn check_finite(&self, first: usize) -> Result<(), RecordingError> {
        let Some(at) = self.samples.iter().position(|x| !x.is_finite()) else {
            return Ok(());
        };
        // From a flat index to one index an axis, the last one fastest.
        let mut rest = at;
        let mut index = vec![0; self.shape.len()];
        for (axis, len) in self.shape.iter().enumerate().rev() {
            index[axis] = rest % len.max(&1);
            rest /= len.max(&1);
        }
        let row = first + index.first().copied().unwrap_or(0);
        let column: Vec<String> = index.iter().skip(1).map(usize::to_string).collect();
        Err(RecordingError::NotFinite {
            path: self.path.clone(),
            row,
            column: if column.is_empty() { "0".into() } else { column.join(", ") },
            value: self.samples[at],
        })
    }
}

#[cfg(test)]
mod tests;
