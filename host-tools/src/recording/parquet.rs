//! Parquet tables: flat columns of numbers, read as CSV's are; what counts time or rows is left out.

use std::path::Path;

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;

use super::csv_text::{COUNTS, report_dropped};
use super::timestamps::{self, Steps};
use super::{ReadOptions, Recording, RecordingError, label_words};

/// Values decoded at a time.
const PIECE: usize = 4_096;

/// Whether bytes start like a Parquet file.
pub(super) fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

/// Reads the wanted columns, or every one of numbers that does not count time or rows, and is no label.
pub(super) fn read(
    path: &Path,
    bytes: Vec<u8>,
    options: &ReadOptions,
) -> Result<Recording, RecordingError> {
    let format = |reason: String| RecordingError::Format { path: path.to_path_buf(), reason };
    let failed = |error: ParquetError| format(format!("Parquet: {error}"));
    let file = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(failed)?;
    let schema = file.metadata().file_metadata().schema_descr();
    let all: Vec<(usize, &ColumnDescriptor)> =
        schema.columns().iter().map(|column| column.as_ref()).enumerate().collect();
    let is_named = !options.columns.is_empty();
    let mut kept: Vec<(usize, &ColumnDescriptor)> = Vec::new();
    if is_named {
        for want in &options.columns {
            let found = all.iter().find(|(index, column)| {
                column.name() == want.trim() || want.trim().parse() == Ok(*index)
            });
            kept.push(*found.ok_or_else(|| RecordingError::UnknownColumn {
                path: path.to_path_buf(),
                column: want.clone(),
                known: all.iter().map(|(_, column)| column.name()).collect::<Vec<_>>().join(", "),
            })?);
        }
    } else {
        for &(index, column) in all.iter().filter(|(_, column)| is_number(column)) {
            match why_not(column) {
                None => kept.push((index, column)),
                Some(why) => report_dropped(path, column.name(), why),
            }
        }
    }
    if let Some((_, column)) = kept.iter().find(|(_, column)| !is_number(column)) {
        return Err(format(format!("Parquet: column `{}` is not one of numbers", column.name())));
    }
    let mut columns = Vec::with_capacity(kept.len());
    for (index, column) in &kept {
        let values = read_column(&file, *index, column).map_err(failed)?;
        columns.push((column.name().to_string(), values));
    }
    let time = all.iter().find(|(_, column)| is_time(column) && is_number(column));
    let times = match time {
        Some((index, column)) => read_column(&file, *index, column).map_err(failed)?,
        None => Vec::new(),
    };
    let sample_rate = timestamps::rate_of(&times);
    let jumps = if options.gaps { timestamps::jumps(&times) } else { Vec::new() };
    if !is_named {
        drop_counters(path, &mut columns);
    }
    let rows = columns.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
    if rows == 0 {
        return Err(RecordingError::Empty { path: path.to_path_buf() });
    }
    let row = |row: usize| columns.iter().map(move |(_, values)| values[row] as f32);
    Ok(Recording {
        path: path.to_path_buf(),
        shape: vec![rows, columns.len()],
        samples: (0..rows).flat_map(row).collect(),
        columns: columns.iter().map(|(name, _)| name.clone()).collect(),
        sample_rate,
        jumps,
    })
}

/// Whether it is a flat column of numbers.
fn is_number(column: &ColumnDescriptor) -> bool {
    let kinds = [Type::BOOLEAN, Type::INT32, Type::INT64, Type::FLOAT, Type::DOUBLE];
    column.max_rep_level() == 0 && kinds.contains(&column.physical_type())
}

/// Whether its type is a date or a time.
fn is_time(column: &ColumnDescriptor) -> bool {
    use ConvertedType::{DATE, TIME_MICROS, TIME_MILLIS, TIMESTAMP_MICROS, TIMESTAMP_MILLIS};
    let converted = [DATE, TIME_MICROS, TIME_MILLIS, TIMESTAMP_MICROS, TIMESTAMP_MILLIS];
    converted.contains(&column.converted_type())
        || matches!(
            column.logical_type_ref(),
            Some(LogicalType::Timestamp(_) | LogicalType::Time(_) | LogicalType::Date)
        )
}

fn why_not(column: &ColumnDescriptor) -> Option<&'static str> {
    match column.name() {
        _ if is_time(column) => Some("holds timestamps"),
        // What pandas calls its index.
        "__index_level_0__" => Some("is an index"),
        name if timestamps::is_named(name) => Some("is named like a timestamp"),
        name if label_words::is_column(name) => Some("is named like a label"),
        _ => None,
    }
}

/// Leaves out the columns that count, unless all of them do.
fn drop_counters(path: &Path, columns: &mut Vec<(String, Vec<f64>)>) {
    let counts = |values: &[f64]| {
        let mut steps = Steps::default();
        for value in values {
            if !steps.may_count() {
                break;
            }
            steps.push(*value);
        }
        steps.counts()
    };
    if columns.iter().all(|(_, values)| counts(values)) {
        return;
    }
    columns.retain(|(name, values)| {
        let drop = counts(values);
        if drop {
            report_dropped(path, name, COUNTS);
        }
        !drop
    });
}

