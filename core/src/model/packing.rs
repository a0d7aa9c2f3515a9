//! Weight matrices in every packing: lengths, and each weight and number back.
//!
//! The host packs (`host-tools/src/emit/pack.rs`), the kernels read a packing in
//! their own way; this file reads all of them slowly, so that every target can
//! run every blob and the gate can check every number. `docs/kernels.md` draws
//! the layouts.

use super::blocks::{BLOCK, Group, Groups, base, is_four_bit, is_sparse, weights_len};
use super::layer::array;
use super::wire::LayerRecord;
use super::wire::packing::{
    CHAIN, FOUR_BIT, INTERLEAVED, NIBBLES, PAIR, REVERSED, ROW_MAJOR, SPARSE,
};
use crate::arena::ALIGNMENT;

/// Rows a group of every packed layout.
pub const GROUP: usize = 4;

/// `outputs` rows of `inputs` int8 weights with the numbers of each row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Columns.
    pub(super) inputs: u16,
    /// Rows.
    pub(super) outputs: u16,
    /// Packed weights; in every layout but row-major the row numbers lie among them.
    pub(super) weights: &'a [u8],
    /// Packing, flags, and where the row numbers of a row-major matrix are.
    pub(super) record: &'a LayerRecord,
    pub(super) payload: &'a [u8],
    /// Rows of earlier phases, whose numbers come first.
    pub(super) first: u16,
}

/// What belongs to one row beside its weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowNumbers {
    /// int32 bias, the input's zero point folded in.
    pub bias: i32,
    /// Q0.31 multiplier.
    pub multiplier: i32,
    /// Shift, negative to the right.
    pub shift: i8,
}

/// Columns of a packed row: the lane width divides it.
pub const fn padded_inputs(packing: u8, inputs: usize) -> usize {
    let lane = match packing {
        _ if is_sparse(packing) || base(packing) == INTERLEAVED => BLOCK,
        _ if packing == PAIR | FOUR_BIT => 8,
        _ if is_four_bit(packing) => 4,
        NIBBLES => 8,
        PAIR | REVERSED | CHAIN => 4,
        _ => 1,
    };
    inputs.saturating_add(lane - 1) & !(lane - 1)
}

/// Whether this build reads a packing.
pub const fn is_known(packing: u8) -> bool {
    let is_plain = cfg!(feature = "compressed-weights") || packing & (SPARSE | FOUR_BIT) == 0;
    let is_grouped = is_plain && group_len(packing & !SPARSE, 0).is_some();
    packing == ROW_MAJOR || reads(base(packing)) && (is_grouped || packing == NIBBLES)
}

/// Whether this build reads a packing and its forms: without `every-packing` its own alone, beside row-major.
pub(super) const fn reads(packing: u8) -> bool {
    cfg!(feature = "every-packing") || packing == crate::kernels::PACKING
}

/// Whether row numbers lie in the record's sections, not among the weights.
pub const fn has_numbers_apart(packing: u8) -> bool {
    matches!(packing, ROW_MAJOR | NIBBLES)
}

/// Bytes of a dense group of four packed rows; `None` for row-major, sparse and unknown packings.
#[inline]
pub const fn group_len(packing: u8, inputs: usize) -> Option<usize> {
    let weights = weights_len(packing, padded_inputs(packing, inputs));
    match packing & !FOUR_BIT {
        // Sums, weights, multipliers, shifts (one byte or one word a row).
        CHAIN | REVERSED => Some(weights + 36),
        PAIR | INTERLEAVED => Some(weights + 48),
        _ => None,
    }
}

/// Bytes of a whole dense matrix; `None` for other packings and lengths beyond the address space.
#[inline]
pub fn matrix_len(packing: u8, inputs: usize, outputs: usize) -> Option<usize> {
    match packing {
        ROW_MAJOR => return inputs.checked_mul(outputs),
        NIBBLES => return (padded_inputs(packing, inputs) / 2).checked_mul(outputs),
        _ => {}
    }
    group_len(packing, inputs)?.checked_mul(outputs.div_ceil(GROUP))
}

