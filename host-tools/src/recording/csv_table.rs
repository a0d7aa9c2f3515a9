//! The layout of a CSV text: separator, header, decimal commas and numeric
//! columns, told from its first lines.

use super::RecordingError;
use super::csv_layout::{self, Layout, SingleBlanks};
use super::csv_text::is_missing;
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// A text file whose layout is known.
pub(super) struct Table {
    layout: Layout,
    /// Lines of units between the names and the numbers.
    units: usize,
    /// Names from the header, or "0", "1", … without one.
    pub(super) names: Vec<String>,
    /// Whether the first line names the columns.
    pub(super) has_header: bool,
    /// Whether the column's cells look like numbers.
    pub(super) numeric: Vec<bool>,
    /// Whether the column is written with decimal commas.
    decimal_comma: Vec<bool>,
    /// The first lines, header included, units and what stands above the table not.
    pub(super) sniffed: Vec<csv::StringRecord>,
}

/// The text of a file: UTF-8, UTF-16 behind its mark, else Latin-1.
pub(super) fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, str>, RecordingError> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.strip_prefix('\u{feff}').unwrap_or(text).into());
    }
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text = char::decode_utf16(units).collect::<Result<String, _>>().ok();
        text.filter(|_| bytes.len().is_multiple_of(2))
    };
    let decoded = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        // What no text holds.
        _ if bytes.iter().any(|byte| *byte < 9) => None,
        _ => Some(bytes.iter().copied().map(char::from).collect()),
    };
    decoded.map(Cow::from).ok_or_else(|| RecordingError::Format {
        path: path.to_path_buf(),
        reason: "neither NPY, IDX nor text".into(),
    })
}

impl Table {
    pub(super) fn sniff(path: &Path, text: &str) -> Result<Self, RecordingError> {
        let layout = Layout::of(text);
        let separator = layout.separator;
        let mut sniffed = Vec::new();
        let lines = csv_layout::SNIFFED_LINES + layout.above;
        for record in reader(text.as_bytes(), separator).into_records().take(lines) {
            sniffed.push(record.map_err(|e| format_error(path, &e))?);
        }
        sniffed.drain(..layout.above.min(sniffed.len()));
        let Some(first) = sniffed.first() else {
            return Err(RecordingError::Empty { path: path.to_path_buf() });
        };
        let fields = first.len();
        // A comma within a cell is a decimal one unless the column also holds
        // decimal points: then it groups thousands, or the file is mixed up.
        let decimal_comma: Vec<bool> = (0..fields)
            .map(|column| {
                let cells = || sniffed.iter().filter_map(|r| r.get(column));
                separator != b','
                    && !cells().any(|cell| cell.contains('.') && number(cell, false).is_some())
            })
            .collect();
        let is_number = |column: usize, cell: &str| number(cell, decimal_comma[column]).is_some();
        let numeric_from = |column: usize, from: usize| {
            let mut cells = sniffed.iter().skip(from).filter_map(|r| r.get(column));
            cells.any(|cell| is_number(column, cell))
        };
        // A header names at least one column whose cells are numbers, and
        // holds no number itself.
        let has_header = first.iter().enumerate().all(|(column, cell)| !is_number(column, cell))
            && (sniffed.len() == 1 || (0..fields).any(|column| numeric_from(column, 1)));
        let numeric: Vec<bool> =
            (0..fields).map(|column| numeric_from(column, usize::from(has_header))).collect();
        let units = match &sniffed[..] {
            [_, second, third, ..] if has_header && second.len() == fields => {
                let measured = |record: &csv::StringRecord| -> Vec<bool> {
                    let cells = numeric.iter().zip(record).enumerate();
                    let cells = cells.filter(|(_, (numeric, cell))| **numeric && !is_missing(cell));
                    cells.map(|(column, (_, cell))| is_number(column, cell)).collect()
                };
                let (second, third) = (measured(second), measured(third));
                !second.is_empty() && !second.contains(&true) && !third.contains(&false)
            }
            _ => false,
        };
        if units {
            sniffed.remove(1);
        }
        let (names, units) = (Vec::new(), usize::from(units));
        let mut table = Self { layout, units, names, has_header, numeric, decimal_comma, sniffed };
        table.set_header(has_header);
        Ok(table)
    }

