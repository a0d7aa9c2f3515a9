//! A range along the first axis: `0..500`, `500..`, `..100`.

use super::RecordingError;
use std::ops::Range;
use std::path::Path;

/// A half-open range of rows; either end may be left open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// First row kept, from 0.
    pub start: usize,
    /// First row not kept; `None` keeps all to the end.
    pub end: Option<usize>,
}

impl Rows {
    /// The range within a file of `len` rows.
    ///
    /// # Errors
    /// [`RecordingError::RowsOutOfRange`] when it is empty or leaves the file.
    pub fn resolve(self, path: &Path, len: usize) -> Result<Range<usize>, RecordingError> {
        let end = self.end.unwrap_or(len);
        if self.start >= end || end > len {
            return Err(RecordingError::RowsOutOfRange {
                path: path.to_path_buf(),
                rows: self.to_string(),
                found: len,
            });
        }
        Ok(self.start..end)
    }
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..", self.start)?;
        self.end.map_or(Ok(()), |end| write!(f, "{end}"))
    }
}

impl std::str::FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a range of rows such as 0..500, 500.. or ..100");
        let (start, end) = text.trim().split_once("..").ok_or_else(wrong)?;
        let end = (!end.is_empty()).then(|| end.parse()).transpose();
        Ok(Self {
            start: match start {
                "" => 0,
                _ => start.parse().map_err(|_| wrong())?,
            },
            end: end.map_err(|_| wrong())?,
        })
    }
}
