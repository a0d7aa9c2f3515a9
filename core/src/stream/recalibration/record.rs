//! What was learnt as bytes, to survive a restart: `docs/blob-format.md`, "The state of a detector".
//!
//! Numbers as postcard has them, written and read by hand; a CRC-32 behind.

use super::scores::BINS;
use super::{Phase, Recalibration, RestoreError};
use crate::model::read::{Read, Reader};
use crate::model::wire::crc32;
use crate::model::{Model, valid_scale};
use crate::score::Score;
use crate::stream::decision::Judge;

/// The version of the record.
pub(super) const VERSION: u8 = 1;
/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// What of a detector is saved beside its [`Recalibration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub windows: u32,
    pub threshold: Option<Score>,
    pub own_threshold: Option<Score>,
    pub clear: Option<Score>,
    pub judge: Judge,
}

/// Numbers to bytes; remembers that room was missing.
struct Writer<'b> {
    bytes: &'b mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn byte(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    fn score(&mut self, score: Option<Score>) {
        self.byte(score.is_some().into());
        if let Some(Score(score)) = score {
            self.signed(score);
        }
    }
}

impl Recalibration<'_> {
    /// Bytes of a record at most.
    pub(crate) fn record_len(&self) -> usize {
        // Head 88; a bin 7, seldom more than a few are filled; a group 42.
        96 + 7 * BINS + 42 * self.moments.len()
    }

    /// Writes a record; its bytes.
    pub(crate) fn save(
        &self,
        model: &Model<'_>,
        saved: &Saved,
        out: &mut [u8],
    ) -> Result<usize, RestoreError> {
        let got = out.len();
        let mut writer = Writer { bytes: out, len: 0 };
        writer.byte(VERSION);
        writer.number(model.checksum().into());
        writer.number(saved.windows.into());
        saved.judge.words().into_iter().for_each(|word| writer.number(word.into()));
        writer.score(saved.threshold);
        writer.score(saved.own_threshold);
        writer.score(saved.clear);
        let (phase, first, second) = match self.phase {
            Phase::Rest => (0, 0, 0),
            Phase::Normalization { left, threshold } => (1, left, threshold),
            Phase::Threshold { left } => (2, left, 0),
            Phase::Follow { since } => (3, since, 0),
        };
        writer.byte(phase);
        writer.number(first.into());
        writer.number(second.into());
        writer.byte(self.renormalized.into());
        if self.renormalized {
            let normalization = self.offset.iter().zip(&*self.multiplier).zip(&*self.shift);
            for ((&offset, &multiplier), &shift) in normalization {
                writer.signed(offset.into());
                writer.signed(multiplier.into());
                writer.byte(shift as u8);
            }
        }
        writer.number(self.observed);
        if self.observed > 0 {
            for moments in &*self.moments {
                writer.signed(moments.sum);
                moments.squares.into_iter().for_each(|word| writer.number(word));
            }
        }
        let filled = self.scores.counts().iter().enumerate().filter(|(_, count)| **count > 0);
        writer.number(filled.clone().count() as u64);
        for (bin, &count) in filled {
            writer.byte(bin as u8);
            writer.number(count.into());
        }
        let len = writer.len;
        let needed = self.record_len();
        let whole = len.saturating_add(CHECKSUM);
        let record = out.get_mut(..whole).ok_or(RestoreError::BufferTooSmall { needed, got })?;
        let (body, checksum) =
            record.split_at_mut_checked(len).ok_or(RestoreError::BufferTooSmall { needed, got })?;
        let crc = crc32(&[body]).to_le_bytes();
        checksum.iter_mut().zip(crc).for_each(|(to, byte)| *to = byte);
        Ok(whole)
    }

    /// Reads a record. Behind [`RestoreError::Malformed`] nothing is learnt; behind any other error
    /// nothing has changed.
    pub(crate) fn restore(
        &mut self,
        model: &Model<'_>,
        record: &[u8],
    ) -> Result<Saved, RestoreError> {
        let at = record.len().checked_sub(CHECKSUM).ok_or(RestoreError::Checksum)?;
        let (body, checksum) = record.split_at_checked(at).ok_or(RestoreError::Checksum)?;
        if crc32(&[body]).to_le_bytes() != checksum {
            return Err(RestoreError::Checksum);
        }
        let mut reader = Reader::new(body);
        let found = u8::read(&mut reader);
        if found != VERSION {
            return Err(RestoreError::UnsupportedVersion { found });
        }
        let stated = u32::read(&mut reader);
        if stated != model.checksum() {
            return Err(RestoreError::OtherModel { stated, model: model.checksum() });
        }
        self.forget();
        let saved = self.read(&mut reader, model).filter(|_| reader.is_done());
        if saved.is_none() {
            self.forget();
        }
        saved.ok_or(RestoreError::Malformed)
    }

    /// Everything behind the head; `None` where a number is out of its range.
    fn read(&mut self, reader: &mut Reader<'_>, model: &Model<'_>) -> Option<Saved> {
        let windows = Read::read(reader);
        let judge = Judge::of_words(model.decision(), core::array::from_fn(|_| Read::read(reader)));
        let threshold = Option::<i64>::read(reader).map(Score);
        let own_threshold = Option::<i64>::read(reader).map(Score);
        let clear = Option::<i64>::read(reader).map(Score);
        let phase = u8::read(reader);
        let [first, second] = core::array::from_fn(|_| u32::read(reader));
        self.phase = match phase {
            0 => Phase::Rest,
            1 if first > 0 => Phase::Normalization { left: first, threshold: second },
            2 if first > 0 => Phase::Threshold { left: first },
            3 => Phase::Follow { since: first },
            _ => return None,
        };
        self.renormalized = Read::read(reader);
        if self.renormalized {
            let bound = model.offset_bound().unsigned_abs();
            let slots = self.offset.iter_mut().zip(&mut *self.multiplier).zip(&mut *self.shift);
            for ((offset, multiplier), shift) in slots {
                *offset = Read::read(reader);
                *multiplier = Read::read(reader);
                *shift = Read::read(reader);
                if offset.unsigned_abs() > bound || !valid_scale(*multiplier, *shift) {
                    return None;
                }
            }
        }
        self.observed = Read::read(reader);
        if self.observed > 0 {
            for moments in &mut *self.moments {
                moments.sum = Read::read(reader);
                moments.squares = core::array::from_fn(|_| Read::read(reader));
            }
        }
        for _ in 0..u32::read(reader).min(BINS as u32) {
            let bin = u8::read(reader);
            self.scores.set(bin.into(), Read::read(reader))?;
        }
        // What no sums could have come to.
        let bounded = self.observed < 1 << 32 && self.moments.iter().all(|m| m.is_bounded());
        bounded.then_some(Saved { windows, threshold, own_threshold, clear, judge })
    }
}