    /// Lines above the table that belong to nothing in it.
    pub(super) fn above(&self) -> usize {
        self.layout.above
    }

    /// Takes the first line for a header, or not.
    pub(super) fn set_header(&mut self, has_header: bool) {
        self.has_header = has_header;
        let first = self.sniffed.first();
        self.names = first
            .into_iter()
            .flatten()
            .enumerate()
            .map(
                |(i, cell)| {
                    if has_header && !cell.is_empty() { cell.to_string() } else { i.to_string() }
                },
            )
            .collect();
    }

    /// Index of a column given by name or number.
    pub(super) fn column(&self, path: &Path, want: &str) -> Result<usize, RecordingError> {
        let by_name = self.names.iter().position(|name| name == want.trim());
        let by_number = || want.trim().parse().ok().filter(|i| *i < self.names.len());
        by_name.or_else(by_number).ok_or_else(|| RecordingError::UnknownColumn {
            path: path.to_path_buf(),
            column: want.to_string(),
            known: self.names.join(", "),
        })
    }

    /// Indices of the numeric columns.
    pub(super) fn numeric_columns(&self) -> Vec<usize> {
        (0..self.names.len()).filter(|column| self.numeric[*column]).collect()
    }

    /// The number a cell of a column holds; `nan` and `inf` are numbers here,
    /// and are refused later with their place.
    pub(super) fn number(&self, column: usize, cell: &str) -> Option<f32> {
        number(cell, self.decimal_comma[column])
    }

    /// As [`Self::number`], with digits enough for timestamps.
    pub(super) fn number_f64(&self, column: usize, cell: &str) -> Option<f64> {
        with_point(cell, self.decimal_comma[column], |cell| cell.parse().ok())
    }

    /// Data records of `text` with the line each starts on; a record with too few or too
    /// many fields is an error.
    pub(super) fn records<R: Read>(
        &self,
        path: &Path,
        text: R,
    ) -> impl Iterator<Item = Result<(u64, csv::StringRecord), RecordingError>> + use<R> {
        let (expected, path) = (self.names.len(), path.to_path_buf());
        let above = self.layout.above + usize::from(self.has_header) + self.units;
        reader(text, self.layout.separator).into_byte_records().skip(above).map(move |record| {
            // Names are known; what a text holds beside numbers does not matter here.
            let record = record.map_err(|e| format_error(&path, &e))?;
            let record = csv::StringRecord::from_byte_record_lossy(record);
            let line = record.position().map_or(0, csv::Position::line);
            let found = record.len();
            if found != expected {
                return Err(RecordingError::Ragged { path: path.clone(), line, expected, found });
            }
            Ok((line, record))
        })
    }
}

fn reader<R: Read>(text: R, separator: u8) -> csv::Reader<SingleBlanks<R>> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(SingleBlanks::new(text, separator == b' '))
}

fn format_error(path: &Path, error: &csv::Error) -> RecordingError {
    RecordingError::Format { path: path.to_path_buf(), reason: format!("CSV: {error}") }
}

/// A number as sensors write it.
fn number(cell: &str, decimal_comma: bool) -> Option<f32> {
    with_point(cell, decimal_comma, |cell| cell.parse().ok())
}

/// Reads a cell with its decimal comma, if it has one, replaced.
fn with_point<T>(cell: &str, decimal_comma: bool, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    match cell.split_once(',') {
        Some((whole, decimals)) if decimal_comma && !decimals.contains(',') => {
            read(&format!("{whole}.{decimals}"))
        }
        _ => read(cell),
    }
}
