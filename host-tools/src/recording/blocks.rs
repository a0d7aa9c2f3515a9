//! Recordings that need not fit memory: read in blocks that windows run through as if there were none.
//!
//! CSV, NPY in C order, WAV and samples without a header are read so where their file is larger than
//! asked for; of everything else, and of small files, the one block is the whole recording.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::row_reader::RowReader;
use super::{ReadOptions, Recording, RecordingError, Rows};
use crate::graph::Frontend;

/// A recording to be read from its start as often as need be.
#[derive(Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    options: ReadOptions,
    rows: Option<Rows>,
    /// Bytes that blocks, and copies of them, may take.
    memory: u64,
    /// What was read whole.
    whole: Option<Recording>,
}

/// Some of a recording's rows.
#[derive(Debug)]
pub struct Block<'a> {
    /// Those rows, as a recording.
    pub recording: Cow<'a, Recording>,
    /// Clips of the recording before this block.
    pub clip: usize,
    /// First frame of the block within its clip.
    pub start: usize,
    /// Frames at the block's start that the block before has, too.
    pub repeated: usize,
}

impl Block<'_> {
    /// The frames of each clip that no block before had, with the clip's number.
    ///
    /// # Errors
    /// [`RecordingError`] where the block has not the model's shape.
    pub fn pieces(&self, frontend: &Frontend) -> Result<Vec<(usize, Vec<f32>)>, RecordingError> {
        let clips = self.recording.clips(frontend)?;
        let known = self.repeated * frontend.channels;
        let piece = |clip| (self.clip + clip, clips.clip(clip)[known..].to_vec());
        Ok((0..clips.clip_count()).map(piece).collect())
    }
}

impl Source {
    /// Reads a file of at most `memory` bytes, or one that cannot be read in blocks; of others
    /// it only looks at the start. A recording of another shape than the model's is refused.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn open(
        path: &Path,
        options: &ReadOptions,
        rows: Option<Rows>,
        frontend: &Frontend,
        memory: u64,
    ) -> Result<Self, RecordingError> {
        let mut source =
            Self { path: path.into(), options: options.clone(), rows, memory, whole: None };
        let is_large = std::fs::metadata(path).is_ok_and(|file| file.len() > memory);
        if is_large && RowReader::open(path, options)?.is_some() {
            source.blocks(frontend)?;
            return Ok(source);
        }
        let mut whole = Recording::read_with(path, options)?;
        if let Some(rows) = rows {
            whole = whole.select_rows(rows)?;
        }
        whole.clips(frontend)?;
        source.whole = Some(whole);
        Ok(source)
    }

    /// The recording, where it is in memory.
    pub fn whole_mut(&mut self) -> Option<&mut Recording> {
        self.whole.as_mut()
    }

    /// Whether it is read in blocks.
    pub fn is_long(&self) -> bool {
        self.whole.is_none()
    }

    /// The blocks, in order.
    ///
    /// # Errors
    /// [`RecordingError`] where the file has changed since, or rows are asked for that it has not.
    pub fn blocks(&self, frontend: &Frontend) -> Result<Blocks<'_>, RecordingError> {
        if let Some(whole) = &self.whole {
            return Ok(Blocks::Whole(Some(whole)));
        }
        let Some(reader) = RowReader::open(&self.path, &self.options)? else {
            return Err(RecordingError::Empty { path: self.path.clone() });
        };
        LongBlocks::new(self, reader, frontend).map(|long| Blocks::Long(Box::new(long)))
    }

    /// [`Block::pieces`] of all blocks, one after the other.
    ///
    /// # Errors
    /// As [`blocks`](Self::blocks).
    pub fn pieces<'a>(
        &'a self,
        frontend: &'a Frontend,
    ) -> Result<
        impl Iterator<Item = Result<(usize, Vec<f32>), RecordingError>> + use<'a>,
        RecordingError,
    > {
        let of_block = |block: Result<Block<'_>, RecordingError>| {
            let pieces = block.and_then(|block| block.pieces(frontend));
            let (pieces, failed) = match pieces {
                Ok(pieces) => (pieces, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            pieces.into_iter().map(Ok).chain(failed)
        };
        Ok(self.blocks(frontend)?.flat_map(of_block))
    }
}

