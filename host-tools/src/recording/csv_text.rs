//! CSV text: which columns are read, and as what.

use super::csv_table::{self, Table};
use super::timestamps::{self, Clock, Steps};
use super::{ReadOptions, Recording, RecordingError, label_words};
use std::path::Path;

/// Reads the wanted columns, or every numeric one that does not just count
/// time or rows, and does not hold the labels of the others.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<Recording, RecordingError> {
    let text = &*csv_table::text(path, bytes)?;
    let table = Table::sniff(path, text)?;
    let clock = Clock::of(&table);
    let (kept, is_named) = columns_to_read(path, &table, options)?;
    let mut steps = vec![Steps::default(); kept.len()];
    let mut times = Vec::new();
    let mut at = 0;
    let recording = read_cells(
        path,
        &table,
        text,
        &kept,
        |row| {
            if let Some(clock) = clock.as_ref().filter(|_| options.gaps) {
                let cell = row.get(clock.column).unwrap_or_default();
                times.push(clock.seconds(&table, cell).unwrap_or(f64::NAN));
            }
        },
        |column, line, cell| {
            let steps = &mut steps[at];
            at = (at + 1) % kept.len();
            if !is_named && steps.may_count() {
                steps.push(table.number_f64(column, cell).unwrap_or(f64::NAN));
            }
            number(path, &table, column, line, cell, options.gaps)
        },
    )?;
    let recording = if is_named { recording } else { without_counters(recording, &steps) };
    let sample_rate = clock.as_ref().map(Clock::rate);
    Ok(Recording { sample_rate, jumps: timestamps::jumps(&times), ..recording })
}

/// The columns to read, and whether somebody named them: of others those that count are still to be left out.
pub(super) fn columns_to_read(
    path: &Path,
    table: &Table,
    options: &ReadOptions,
) -> Result<(Vec<usize>, bool), RecordingError> {
    if table.above() > 0 {
        eprintln!("{}: {} lines above the table are left out", path.display(), table.above());
    }
    if !options.columns.is_empty() {
        let columns = options.columns.iter().map(|want| table.column(path, want));
        return Ok((columns.collect::<Result<_, _>>()?, true));
    }
    let numeric = table.numeric_columns();
    let why_not = |column: &usize| match &table.names[*column] {
        _ if !table.has_header => None,
        name if timestamps::is_named(name) => Some("is named like a timestamp"),
        name if label_words::is_column(name) => Some("is named like a label"),
        _ => None,
    };
    let mut kept: Vec<usize> = numeric.iter().copied().filter(|c| why_not(c).is_none()).collect();
    if kept.is_empty() {
        // Nothing else to read: then these are what was meant.
        kept.clone_from(&numeric);
    }
    for column in numeric.iter().filter(|column| !kept.contains(column)) {
        report_dropped(path, &table.names[*column], why_not(column).unwrap_or_default());
    }
    let is_text = |column: &usize| {
        let mut cells = table.sniffed[usize::from(table.has_header)..].iter();
        // Dates are no surprise.
        cells.any(|row| {
            let cell = row.get(*column).unwrap_or_default();
            !is_missing(cell) && timestamps::seconds(cell).is_none()
        })
    };
    let other = (0..table.names.len()).filter(|column| !numeric.contains(column));
    for column in other.filter(is_text) {
        eprintln!(
            "{}: column `{}` holds no numbers: left out",
            path.display(),
            table.names[column]
        );
    }
    Ok((kept, false))
}

/// Reads one column of labels, numbers or words: the one called `column`, or
/// `label`, or the only one that can be labels.
pub(super) fn read_labels(
    path: &Path,
    bytes: &[u8],
    column: Option<&str>,
) -> Result<Recording, RecordingError> {
    let text = &*csv_table::text(path, bytes)?;
    let mut table = Table::sniff(path, text)?;
    let wanted = column.unwrap_or("label");
    if !table.has_header && header_of_words(&table, wanted) {
        table.set_header(true);
    }
    let kept = match table.column(path, wanted) {
        Ok(at) => vec![at],
        Err(error) if column.is_some() => return Err(error),
        Err(error) => match (table.numeric_columns(), word_columns(&table)) {
            (numeric, _) if !numeric.is_empty() => numeric,
            (_, words) if !words.is_empty() => words,
            // A single column is what was meant, and its first cell refused.
            _ if table.names.len() == 1 => vec![0],
            _ => return Err(error),
        },
    };
    let value = |column: usize, cell: &str| {
        table.number(column, cell).or_else(|| label_words::value(cell).map(f32::from))
    };
    read_cells(
        path,
        &table,
        text,
        &kept,
        |_| {},
        |column, line, cell| {
            let label_text = || RecordingError::LabelText {
                path: path.to_path_buf(),
                line,
                cell: cell.to_string(),
            };
            value(column, cell).filter(|value| value.is_finite()).ok_or_else(label_text)
        },
    )
}