impl<'a> Matrix<'a> {
    /// The matrix of a record that has passed [`is_whole`](Self::is_whole), or is about to be asked.
    #[inline]
    pub(super) fn new(
        record: &'a LayerRecord,
        payload: &'a [u8],
        inputs: u16,
        outputs: u16,
    ) -> Option<Self> {
        let weights = record.weights.of(payload)?;
        Some(Self { inputs, outputs, weights, record, payload, first: 0 })
    }

    /// Whether there are rows, the bytes have exactly the packing's length and alignment, and
    /// all row numbers are there. The gate refuses every other matrix; kernels rely on it.
    pub(super) fn is_whole(&self) -> bool {
        let numbers = !has_numbers_apart(self.packing()) || self.row_major_numbers().is_some();
        let aligned =
            self.packing() == ROW_MAJOR || self.weights.as_ptr().addr().is_multiple_of(ALIGNMENT);
        let whole = self.len() == Some(self.weights.len()) && self.groups().is_sound();
        self.outputs != 0 && numbers && aligned && whole
    }

    /// Bytes that the weights should have; those of a sparse matrix tell it themselves.
    pub(super) fn len(&self) -> Option<usize> {
        if is_sparse(self.packing()) {
            return self.groups().start(self.outputs().div_ceil(GROUP));
        }
        matrix_len(self.packing(), self.inputs(), self.outputs())
    }