/// Iterator of [`Source::blocks`].
pub enum Blocks<'a> {
    /// One block.
    Whole(Option<&'a Recording>),
    /// Many.
    Long(Box<LongBlocks>),
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Whole(whole) => whole.take().map(|recording| {
                let recording = Cow::Borrowed(recording);
                Ok(Block { recording, clip: 0, start: 0, repeated: 0 })
            }),
            Self::Long(long) => long.next_block().transpose(),
        }
    }
}

/// Blocks of a file that is read from its start to its end.
pub struct LongBlocks {
    reader: RowReader,
    /// Rows that were read and are not yet behind us.
    samples: Vec<f32>,
    row_len: usize,
    /// Rows of a block, of which the next one begins `advance` rows later.
    block: usize,
    advance: usize,
    /// Rows that must be left for a block of its own.
    least: usize,
    /// Whether rows are the frames of one clip; else each is a clip.
    is_one_clip: bool,
    /// Rows that may still be read.
    left: usize,
    /// First row in `samples`, counted from the first one asked for, and that one's number in the file.
    at: usize,
    first: usize,
    is_done: bool,
    /// What was asked for, of a file whose end nobody knows.
    asked: Option<Rows>,
}

impl LongBlocks {
    fn new(
        source: &Source,
        mut reader: RowReader,
        frontend: &Frontend,
    ) -> Result<Self, RecordingError> {
        let shape = reader.shape().to_vec();
        let row_len = shape.iter().skip(1).product::<usize>().max(1);
        let rows = source.rows.unwrap_or_default().resolve(&source.path, shape[0])?;
        let mut shape = shape;
        shape[0] = rows.len();
        // Only asked how its shape becomes windows.
        let shaped = Recording { shape, ..Recording::empty(&source.path) };
        let clips = shaped.clips(frontend)?;
        let is_one_clip = clips.clip_count() == 1 && clips.clip_frames() == rows.len();
        let (window_len, hop) = (frontend.window_len, frontend.hop.max(1));
        let wanted = (source.memory / (16 * row_len as u64)).max(1) as usize;
        let (block, advance, least) = if is_one_clip {
            let windows = (wanted.saturating_sub(window_len) / hop + 1).max(1);
            let block = ((windows - 1) * hop + window_len).max(windows * hop);
            (block, windows * hop, window_len)
        } else {
            (wanted, wanted, 1)
        };
        reader.skip(rows.start)?;
        Ok(Self {
            reader,
            samples: Vec::new(),
            row_len,
            block,
            advance,
            least,
            is_one_clip,
            left: rows.len(),
            at: 0,
            first: rows.start,
            is_done: false,
            asked: source.rows,
        })
    }

    fn next_block(&mut self) -> Result<Option<Block<'static>>, RecordingError> {
        if self.is_done {
            return Ok(None);
        }
        let had = self.samples.len() / self.row_len;
        let repeated = if self.is_one_clip && self.at > 0 { self.block - self.advance } else { 0 };
        // So far ahead that what is left after this block is a block of its own.
        let wanted = (self.block + self.least + self.advance).saturating_sub(had).min(self.left);
        let read = self.reader.read(wanted, &mut self.samples)?;
        self.left -= read;
        let have = had + read;
        if read < wanted && !self.reader.is_endless() {
            return Err(self.reader.truncated(self.first + self.at + have));
        }
        self.is_done = read < wanted || self.left == 0;
        if let Some(rows) = self.asked.filter(|rows| self.left > 0 && rows.end.is_some())
            && self.is_done
        {
            return Err(RecordingError::RowsOutOfRange {
                path: self.reader.path().to_path_buf(),
                rows: rows.to_string(),
                found: self.first + self.at + have,
            });
        }
        let taken = if self.is_done { have } else { self.block };
        if taken == 0 {
            return Ok(None);
        }
        let samples = self.samples[..taken * self.row_len].to_vec();
        let drained = if self.is_done { taken } else { self.advance };
        self.samples.drain(..drained * self.row_len);
        let mut recording = Recording {
            shape: self.reader.shape().to_vec(),
            samples,
            ..Recording::empty(self.reader.path())
        };
        recording.shape[0] = taken;
        let recording = recording.checked_from(self.first + self.at, self.reader.options())?;
        let (clip, start) = if self.is_one_clip { (0, self.at) } else { (self.at, 0) };
        self.at += drained;
        Ok(Some(Block { recording: Cow::Owned(recording), clip, start, repeated }))
    }
}
