//! Recordings that are larger than memory, for training: stretches of them, evenly spread. Called by `picovae fit`;
//! what is scored goes through [`super::Source`], which leaves nothing out.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::row_reader::RowReader;
use super::{ReadOptions, Recording, RecordingError, Rows};

/// Stretches that are read.
const STRETCHES: usize = 16;
/// Copies of the samples that fitting holds at a time.
const COPIES: u64 = 4;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

impl Recording {
    /// Stretches of a recording whose file is larger than `memory` bytes, as many and as long as that holds;
    /// `None` of files that are smaller, or that are packed and have to be read whole.
    ///
    /// # Errors
    /// [`RecordingError`], as of [`Recording::read_with`].
    pub fn read_stretches(
        path: &Path,
        options: &ReadOptions,
        rows: Option<Rows>,
        memory: u64,
    ) -> Result<Option<Vec<Self>>, RecordingError> {
        if !std::fs::metadata(path).is_ok_and(|file| file.len() > memory) {
            return Ok(None);
        }
        let Some(mut reader) = RowReader::open(path, options)? else { return Ok(None) };
        let all = if reader.is_endless() { lines(path)? } else { reader.shape()[0] };
        let range = rows.unwrap_or_default().resolve(path, all)?;
        let row_len = reader.shape().iter().skip(1).product::<usize>().max(1);
        let rows_at_once = (memory / COPIES) as usize / (row_len * size_of::<f32>());
        let (count, len) = if range.len() <= rows_at_once {
            (1, range.len())
        } else {
            (STRETCHES, (rows_at_once / STRETCHES).max(1))
        };
        let mut stretches = Vec::with_capacity(count);
        let mut at = 0;
        for stretch in 0..count {
            let start = range.start + stretch * (range.len() - len) / (count - 1).max(1);
            match reader.skip(start.saturating_sub(at)) {
                // Of a text with empty lines there are fewer rows than lines.
                Err(RecordingError::Truncated { .. }) if reader.is_endless() => break,
                skipped => skipped?,
            }
            let mut samples = Vec::new();
            let read = reader.read(len, &mut samples)?;
            if read < len && !reader.is_endless() {
                return Err(reader.truncated(start + read));
            }
            at = start.max(at) + read;
            if read == 0 {
                break;
            }
            let shape = [&[read], &reader.shape()[1..]].concat();
            let (columns, sample_rate) = (reader.columns(), reader.sample_rate());
            let recording = Self { shape, samples, columns, sample_rate, ..Self::empty(path) };
            stretches.push(recording.checked_from(start, options)?);
        }
        if stretches.is_empty() {
            return Err(RecordingError::Empty { path: path.into() });
        }
        Ok(Some(stretches))
    }
}

/// Lines of a text.
fn lines(path: &Path) -> Result<usize, RecordingError> {
    let io = |source| RecordingError::Io { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(io)?;
    let (mut count, mut piece) = (0, vec![0; PIECE]);
    loop {
        let read = file.read(&mut piece).map_err(io)?;
        if read == 0 {
            return Ok(count);
        }
        count += piece[..read].iter().filter(|byte| **byte == b'\n').count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(path: &Path, rows: Option<Rows>) -> Vec<Recording> {
        Recording::read_stretches(path, &ReadOptions::default(), rows, 4_096).unwrap().unwrap()
    }

    #[test]
    fn a_large_text_is_read_in_parts() {
        let path = std::env::temp_dir().join(format!("picovae-{}-large.csv", std::process::id()));
        let line =
            |i: usize| format!("2020-01-01 00:{:02}:{:02},{},7\n", i / 60, i % 60, 3 * i / 2);
        let text: String = (0..3_000).map(line).collect();
        std::fs::write(&path, format!("time,x,y\n{text}")).unwrap();
        let parts = stretches(&path, None);
        // 128 rows of two values fit, in 16 parts.
        assert_eq!((parts.len(), &parts[0].shape[..]), (16, &[8, 2][..]));
        assert_eq!((parts[0].columns.join(","), parts[0].sample_rate), ("x,y".into(), Some(1.0)));
        assert_eq!((parts[0].samples[0], parts[1].samples[0]), (0.0, 298.0));
        // The header is a line, too.
        assert_eq!(parts[15].samples.last_chunk(), Some(&[4_498.0, 7.0]));
        let some = Rows { start: 100, end: Some(200) };
        let parts = stretches(&path, Some(some));
        assert_eq!((parts.len(), parts[0].rows(), parts[0].samples[0]), (1, 100, 150.0));
        let whole = Recording::read_stretches(&path, &ReadOptions::default(), None, 1 << 20);
        assert!(matches!(whole, Ok(None)));
        std::fs::remove_file(path).unwrap();
    }
}
