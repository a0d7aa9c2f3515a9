//! Groups of four packed rows, and the blocks of sixteen columns in them.
//!
//! A dense group has every block. A sparse one (`SPARSE` beside its packing) has those that are not pruned, each
//! behind a word that says where its activations lie; a section of sparse groups starts with the number of blocks
//! of each. `docs/kernels.md` draws it; the gate walks all of it once ([`Groups::is_sound`]).

use super::packing::{GROUP, group_len, padded_inputs};
use super::wire::packing::{CHAIN, FOUR_BIT, INTERLEAVED, PAIR, REVERSED, SPARSE};

/// Columns of a block; its rows are those of the group.
pub const BLOCK: usize = 16;
/// Behind the last block of a group.
pub const END: i32 = -1;
/// Behind sixteen blocks of `REVERSED` where more follow: its sums would leave their range.
pub const FLUSH: i32 = -2;
/// Blocks from one [`FLUSH`] to the next.
pub const FLUSHED: usize = 16;

/// Bytes that the weights of so many columns take in a group.
pub const fn weights_len(packing: u8, columns: usize) -> usize {
    if is_four_bit(packing) { columns * GROUP / 2 } else { columns * GROUP }
}

/// Bytes of a block of a sparse group with its word.
const fn sparse_block_len(packing: u8) -> usize {
    weights_len(packing, BLOCK) + 4
}

/// Whether a packing leaves pruned blocks out; none does where this build reads none.
pub const fn is_sparse(packing: u8) -> bool {
    cfg!(feature = "compressed-weights") && packing & SPARSE != 0
}

/// Whether weights have 4 bits, in groups of rows; none have where this build reads none.
pub const fn is_four_bit(packing: u8) -> bool {
    cfg!(feature = "compressed-weights") && packing & FOUR_BIT != 0
}

/// The packing without its marks.
pub const fn base(packing: u8) -> u8 {
    packing & !(SPARSE | FOUR_BIT)
}

/// The packing of the blocks themselves.
pub const fn dense(packing: u8) -> u8 {
    packing & !SPARSE
}

/// Bytes from one block of activations to the next in the scratch of the packing's kernel; the word of a block
/// holds its place times this.
pub const fn stride(packing: u8) -> usize {
    match base(packing) {
        CHAIN if is_four_bit(packing) => BLOCK + 4,
        // 16-bit activations, beside two words that undo what the kernel sums too much.
        PAIR | CHAIN => 2 * BLOCK + 8,
        REVERSED => BLOCK + 4,
        _ => BLOCK,
    }
}

/// Bytes of a sparse group of `count` blocks; `None` for packings without groups.
pub const fn sparse_group_len(packing: u8, count: usize) -> Option<usize> {
    let Some(numbers) = group_len(dense(packing), 0) else { return None };
    // Beside the words of the blocks: the end of the group, or the number of its blocks.
    let ends = match dense(packing) {
        // Sums of 4-bit weights stay in their range.
        REVERSED if count > 0 => count.div_ceil(FLUSHED),
        _ => 1,
    };
    Some(numbers + count * sparse_block_len(packing) + ends * 4)
}

/// Bytes of the numbers of blocks that a sparse section of `outputs` rows starts with.
pub const fn table_len(outputs: usize) -> usize {
    (outputs.div_ceil(GROUP) * 2).next_multiple_of(4)
}

/// A section that is made of groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups<'a> {
    pub packing: u8,
    pub bytes: &'a [u8],
    pub inputs: usize,
    pub outputs: usize,
}

/// Four rows of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    packing: u8,
    pub bytes: &'a [u8],
    /// Blocks that are there.
    count: usize,
}

