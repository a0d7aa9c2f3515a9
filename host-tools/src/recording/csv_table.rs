//! The layout of a CSV text: separator, header, decimal commas and numeric
//! columns, told from its first lines.

use super::RecordingError;
use std::io::Read;
use std::path::Path;

/// Lines looked at to tell separator, header and numeric columns.
const SNIFFED_LINES: usize = 50;

/// A text file whose layout is known.
pub(super) struct Table {
    separator: u8,
    /// Names from the header, or "0", "1", … without one.
    pub(super) names: Vec<String>,
    /// Whether the first line names the columns.
    pub(super) has_header: bool,
    /// Whether the column's cells look like numbers.
    pub(super) numeric: Vec<bool>,
    /// Whether the column is written with decimal commas.
    decimal_comma: Vec<bool>,
    /// The first lines, header included.
    pub(super) sniffed: Vec<csv::StringRecord>,
}

/// The text of a file.
pub(super) fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, RecordingError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RecordingError::Format {
        path: path.to_path_buf(),
        reason: "neither NPY, IDX nor UTF-8 text".into(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

impl Table {
    pub(super) fn sniff(path: &Path, text: &str) -> Result<Self, RecordingError> {
        let separator = separator(text);
        let mut sniffed = Vec::new();
        for record in reader(text.as_bytes(), separator).into_records().take(SNIFFED_LINES) {
            sniffed.push(record.map_err(|e| format_error(path, &e))?);
        }
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
        let numeric =
            (0..fields).map(|column| numeric_from(column, usize::from(has_header))).collect();
        let mut table =
            Self { separator, names: Vec::new(), has_header, numeric, decimal_comma, sniffed };
        table.set_header(has_header);
        Ok(table)
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
        reader(text, self.separator).into_records().skip(usize::from(self.has_header)).map(
            move |record| {
                let record = record.map_err(|e| format_error(&path, &e))?;
                let line = record.position().map_or(0, csv::Position::line);
                let found = record.len();
                if found != expected {
                    return Err(RecordingError::Ragged {
                        path: path.clone(),
                        line,
                        expected,
                        found,
                    });
                }
                Ok((line, record))
            },
        )
    }
}

fn reader<R: Read>(text: R, separator: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text)
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

/// The separator that splits the first lines into equally many fields. A `;`
/// or tab that does so wins over `,`, which is a decimal comma then; otherwise
/// the one that most lines agree on, and that splits into the most fields.
fn separator(text: &str) -> u8 {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(SNIFFED_LINES)
        .collect();
    let quality = |separator: u8| {
        let counts: Vec<usize> = lines.iter().map(|line| occurrences(line, separator)).collect();
        let first = counts.first().copied().unwrap_or(0);
        let agreeing = counts.iter().filter(|count| **count == first && first > 0).count();
        let consistent = agreeing > 0 && agreeing == lines.len();
        let no_comma = separator != b',' && first > 0;
        (consistent, consistent && no_comma, agreeing, no_comma, first)
    };
    let mut best = b',';
    for candidate in *b";\t" {
        if quality(candidate) > quality(best) {
            best = candidate;
        }
    }
    best
}

/// How often a separator occurs in a line outside quotes.
fn occurrences(line: &str, separator: u8) -> usize {
    let mut quoted = false;
    let mut count = 0;
    for byte in line.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            count += 1;
        }
    }
    count
}
