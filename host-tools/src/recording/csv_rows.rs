//! CSV text read row by row: the columns are those that reading it whole keeps.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::csv_table::{self, Table};
use super::csv_text::{COUNTS, columns_to_read, number, report_dropped};
use super::timestamps::{Clock, Steps};
use super::{ReadOptions, RecordingError};

type Records = dyn Iterator<Item = Result<(u64, csv::StringRecord), RecordingError>>;

/// A text from its first row on.
pub(super) struct CsvRows {
    path: PathBuf,
    table: Table,
    kept: Vec<usize>,
    gaps: bool,
    records: Box<Records>,
}

impl CsvRows {
    /// Opens a text; `prefix` is its start. Columns that count time or rows are looked for in the whole of it.
    pub(super) fn open(
        path: &Path,
        prefix: &[u8],
        options: &ReadOptions,
    ) -> Result<Self, RecordingError> {
        // The last line may be cut.
        let end = prefix.iter().rposition(|byte| *byte == b'\n').map_or(prefix.len(), |at| at + 1);
        let table = Table::sniff(path, &csv_table::text(path, &prefix[..end])?)?;
        let (mut kept, is_named) = columns_to_read(path, &table, options)?;
        if !is_named {
            let counts = counters(path, &table, &kept)?;
            if !counts.iter().all(|counts| *counts) {
                let all = kept.clone();
                for (column, _) in all.iter().zip(&counts).filter(|(_, counts)| **counts) {
                    report_dropped(path, &table.names[*column], COUNTS);
                    kept.retain(|kept| kept != column);
                }
            }
        }
        let records = Box::new(table.records(path, file(path)?));
        Ok(Self { path: path.into(), table, kept, gaps: options.gaps, records })
    }

    /// Values of a row.
    pub(super) fn columns(&self) -> usize {
        self.kept.len()
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<String> {
        self.kept.iter().map(|column| self.table.names[*column].clone()).collect()
    }

    /// Rows a second by a column of timestamps.
    pub(super) fn sample_rate(&self) -> Option<f64> {
        Clock::of(&self.table).map(|clock| clock.rate())
    }

    /// Appends the next row; `false` at the end.
    pub(super) fn append(&mut self, samples: &mut Vec<f32>) -> Result<bool, RecordingError> {
        let Some(record) = self.records.next() else { return Ok(false) };
        let (line, record) = record?;
        for &column in &self.kept {
            let cell = record.get(column).unwrap_or_default();
            samples.push(number(&self.path, &self.table, column, line, cell, self.gaps)?);
        }
        Ok(true)
    }
}

/// Which of the columns count; read until none can any more.
fn counters(path: &Path, table: &Table, kept: &[usize]) -> Result<Vec<bool>, RecordingError> {
    let mut steps = vec![Steps::default(); kept.len()];
    for record in table.records(path, file(path)?) {
        let (_, record) = record?;
        for (&column, steps) in kept.iter().zip(&mut steps).filter(|(_, steps)| steps.may_count()) {
            let cell = record.get(column).unwrap_or_default();
            steps.push(table.number_f64(column, cell).unwrap_or(f64::NAN));
        }
        if !steps.iter().any(Steps::may_count) {
            break;
        }
    }
    Ok(steps.iter().map(Steps::counts).collect())
}

/// The file behind its byte order mark, if it has one.
fn file(path: &Path) -> Result<impl Read + use<>, RecordingError> {
    let io = |source| RecordingError::Io { path: path.to_path_buf(), source };
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut first = [0; 3];
    let read = file.read(&mut first).map_err(io)?;
    let mark = *b"\xef\xbb\xbf";
    let kept = if first == mark { 0 } else { read };
    Ok(std::io::Cursor::new(first).take(kept as u64).chain(file))
}