/// All values of a column; NaN where there is none.
fn read_column(
    file: &SerializedFileReader<bytes::Bytes>,
    index: usize,
    column: &ColumnDescriptor,
) -> Result<Vec<f64>, ParquetError> {
    let scale = 10f64.powi(column.type_scale().max(0));
    let mut out = Vec::new();
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group)?;
        match group.get_column_reader(index)? {
            ColumnReader::BoolColumnReader(mut r) => {
                append(&mut r, column, &mut out, |x| f64::from(u8::from(x)))?;
            }
            ColumnReader::Int32ColumnReader(mut r) => {
                append(&mut r, column, &mut out, |x| f64::from(x) / scale)?;
            }
            ColumnReader::Int64ColumnReader(mut r) => {
                append(&mut r, column, &mut out, |x| x as f64 / scale)?;
            }
            ColumnReader::FloatColumnReader(mut r) => {
                append(&mut r, column, &mut out, f64::from)?;
            }
            ColumnReader::DoubleColumnReader(mut r) => append(&mut r, column, &mut out, |x| x)?,
            _ => {}
        }
    }
    Ok(out)
}

/// Appends a group's values.
fn append<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    out: &mut Vec<f64>,
    real: impl Fn(T::T) -> f64,
) -> Result<(), ParquetError> {
    let there = column.max_def_level();
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    loop {
        values.clear();
        levels.clear();
        let (records, _, _) = reader.read_records(PIECE, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        let mut next = values.drain(..);
        if there == 0 {
            out.extend(next.map(&real));
        } else {
            let value = |level: &i16| match *level == there {
                true => next.next().map_or(f64::NAN, &real),
                false => f64::NAN,
            };
            out.extend(levels.iter().map(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::basic::Compression;
    use ::parquet::data_type::{DoubleType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use std::sync::Arc;

    const ROWS: usize = 10_000;

    /// Timestamps, a counter, a channel with gaps, a label; two groups of rows.
    fn table(compression: Compression) -> Vec<u8> {
        let schema = "message m { required int64 ts (TIMESTAMP_MILLIS); required int64 n; \
                      optional double x; required int64 label; }";
        let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        for half in 0..2i64 {
            let rows = half * 5_000..(half + 1) * 5_000;
            let mut group = writer.next_row_group().unwrap();
            let mut at = 0;
            while let Some(mut column) = group.next_column().unwrap() {
                if at == 2 {
                    let there: Vec<i16> =
                        rows.clone().map(|row| i16::from(row % 100 != 7)).collect();
                    let values: Vec<f64> =
                        rows.clone().filter(|row| row % 100 != 7).map(|x| x as f64 * 0.5).collect();
                    let typed = column.typed::<DoubleType>();
                    typed.write_batch(&values, Some(&there), None).unwrap();
                } else {
                    let of = |row: i64| [1_700_000_000_000 + 10 * row, row, 0, row % 2][at];
                    let values: Vec<i64> = rows.clone().map(of).collect();
                    column.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
                }
                column.close().unwrap();
                at += 1;
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn channels_are_read_and_the_rest_is_not() {
        let path = Path::new("t.parquet");
        let compressions = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(Default::default()),
            Compression::ZSTD(Default::default()),
        ];
        for compression in compressions {
            let options = ReadOptions::default();
            let recording = read(path, table(compression), &options).unwrap();
            assert_eq!(
                (&recording.columns[..], &recording.shape[..]),
                (&["x".into()][..], &[ROWS, 1][..])
            );
            assert_eq!(recording.sample_rate, Some(100.0));
            for (row, &x) in recording.samples.iter().enumerate() {
                assert!(
                    if row % 100 == 7 { x.is_nan() } else { x == row as f32 * 0.5 },
                    "{row}: {x}"
                );
            }
        }
        let columns = vec!["label".into(), "1".into()];
        let named = ReadOptions { columns, ..ReadOptions::default() };
        let recording = read(path, table(Compression::SNAPPY), &named).unwrap();
        assert_eq!((recording.shape, recording.samples[7]), (vec![ROWS, 2], 3.0));
        let columns = vec!["y".into()];
        let unknown = ReadOptions { columns, ..ReadOptions::default() };
        let error = read(path, table(Compression::SNAPPY), &unknown).unwrap_err();
        assert!(error.to_string().contains('y'), "{error}");
    }

    #[test]
    fn damaged_files_are_refused_and_do_not_panic() {
        let good = table(Compression::SNAPPY);
        let read =
            |bytes: &[u8]| read(Path::new("t.parquet"), bytes.to_vec(), &ReadOptions::default());
        for len in [4, 12, good.len() / 2, good.len() - 1] {
            assert!(read(&good[..len]).is_err(), "{len} bytes");
        }
        for at in (0..good.len()).step_by(good.len() / 60) {
            let mut bad = good.clone();
            bad[at] ^= 0x5a;
            // An error, or numbers: no more can be asked of a format without checksums.
            let _ = read(&bad);
        }
    }
}
