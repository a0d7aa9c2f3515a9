//! Labels of clips, windows or frames.

use super::{Clips, RecordingError, Rows, csv_text, idx, load, npy, npz, waveform};
use std::path::{Path, PathBuf};

/// Integer labels as read from a file; 0 is normal by convention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The file they were read from.
    pub path: PathBuf,
    /// One label each, in the file's order.
    pub values: Vec<i64>,
}

/// Labels brought to the windows (and, where possible, the clips) of a
/// recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLabels {
    /// One a window.
    pub windows: Vec<i64>,
    /// One a clip, where the file labelled clips.
    pub clips: Option<Vec<i64>>,
}

impl Labels {
    /// Reads labels from CSV (the column called `column`, or `label`, or the
    /// only numeric one), NPY or IDX. Words such as `normal`, `anomaly`,
    /// `true` or `no` in a CSV file are 0 and 1.
    ///
    /// # Errors
    /// As [`Recording::read`](super::Recording::read), and [`RecordingError::LabelShape`],
    /// [`RecordingError::LabelValue`] or [`RecordingError::LabelText`].
    pub fn read(path: impl AsRef<Path>, column: Option<&str>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let bytes = load::bytes(path)?;
        let recording = match load::Format::of(&bytes) {
            load::Format::Npy => npy::read(path, &bytes)?,
            load::Format::Npz => {
                npz::read(path, &bytes, &column.map_or_else(Vec::new, |c| vec![c.into()]))?
            }
            load::Format::Idx => idx::read(path, &bytes)?,
            load::Format::Parquet => {
                let columns = vec![column.unwrap_or("label").to_string()];
                let options = super::ReadOptions { columns, ..Default::default() };
                super::parquet::read(path, bytes, &options)?
            }
            load::Format::Wav => waveform::read_wav(path, &bytes)?,
            load::Format::Text => csv_text::read_labels(path, &bytes, column)?,
        };
        if recording.shape.iter().filter(|len| **len != 1).count() > 1 {
            return Err(RecordingError::LabelShape {
                path: path.to_path_buf(),
                found: recording.shape,
            });
        }
        let values = recording
            .samples
            .iter()
            .enumerate()
            .map(|(row, value)| {
                // i32 labels above 2^24 would be rounded on the way through
                // f32; class labels are never that large.
                if value.fract() == 0.0 && value.abs() < 16_777_216.0 {
                    Ok(*value as i64)
                } else {
                    Err(RecordingError::LabelValue { path: path.to_path_buf(), row, value: *value })
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_path_buf(), values })
    }

    /// Keeps the same rows as [`Recording::select_rows`](super::Recording::select_rows), where the labels
    /// cover the whole file (`file_rows`, before the selection); shorter label
    /// files are taken to cover the selection already.
    ///
    /// # Errors
    /// [`RecordingError::RowsOutOfRange`].
    pub fn select_rows(mut self, rows: Rows, file_rows: usize) -> Result<Self, RecordingError> {
        if self.values.len() == file_rows {
            let range = rows.resolve(&self.path, file_rows)?;
            self.values = self.values[range].to_vec();
        }
        Ok(self)
    }

    /// Brings the labels to the windows: one a clip (every window takes its
    /// clip's), one a window, or one a frame (a window takes the largest of
    /// its frames', so that one anomalous frame makes it anomalous).
    ///
    /// # Errors
    /// [`RecordingError::LabelCount`] when the number fits none of these.
    pub fn align(&self, clips: &Clips<'_>) -> Result<WindowLabels, RecordingError> {
        let frames = clips.clip_count() * clips.clip_frames();
        let found = self.values.len();
        if found == clips.clip_count() {
            let windows = clips.windows().map(|w| self.values[w.clip]).collect();
            return Ok(WindowLabels { windows, clips: Some(self.values.clone()) });
        }
        if found == clips.window_count() {
            return Ok(WindowLabels { windows: self.values.clone(), clips: None });
        }
        if found == frames {
            let frame_of = |clip: usize, start: usize| clip * clips.clip_frames() + start;
            let windows = clips
                .windows()
                .map(|w| {
                    let at = frame_of(w.clip, w.start);
                    let labels = &self.values[at..at + clips.window_len()];
                    labels.iter().copied().max().unwrap_or(0)
                })
                .collect();
            return Ok(WindowLabels { windows, clips: None });
        }
        Err(RecordingError::LabelCount {
            path: self.path.clone(),
            found,
            clips: clips.clip_count(),
            windows: clips.window_count(),
            frames,
        })
    }
}