/// Whether the first line of a text without numbers names the columns: it
/// holds the name looked for, or a cell unlike the label words below it.
fn header_of_words(table: &Table, wanted: &str) -> bool {
    let Some((first, rest)) = table.sniffed.split_first() else {
        return false;
    };
    let unlike_the_rest = |(column, cell): (usize, &str)| {
        let mut below = rest.iter().filter_map(|r| r.get(column)).map(label_words::family);
        below.next().flatten().is_some_and(|family| label_words::family(cell) != Some(family))
    };
    let numbers = first.iter().enumerate().any(|(c, cell)| table.number(c, cell).is_some());
    !numbers
        && (first.iter().any(|cell| cell == wanted.trim())
            || first.iter().enumerate().any(unlike_the_rest))
}

/// Columns that hold label words and nothing else, as far as they were seen.
fn word_columns(table: &Table) -> Vec<usize> {
    let data = &table.sniffed[usize::from(table.has_header)..];
    (0..table.names.len())
        .filter(|column| {
            let mut cells = data.iter().filter_map(|r| r.get(*column));
            !data.is_empty() && cells.all(|cell| label_words::value(cell).is_some())
        })
        .collect()
}

/// The finite number in a cell, or NaN where there is none and `gaps` are read.
pub(super) fn number(
    path: &Path,
    table: &Table,
    column: usize,
    line: u64,
    cell: &str,
    gaps: bool,
) -> Result<f32, RecordingError> {
    let name = || table.names[column].clone();
    match table.number(column, cell) {
        None if gaps && is_missing(cell) => Ok(f32::NAN),
        Some(value) if gaps && !value.is_finite() => Ok(f32::NAN),
        None => Err(RecordingError::NotANumber {
            path: path.to_path_buf(),
            line,
            column: name(),
            cell: cell.to_string(),
        }),
        Some(value) if !value.is_finite() => Err(RecordingError::NotFinite {
            path: path.to_path_buf(),
            row: line as usize,
            column: name(),
            value,
        }),
        Some(value) => Ok(value),
    }
}

/// What stands in a cell without a sample.
pub(super) fn is_missing(cell: &str) -> bool {
    ["", "na", "n/a", "null", "none", "-", "?"].iter().any(|word| word.eq_ignore_ascii_case(cell))
}

/// Reads columns, each cell (column, line, text) by `value`; `row` sees every row before its cells.
fn read_cells(
    path: &Path,
    table: &Table,
    text: &str,
    kept: &[usize],
    mut row: impl FnMut(&csv::StringRecord),
    mut value: impl FnMut(usize, u64, &str) -> Result<f32, RecordingError>,
) -> Result<Recording, RecordingError> {
    let mut samples = Vec::new();
    let mut rows = 0;
    for record in table.records(path, text.as_bytes()) {
        let (line, record) = record?;
        row(&record);
        for &column in kept {
            samples.push(value(column, line, record.get(column).unwrap_or_default())?);
        }
        rows += 1;
    }
    if samples.is_empty() {
        return Err(RecordingError::Empty { path: path.to_path_buf() });
    }
    Ok(Recording {
        path: path.to_path_buf(),
        shape: vec![rows, kept.len()],
        samples,
        columns: kept.iter().map(|c| table.names[*c].clone()).collect(),
        sample_rate: None,
        jumps: Vec::new(),
    })
}

/// Why a column that counts is left out.
pub(super) const COUNTS: &str = "rises or falls by a constant step";

/// Leaves out the columns that count, unless all of them do.
fn without_counters(recording: Recording, steps: &[Steps]) -> Recording {
    let counts: Vec<bool> = steps.iter().map(Steps::counts).collect();
    if counts.iter().all(|c| *c) || !counts.contains(&true) {
        return recording;
    }
    for (name, _) in recording.columns.iter().zip(&counts).filter(|(_, counts)| **counts) {
        report_dropped(&recording.path, name, COUNTS);
    }
    let measures = || counts.iter().map(|counts| !counts);
    let samples = recording.samples.iter().zip(measures().cycle());
    let columns = recording.columns.into_iter().zip(measures());
    Recording {
        shape: vec![recording.shape[0], measures().filter(|m| *m).count()],
        samples: samples.filter_map(|(x, keep)| keep.then_some(*x)).collect(),
        columns: columns.filter_map(|(name, keep)| keep.then_some(name)).collect(),
        path: recording.path,
        sample_rate: recording.sample_rate,
        jumps: recording.jumps,
    }
}

pub(super) fn report_dropped(path: &Path, column: &str, why: &str) {
    eprintln!("{}: column `{column}` {why}: left out; --columns keeps it", path.display());
}

#[cfg(test)]
#[path = "csv_text_tests.rs"]
mod tests;
