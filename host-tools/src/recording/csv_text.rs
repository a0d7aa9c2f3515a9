//! CSV text: separator and header are sniffed, non-numeric columns dropped.

use super::{Recording, RecordingError};
use std::path::Path;

/// Lines looked at to tell separator, header and numeric columns.
const SNIFFED_LINES: usize = 50;

pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    wanted: &[String],
) -> Result<Recording, RecordingError> {
    let table = Table::sniff(path, bytes)?;
    let kept = table.choose(path, wanted)?;
    let mut samples = Vec::new();
    let mut rows = 0;
    for (line, record) in table.records(path) {
        let record = record?;
        if record.len() != table.names.len() {
            return Err(RecordingError::Ragged {
                path: path.to_path_buf(),
                line,
                expected: table.names.len(),
                found: record.len(),
            });
        }
        for &column in &kept {
            let cell = record.get(column).unwrap_or_default();
            let Some(value) = number(cell) else {
                return Err(RecordingError::NotANumber {
                    path: path.to_path_buf(),
                    line,
                    column: table.names[column].clone(),
                    cell: cell.to_string(),
                });
            };
            if !value.is_finite() {
                return Err(RecordingError::NotFinite {
                    path: path.to_path_buf(),
                    row: line as usize,
                    column: table.names[column].clone(),
                    value,
                });
            }
            samples.push(value);
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(RecordingError::Empty {
            path: path.to_path_buf(),
        });
    }
    Ok(Recording {
        path: path.to_path_buf(),
        shape: vec![rows, kept.len()],
        samples,
        columns: kept.iter().map(|c| table.names[*c].clone()).collect(),
    })
}

/// A text file whose layout is known.
struct Table<'a> {
    text: &'a str,
    separator: u8,
    /// Names from the header, or "0", "1", … without one.
    names: Vec<String>,
    has_header: bool,
    /// Whether the column's cells look like numbers.
    numeric: Vec<bool>,
}

impl<'a> Table<'a> {
    fn sniff(path: &Path, bytes: &'a [u8]) -> Result<Self, RecordingError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RecordingError::Format {
            path: path.to_path_buf(),
            reason: "neither NPY, IDX nor UTF-8 text".into(),
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let separator = separator(text);
        let mut records = Vec::new();
        for record in reader(text, separator).into_records().take(SNIFFED_LINES) {
            records.push(record.map_err(|e| format_error(path, &e))?);
        }
        let Some(first) = records.first() else {
            return Err(RecordingError::Empty {
                path: path.to_path_buf(),
            });
        };
        let fields = first.len();
        let numeric_after = |column: usize| {
            let mut cells = records.iter().skip(1).filter_map(|r| r.get(column));
            cells.any(|cell| number(cell).is_some())
        };
        // A header names at least one column whose cells are numbers, and
        // holds no number itself.
        let has_header = first.iter().all(|cell| number(cell).is_none())
            && (records.len() == 1 || (0..fields).any(numeric_after));
        let data = &records[usize::from(has_header)..];
        let numeric = (0..fields)
            .map(|column| {
                let mut cells = data.iter().filter_map(|r| r.get(column));
                cells.any(|cell| number(cell).is_some())
            })
            .collect();
        let names = first
            .iter()
            .enumerate()
            .map(|(i, cell)| {
                if has_header && !cell.is_empty() {
                    cell.to_string()
                } else {
                    i.to_string()
                }
            })
            .collect();
        Ok(Self {
            text,
            separator,
            names,
            has_header,
            numeric,
        })
    }

    /// Indices of the columns to keep.
    fn choose(&self, path: &Path, wanted: &[String]) -> Result<Vec<usize>, RecordingError> {
        if wanted.is_empty() {
            let kept: Vec<usize> = (0..self.names.len()).filter(|c| self.numeric[*c]).collect();
            if kept.is_empty() {
                return Err(RecordingError::Empty {
                    path: path.to_path_buf(),
                });
            }
            return Ok(kept);
        }
        wanted
            .iter()
            .map(|want| {
                let by_name = self.names.iter().position(|name| name == want.trim());
                let by_number = || want.trim().parse().ok().filter(|i| *i < self.names.len());
                by_name
                    .or_else(by_number)
                    .ok_or_else(|| RecordingError::UnknownColumn {
                        path: path.to_path_buf(),
                        column: want.clone(),
                        known: self.names.join(", "),
                    })
            })
            .collect()
    }

    /// Data records with the line each starts on.
    fn records(
        &self,
        path: &Path,
    ) -> impl Iterator<Item = (u64, Result<csv::StringRecord, RecordingError>)> {
        reader(self.text, self.separator)
            .into_records()
            .skip(usize::from(self.has_header))
            .map(move |record| match record {
                Ok(record) => (record.position().map_or(0, csv::Position::line), Ok(record)),
                Err(e) => (0, Err(format_error(path, &e))),
            })
    }
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

fn format_error(path: &Path, error: &csv::Error) -> RecordingError {
    RecordingError::Format {
        path: path.to_path_buf(),
        reason: format!("CSV: {error}"),
    }
}

/// A number as sensors write it; `nan` and `inf` parse, and are refused later
/// with their place.
fn number(cell: &str) -> Option<f32> {
    cell.parse().ok()
}

/// The separator that splits the first lines into the most fields, equally
/// many a line where possible.
fn separator(text: &str) -> u8 {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(SNIFFED_LINES)
        .collect();
    let quality = |separator: u8| {
        let counts: Vec<usize> = lines
            .iter()
            .map(|line| line.bytes().filter(|b| *b == separator).count())
            .collect();
        let first = counts.first().copied().unwrap_or(0);
        (first > 0 && counts.iter().all(|c| *c == first), first)
    };
    let mut best = b',';
    for candidate in *b";\t" {
        if quality(candidate) > quality(best) {
            best = candidate;
        }
    }
    best
}