impl<'a> Groups<'a> {
    /// Blocks of a sparse group, as the section's start has it.
    fn count(&self, group: usize) -> Option<usize> {
        let bytes = self.bytes.get(2 * group..2 * group + 2)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?).into())
    }

    /// Bytes of the section before group `group`; of the whole of it for the one behind the last.
    pub fn start(&self, group: usize) -> Option<usize> {
        if !is_sparse(self.packing) {
            return group_len(self.packing, self.inputs)?.checked_mul(group);
        }
        (0..group).try_fold(table_len(self.outputs), |start, group| {
            start.checked_add(sparse_group_len(self.packing, self.count(group)?)?)
        })
    }

    /// One of the groups.
    pub fn group(&self, group: usize) -> Option<Group<'a>> {
        let start = self.start(group)?;
        let (len, count) = if is_sparse(self.packing) {
            let count = self.count(group)?;
            (sparse_group_len(self.packing, count)?, count)
        } else {
            (group_len(self.packing, self.inputs)?, self.inputs.div_ceil(BLOCK))
        };
        let bytes = self.bytes.get(start..start.checked_add(len)?)?;
        Some(Group { packing: self.packing, bytes, count })
    }

    /// Whether the words of every sparse group are what a kernel follows without looking: its blocks ascend and lie
    /// in the row, and the words between and behind them are where it expects them.
    pub fn is_sound(&self) -> bool {
        !is_sparse(self.packing)
            || (0..self.outputs.div_ceil(GROUP)).all(|group| {
                self.group(group).is_some_and(|group| group.is_sound(self.inputs.div_ceil(BLOCK)))
            })
    }
}

impl<'a> Group<'a> {
    /// A word, little-endian.
    pub fn word(&self, at: usize) -> Option<i32> {
        Some(i32::from_le_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    /// Where block `index` lies, with its word if the group is sparse.
    fn at(&self, index: usize) -> usize {
        let packing = self.packing;
        let sums = if base(packing) == REVERSED { 0 } else { 16 };
        if !is_sparse(packing) {
            return sums + index * weights_len(packing, BLOCK);
        }
        let words = match dense(packing) {
            REVERSED => index / FLUSHED * 4,
            _ if base(packing) == INTERLEAVED => 4,
            _ => 0,
        };
        sums + words + index * sparse_block_len(packing)
    }

    /// Block `index` of those that are there: its place in the row and its bytes; the last of a dense row may be shorter.
    fn block(&self, index: usize, padded: usize) -> Option<(usize, &'a [u8])> {
        let at = self.at(index);
        if !is_sparse(self.packing) {
            let columns = BLOCK.min(padded.checked_sub(index * BLOCK)?);
            let len = weights_len(self.packing, columns);
            return Some((index, self.bytes.get(at..at + len)?));
        }
        let place = usize::try_from(self.word(at)?).ok()?.checked_div(stride(self.packing))?;
        Some((place, self.bytes.get(at + 4..at + sparse_block_len(self.packing))?))
    }

    /// First column and bytes of every block that is there, in order.
    pub fn blocks(self, inputs: usize) -> impl Iterator<Item = (usize, &'a [u8])> {
        let padded = padded_inputs(self.packing, inputs);
        (0..self.count).map_while(move |index| {
            let (place, bytes) = self.block(index, padded)?;
            Some((place * BLOCK, bytes))
        })
    }

    /// See [`Groups::is_sound`].
    fn is_sound(&self, places: usize) -> bool {
        let (mut next, stride) = (0, stride(self.packing));
        let ascend = (0..self.count).all(|index| {
            let word = self.word(self.at(index)).and_then(|word| usize::try_from(word).ok());
            let sound = word.is_some_and(|word| {
                word.is_multiple_of(stride) && (next..places).contains(&(word / stride))
            });
            next = word.map_or(0, |word| word / stride + 1);
            sound
        });
        let flushed = dense(self.packing) != REVERSED
            || (1..self.count.div_ceil(FLUSHED))
                .all(|flush| self.word(self.at(flush * FLUSHED) - 4) == Some(FLUSH));
        let end = match dense(self.packing) {
            _ if base(self.packing) == INTERLEAVED => self.word(16) == Some(self.count as i32),
            // The last block's successor would lie behind one more flush.
            REVERSED if self.count > 0 && self.count.is_multiple_of(FLUSHED) => {
                self.word(self.at(self.count) - 4) == Some(END)
            }
            _ => self.word(self.at(self.count)) == Some(END),
        };
        ascend && flushed && end
    }
}
