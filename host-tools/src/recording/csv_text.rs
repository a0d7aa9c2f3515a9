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
    let sample_rate = clock.as_ref().map(Clock::rate);
    let jumps = match &clock {
        Some(clock) if options.gaps => jumps(path, &table, text, clock)?,
        _ => Vec::new(),
    };
    let timed = |recording: Recording| Recording { sample_rate, jumps, ..recording };
    let (kept, is_named) = columns_to_read(path, &table, options)?;
    if is_named {
        return read_numbers(path, &table, text, &kept, options.gaps, |_, _| {}).map(timed);
    }
    let mut steps = vec![Steps::default(); kept.len()];
    let recording = read_numbers(path, &table, text, &kept, options.gaps, |at, cell| {
        let steps = &mut steps[at];
        if steps.may_count() {
            steps.push(table.number_f64(kept[at], cell).unwrap_or(f64::NAN));
        }
    })?;
    Ok(timed(without_counters(recording, &steps)))
}

/// Rows before which the time jumps.
fn jumps(
    path: &Path,
    table: &Table,
    text: &str,
    clock: &Clock,
) -> Result<Vec<usize>, RecordingError> {
    let mut times = Vec::new();
    read_cells(path, table, text, &[clock.column], |_, _, cell| {
        times.push(clock.seconds(table, cell).unwrap_or(f64::NAN));
        Ok(0.0)
    })?;
    Ok(timestamps::jumps(&times))
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
    read_cells(path, &table, text, &kept, |column, line, cell| {
        let label_text =
            || RecordingError::LabelText { path: path.to_path_buf(), line, cell: cell.to_string() };
        value(column, cell).filter(|value| value.is_finite()).ok_or_else(label_text)
    })
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

/// Reads columns of finite numbers; `watch` sees every cell with its place
/// among `kept`.
fn read_numbers(
    path: &Path,
    table: &Table,
    text: &str,
    kept: &[usize],
    gaps: bool,
    mut watch: impl FnMut(usize, &str),
) -> Result<Recording, RecordingError> {
    let mut at = 0;
    read_cells(path, table, text, kept, |column, line, cell| {
        watch(at, cell);
        at = (at + 1) % kept.len();
        number(path, table, column, line, cell, gaps)
    })
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

/// Reads columns, each cell (column, line, text) by `value`.
fn read_cells(
    path: &Path,
    table: &Table,
    text: &str,
    kept: &[usize],
    mut value: impl FnMut(usize, u64, &str) -> Result<f32, RecordingError>,
) -> Result<Recording, RecordingError> {
    let mut samples = Vec::new();
    let mut rows = 0;
    for record in table.records(path, text.as_bytes()) {
        let (line, record) = record?;
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
mod tests {
    use super::*;

    fn read(text: &str) -> Recording {
        super::read(Path::new("a.csv"), text.as_bytes(), &ReadOptions::default()).unwrap()
    }

    fn lines(rows: usize, line: impl Fn(usize) -> String) -> String {
        (0..rows).map(line).collect()
    }

    #[test]
    fn labels_beside_the_samples_are_no_channel() {
        let recording = read("x;anomaly;y;changepoint\n1;0;2;0\n3;1;4;0\n");
        assert_eq!((recording.shape, recording.samples), (vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        // Alone, they are what was meant.
        assert_eq!(read("anomaly\n1\n0\n").samples, [1.0, 0.0]);
    }

    #[test]
    fn decimal_commas() {
        let recording = read("0,0;0,0312;1,0234\n0,5;-0,25;-2\n");
        assert_eq!(recording.shape, [2, 3]);
        assert_eq!(recording.samples, [0.0, 0.0312, 1.0234, 0.5, -0.25, -2.0]);
        let recording = read("x\ty\n1\t2\n1,5\t2,5e1\n");
        assert_eq!(recording.columns, ["x", "y"]);
        assert_eq!(recording.samples, [1.0, 2.0, 1.5, 25.0]);
        // Commas win over a `;` that is not on every line.
        assert_eq!(read("a,b\n1,2\n3,4\n").shape, [2, 2]);
        assert_eq!(read("a,note\n1,x;y\n3,z\n").samples, [1.0, 3.0]);
        assert_eq!(read("\"a;b\",c\n1,2\n").columns, ["a;b", "c"]);
        // Grouped thousands beside decimal points are not guessed at.
        let error = super::read(Path::new("a.csv"), b"1.5;2\n1,234;3\n", &ReadOptions::default())
            .unwrap_err();
        assert!(error.to_string().contains("`1,234`"), "{error}");
        // A line that was cut off does not change the separator.
        let error =
            super::read(Path::new("a.csv"), b"0,0;1,5\n0,1;1,6\n0,2\n", &ReadOptions::default())
                .unwrap_err();
        assert!(matches!(error, RecordingError::Ragged { line: 3, expected: 2, found: 1, .. }));
    }

    #[test]
    fn timestamps_are_no_channel() {
        // By name, however uneven and few.
        let recording = read("Timestamp,x\n1,2\n5,3\n6,4\n");
        assert_eq!((&recording.columns[..], recording.shape), (&["x".to_string()][..], vec![3, 1]));
        assert_eq!(read(",x,Unnamed: 0\n0,2,0\n1,2,1\n").columns, ["0", "x"]);
        // By its steps, with a header or not.
        let text = lines(16, |i| format!("{},{},{}\n", 1_700_000_000 + i, i * i, i % 3));
        let recording = read(&text);
        assert_eq!((&recording.shape[..], recording.samples[2]), (&[16, 2][..], 1.0));
        assert_eq!(recording.columns, ["1", "2"]);
        assert_eq!(read(&format!("sec,a,b\n{text}")).columns, ["a", "b"]);
        let columns = vec!["0".to_string(), "1".to_string()];
        let options = ReadOptions { columns, ..ReadOptions::default() };
        let kept = super::read(Path::new("a.csv"), text.as_bytes(), &options).unwrap();
        assert_eq!(kept.shape, [16, 2]);
        // Too few rows to tell, and never the last column left.
        assert_eq!(read(&lines(15, |i| format!("{i},{}\n", i % 3))).shape, [15, 2]);
        assert_eq!(read(&lines(20, |i| format!("{i}\n"))).shape, [20, 1]);
        assert_eq!(read(&lines(20, |i| format!("{i},{}\n", 2 * i))).shape, [20, 2]);
        assert_eq!(read("time\n1\n2\n").shape, [2, 1]);
    }

    #[test]
    fn timestamps_say_where_rows_are_missing() {
        // A night is missing behind row 70.
        let time = |i: usize| i + if i < 70 { 0 } else { 36_000 };
        let text =
            format!("time_ms,a\n{}", lines(120, |i| format!("{},{}\n", 1_000 * time(i), i % 7)));
        let gaps = ReadOptions { gaps: true, ..ReadOptions::default() };
        let recording = super::read(Path::new("a.csv"), text.as_bytes(), &gaps).unwrap();
        assert_eq!((recording.sample_rate, &recording.jumps[..]), (Some(1.0), &[70][..]));
        assert_eq!(recording.shape, [120, 1]);
        assert!(read(&text).jumps.is_empty());
    }

    #[test]
    fn tables_as_loggers_write_them() {
        let body = lines(20, |i| format!("{},{}\n", i * i, i % 3));
        let plain = read(&format!("a,b\n{body}"));
        for head in ["a,b\nm/s,V\n", "Logger 7\nserial: 12\n\na,b\n"] {
            let recording = read(&format!("{head}{body}"));
            assert_eq!((&recording.columns, &recording.samples), (&plain.columns, &plain.samples));
        }
        // A missing sample in the first row is no unit.
        assert_eq!(
            super::read(
                Path::new("a.csv"),
                b"a,b\nNA,1\n2,3\n",
                &ReadOptions { gaps: true, ..ReadOptions::default() }
            )
            .unwrap()
            .shape,
            [2, 2]
        );
        let of = |bytes: &[u8]| super::read(Path::new("a.csv"), bytes, &ReadOptions::default());
        let latin = of(b"Temp \xb0C;x\n1;2\n3;5\n").unwrap();
        assert_eq!(latin.columns, ["Temp \u{b0}C", "x"]);
        let wide: Vec<u8> =
            "\u{feff}a\tb\n1\t2\n3\t5\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(of(&wide).unwrap().samples, [1.0, 2.0, 3.0, 5.0]);
        assert_eq!(read("  1.5   2\n  3  4.5 \n").samples, [1.5, 2.0, 3.0, 4.5]);
        assert_eq!(read("x|y\n1|2\n3|4\n").columns, ["x", "y"]);
        assert!(of(b"\x01\xff\x00").is_err());
    }

    fn labels(text: &str, column: Option<&str>) -> Result<Vec<f32>, RecordingError> {
        read_labels(Path::new("l.csv"), text.as_bytes(), column).map(|r| r.samples)
    }

    #[test]
    fn labels_in_words() {
        let text = "clip,label\na,normal\nb,Anomaly\nc,FAULTY\nd,ok\n";
        assert_eq!(labels(text, None).unwrap(), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(labels("clip,state\na,good\nb,fault\n", None).unwrap(), [0.0, 1.0]);
        assert_eq!(labels("normal\nabnormal\n", None).unwrap(), [0.0, 1.0]);
        assert_eq!(labels("label\nno\nyes\n", None).unwrap(), [0.0, 1.0]);
        assert_eq!(labels("anomaly\nFalse\nTrue\n", None).unwrap(), [0.0, 1.0]);
        let error = labels("clip,label\na,normal\nb,broken\n", None).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("`broken`"), "{error}");
        let error = labels("healthy\nbroken\n", None).unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("`healthy`"), "{error}");
        let error = labels("a,b\nx,y\n", None).unwrap_err();
        assert!(matches!(error, RecordingError::UnknownColumn { .. }));
    }

    #[test]
    fn label_columns_that_count_are_read() {
        let counting = lines(20, |i| format!("{i},{}\n", i % 2));
        let expected: Vec<f32> = (0..20).map(|i| (i % 2) as f32).collect();
        let text = format!("window,label\n{counting}");
        assert_eq!(labels(&text, None).unwrap(), expected);
        let text = format!("index,anomaly\n{counting}");
        assert_eq!(labels(&text, Some("anomaly")).unwrap(), expected);
        let ramp: Vec<f32> = (0..20).map(|i| i as f32).collect();
        assert_eq!(labels(&text, Some("index")).unwrap(), ramp);
        assert_eq!(labels(&lines(20, |i| format!("{i}\n")), None).unwrap(), ramp);
    }
}