    /// The groups of every packing that has some.
    fn groups(&self) -> Groups<'a> {
        Groups {
            packing: self.packing(),
            bytes: self.weights,
            inputs: self.inputs(),
            outputs: self.outputs(),
        }
    }

    /// Where group `group` begins among the weights.
    #[allow(dead_code)]
    pub(crate) fn group_start(&self, group: usize) -> Option<usize> {
        self.groups().start(group)
    }

    /// Columns.
    #[inline]
    pub fn inputs(&self) -> usize {
        self.inputs.into()
    }

    /// Rows.
    #[inline]
    pub fn outputs(&self) -> usize {
        self.outputs.into()
    }

    /// The packed bytes; their length is [`matrix_len`].
    #[inline]
    pub fn weights(&self) -> &'a [u8] {
        self.weights
    }

    /// Biases, multipliers and shifts that lie apart from the weights, one a row each.
    #[allow(clippy::type_complexity)]
    pub(crate) fn row_major_numbers(&self) -> Option<(&'a [i32], &'a [i32], &'a [i8])> {
        let first = usize::from(self.first);
        let end = first + self.outputs();
        Some((
            array(self.payload, self.record.bias, end)?.get(first..)?,
            array(self.payload, self.record.multiplier, end)?.get(first..)?,
            array(self.payload, self.record.shift, end)?.get(first..)?,
        ))
    }

    /// Layout of the weights: [`packing`](super::wire::packing).
    #[inline]
    pub fn packing(&self) -> u8 {
        self.record.packing
    }

    /// [`flags`](super::wire::flags) of the layer.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.record.flags
    }

    /// The group that holds `row`, and the row's place in it.
    fn group(&self, row: usize) -> Option<(Group<'a>, usize)> {
        Some((self.groups().group(row / GROUP)?, row % GROUP))
    }

    /// The weight of `row` and `column` in any packing; 0 outside of the matrix.
    pub fn weight(&self, row: usize, column: usize) -> i8 {
        self.stored_weight(row, column).unwrap_or(0)
    }

    fn stored_weight(&self, row: usize, column: usize) -> Option<i8> {
        if row >= self.outputs() || column >= self.inputs() {
            return None;
        }
        if self.packing() == ROW_MAJOR {
            return self.weights.get(row * self.inputs() + column).map(|&byte| byte as i8);
        }
        if reads(NIBBLES) && self.packing() == NIBBLES {
            // Even columns in the lower half of their word, from its lowest nibble on; all plus 8.
            let start = row * padded_inputs(NIBBLES, self.inputs()) / 2 + column / 8 * 4;
            let (half, nibble) = (column % 2, column % 8 / 2);
            let byte = *self.weights.get(start + 2 * half + nibble / 2)?;
            return Some((byte >> (4 * (nibble % 2)) & 15) as i8 - 8);
        }
        let (group, lane) = self.group(row)?;
        // A block that is not there is zero.
        let (_, block) = group
            .blocks(self.inputs())
            .find(|&(first, _)| first <= column && column - first < BLOCK)?;
        self.weight_of(block, lane, column % BLOCK)
    }

    /// The weight at a column of a block of four rows.
    fn weight_of(&self, block: &[u8], lane: usize, column: usize) -> Option<i8> {
        let at = |index: usize| block.get(index).copied();
        let unsigned = |byte: u8| (byte ^ 0x80) as i8;
        if is_four_bit(self.packing()) {
            return self.nibble_of(block, lane, column);
        }
        match self.packing() & !SPARSE {
            // Step of four columns: words (pair 0: columns 0, 2), (1, 3), then pair 1; low byte unsigned.
            PAIR if reads(PAIR) => {
                let (step, of_step) = (column / 4, column % 4);
                let word = step * 4 + (lane / 2) * 2 + of_step % 2;
                let byte = at(word * 4 + (of_step / 2) * 2 + lane % 2)?;
                Some(if lane.is_multiple_of(2) { unsigned(byte) } else { byte as i8 })
            }
            // One word a column, row 0 lowest; only the highest byte is signed.
            CHAIN if reads(CHAIN) => {
                let byte = at(column * 4 + lane)?;
                Some(if lane == 3 { byte as i8 } else { unsigned(byte) })
            }
            REVERSED if reads(REVERSED) => at(column * 4 + lane).map(unsigned),
            INTERLEAVED if reads(INTERLEAVED) => at(lane * 16 + column).map(|byte| byte as i8),
            _ => None,
        }
    }

    /// `sum_i(weights[row][i] * input[i])` over the blocks that are there; 0 in packings without groups.
    pub(crate) fn dot_by_blocks(&self, row: usize, input: &[i8]) -> i32 {
        let Some((group, lane)) = self.group(row) else { return 0 };
        let input = input.get(..self.inputs()).unwrap_or(input);
        let mut sum = 0;
        for (first, block) in group.blocks(self.inputs()) {
            let activations = input.get(first..).unwrap_or(&[]).iter().take(BLOCK);
            for (column, &activation) in activations.enumerate() {
                let weight = self.weight_of(block, lane, column).unwrap_or(0);
                sum += i32::from(weight) * i32::from(activation);
            }
        }
        sum
    }

    /// Multiplier and shift of `row` without its bias, which takes a whole row to find in some packings.
    #[allow(dead_code)]
    pub(crate) fn scale(&self, row: usize) -> Option<RowNumbers> {
        if has_numbers_apart(self.packing()) {
            return self.numbers_apart(row);
        }
        let (group, lane) = self.group(row)?;
        let group = group.bytes;
        let word = |index: usize| {
            let bytes = group.get(index * 4..index * 4 + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let words = group.len() / 4;
        let (multiplier, shift) = match base(self.packing()) {
            INTERLEAVED if reads(INTERLEAVED) => (word(words - 8 + lane)?, word(words - 4 + lane)?),
            PAIR if reads(PAIR) => (word(words - 8 + lane)?, !word(words - 4 + lane)?),
            _ => {
                let byte = *group.get(group.len() - 4 + lane)?;
                (word(words - 5 + lane)?, i32::from(!byte as i8))
            }
        };
        let shift = i8::try_from(shift).ok()?;
        Some(RowNumbers { bias: 0, multiplier, shift })
    }

    /// The numbers of `row` where they lie apart from the weights.
    pub(crate) fn numbers_apart(&self, row: usize) -> Option<RowNumbers> {
        let (bias, multiplier, shift) = self.row_major_numbers()?;
        Some(RowNumbers {
            bias: *bias.get(row)?,
            multiplier: *multiplier.get(row)?,
            shift: *shift.get(row)?,
        })
    }

    /// The numbers of `row` in any packing; `None` outside of the matrix.
    pub fn numbers(&self, row: usize) -> Option<RowNumbers> {
        if row >= self.outputs() {
            return None;
        }
        if has_numbers_apart(self.packing()) {
            return self.numbers_apart(row);
        }
        let (group, lane) = self.group(row)?;
        let word = |index: usize| {
            let bytes = group.bytes.get(index * 4..index * 4 + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let bias = match self.packing() & !SPARSE {
            _ if is_four_bit(self.packing()) => self.four_bit_bias(group, lane)?,
            PAIR if reads(PAIR) => {
                // The sum of the upper row starts at 2 * bias - sum(w0 * w1) over its columns' pairs,
                // that of the lower row at 2 * bias + 512 * (bias of the upper one).
                let upper = word(lane | 1)?.wrapping_add(self.pair_products(group, lane | 1)?);
                if lane % 2 == 1 {
                    upper >> 1
                } else {
                    word(lane)?.wrapping_sub(upper.wrapping_shl(8)) >> 1
                }
            }
            CHAIN if reads(CHAIN) => {
                // B[k] - sum(products of row k) with B[k] = 2 * bias[k] + 256 * B[k + 1].
                let sum = |k: usize| Some(word(k)?.wrapping_add(self.chain_products(group, k)?));
                let above = if lane + 1 < GROUP { sum(lane + 1)? } else { 0 };
                sum(lane)?.wrapping_sub(above.wrapping_shl(8)) >> 1
            }
            REVERSED if reads(REVERSED) => {
                // bias - 128 * sum(w + 128) + 2^14 for each column
                let (mut sum, mut columns) = (0i32, 0);
                for (first, block) in group.blocks(self.inputs()) {
                    let unsigned = block.iter().skip(lane).step_by(GROUP);
                    sum += unsigned.map(|&byte| i32::from(byte)).sum::<i32>();
                    columns += self.inputs().saturating_sub(first).min(BLOCK);
                }
                word(group.bytes.len() / 4 - 9 + lane)?
                    .wrapping_add(sum.wrapping_mul(128))
                    .wrapping_sub((columns as i32).wrapping_mul(1 << 14))
            }
            _ => word(lane)?,
        };
        Some(RowNumbers { bias, ..self.scale(row)? })
    }

    /// `sum(w[2j] * w[2j + 1])` over a row with its padding, which may be of another row's making.
    fn pair_products(&self, group: Group<'a>, lane: usize) -> Option<i32> {
        let mut sum = 0i32;
        for (_, block) in group.blocks(self.inputs()) {
            for column in (0..block.len() / GROUP).step_by(2) {
                let (a, b) = (
                    self.weight_of(block, lane, column)?,
                    self.weight_of(block, lane, column + 1)?,
                );
                sum = sum.wrapping_add(i32::from(a) * i32::from(b));
            }
        }
        Some(sum)
    }

    /// The same over the words of a shift chain, each shifted right by `8 * k`.
    fn chain_products(&self, group: Group<'a>, k: usize) -> Option<i32> {
        let value = |bytes: &[u8]| Some(i32::from_le_bytes(bytes.try_into().ok()?) >> (8 * k));
        let mut sum = 0i32;
        for (_, block) in group.blocks(self.inputs()) {
            for pair in block.chunks_exact(8) {
                let (low, high) = pair.split_at_checked(4)?;
                sum = sum.wrapping_add(value(low)?.wrapping_mul(value(high)?));
            }
        }
        Some(sum)
    }
}
