//! Weight matrices in every packing: lengths, and each weight and number back.
//!
//! The host packs (`host-tools/src/emit/pack.rs`), the kernels read a packing in
//! their own way; this file reads all of them slowly, so that every target can
//! run every blob and the gate can check every number. `docs/kernels.md` draws
//! the layouts.

use super::geometry::Geometry;
use super::layer::array;
use super::wire::LayerRecord;
use super::wire::packing::{CHAIN, INTERLEAVED, NIBBLES, PAIR, REVERSED, ROW_MAJOR};
use crate::arena::{ALIGNMENT, align_up};

/// Rows a group of every packed layout.
pub const GROUP: usize = 4;

/// `outputs` rows of `inputs` int8 weights with the numbers of each row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Columns.
    inputs: u16,
    /// Rows.
    outputs: u16,
    /// Packed weights; in every layout but row-major the row numbers lie among them.
    weights: &'a [u8],
    /// Packing, flags, and where the row numbers of a row-major matrix are.
    record: &'a LayerRecord,
    payload: &'a [u8],
    /// Rows of earlier phases, whose numbers come first.
    first: u16,
}

/// The matrices of a transposed convolution, one a phase of the strides.
#[derive(Clone, Copy, Debug)]
pub struct Phases<'a> {
    pub(super) record: &'a LayerRecord,
    pub(super) payload: &'a [u8],
}

impl<'a> Phases<'a> {
    /// Shapes, kernel, stride and padding.
    pub fn geometry(&self) -> Geometry<'a> {
        Geometry(self.record)
    }

    /// Columns of the largest phase.
    pub fn max_inputs(&self) -> usize {
        let geometry = self.geometry();
        let taps = geometry.length().taps(0) * geometry.width().taps(0);
        taps as usize * geometry.in_channels()
    }

    /// The matrix of a phase; `None` where the record has none.
    pub fn matrix(&self, length: i32, width: i32) -> Option<Matrix<'a>> {
        let mut found = None;
        self.each(|phase, matrix| {
            if phase == [length, width] {
                found = Some(matrix);
            }
        })?;
        found
    }

    /// Calls `visit` with every phase in order of storage, width innermost.
    pub(super) fn each(&self, mut visit: impl FnMut([i32; 2], Matrix<'a>)) -> Option<()> {
        let record = self.record;
        let geometry = self.geometry();
        let weights = record.weights.of(self.payload)?;
        let [.., outputs] = record.out_shape;
        let (mut start, mut first) = (0usize, 0u16);
        for length in 0..geometry.length().stride {
            for width in 0..geometry.width().stride {
                let taps = geometry.length().taps(length) * geometry.width().taps(width);
                let inputs = u16::try_from(taps as usize * geometry.in_channels()).ok()?;
                let len = matrix_len(record.packing, inputs.into(), outputs.into())?;
                let end = start.checked_add(len)?;
                let matrix = Matrix {
                    inputs,
                    outputs,
                    weights: weights.get(start..end)?,
                    record,
                    payload: self.payload,
                    first,
                };
                visit([length, width], matrix);
                start = align_up(end);
                first = first.checked_add(outputs)?;
            }
        }
        Some(())
    }
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
        INTERLEAVED => 16,
        NIBBLES => 8,
        PAIR | REVERSED | CHAIN => 4,
        _ => 1,
    };
    inputs.saturating_add(lane - 1) & !(lane - 1)
}

/// Whether this version reads a packing.
pub const fn is_known(packing: u8) -> bool {
    matches!(packing, ROW_MAJOR | PAIR | CHAIN | REVERSED | INTERLEAVED | NIBBLES)
}

/// Whether row numbers lie in the record's sections, not among the weights.
pub const fn has_numbers_apart(packing: u8) -> bool {
    matches!(packing, ROW_MAJOR | NIBBLES)
}

/// Bytes of a group of four packed rows; `None` for row-major and unknown packings.
#[inline]
pub const fn group_len(packing: u8, inputs: usize) -> Option<usize> {
    let weights = padded_inputs(packing, inputs) * GROUP;
    match packing {
        // Sums, weights, multipliers, shifts (one byte or one word a row).
        CHAIN | REVERSED => Some(weights + 36),
        PAIR | INTERLEAVED => Some(weights + 48),
        _ => None,
    }
}

/// Bytes of a whole matrix; `None` for unknown packings and lengths beyond the address space.
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
        let len = matrix_len(self.packing(), self.inputs(), self.outputs());
        let numbers = !has_numbers_apart(self.packing()) || self.row_major_numbers().is_some();
        let aligned =
            self.packing() == ROW_MAJOR || self.weights.as_ptr().addr().is_multiple_of(ALIGNMENT);
        self.outputs != 0 && numbers && aligned && len == Some(self.weights.len())
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

    /// The bytes of the group that holds `row`, and the row's place in it.
    fn group(&self, row: usize) -> Option<(&'a [u8], usize)> {
        let len = group_len(self.packing(), self.inputs())?;
        let start = (row / GROUP).checked_mul(len)?;
        Some((self.weights.get(start..start.checked_add(len)?)?, row % GROUP))
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
        if self.packing() == NIBBLES {
            // Even columns in the lower half of their word, from its lowest nibble on; all plus 8.
            let start = row * padded_inputs(NIBBLES, self.inputs()) / 2 + column / 8 * 4;
            let (half, nibble) = (column % 2, column % 8 / 2);
            let byte = *self.weights.get(start + 2 * half + nibble / 2)?;
            return Some((byte >> (4 * (nibble % 2)) & 15) as i8 - 8);
        }
        self.packed_weight(row, column)
    }

    /// Also reaches the padding of packed rows and columns.
    fn packed_weight(&self, row: usize, column: usize) -> Option<i8> {
        let (group, lane) = self.group(row)?;
        let at = |index: usize| group.get(index).copied();
        let unsigned = |byte: u8| (byte ^ 0x80) as i8;
        match self.packing() {
            // Step of four columns: words (pair 0: columns 0, 2), (1, 3), then pair 1; low byte unsigned.
            PAIR => {
                let (step, of_step) = (column / 4, column % 4);
                let word = 4 + step * 4 + (lane / 2) * 2 + of_step % 2;
                let byte = at(word * 4 + (of_step / 2) * 2 + lane % 2)?;
                Some(if lane % 2 == 0 { unsigned(byte) } else { byte as i8 })
            }
            // One word a column, row 0 lowest; only the highest byte is signed.
            CHAIN => {
                let byte = at(16 + column * 4 + lane)?;
                Some(if lane == 3 { byte as i8 } else { unsigned(byte) })
            }
            REVERSED => at(column * 4 + lane).map(unsigned),
            INTERLEAVED => {
                at(16 + (column / 16) * 64 + lane * 16 + column % 16).map(|byte| byte as i8)
            }
            _ => None,
        }
    }

    /// Multiplier and shift of `row` without its bias, which takes a whole row to find in some packings.
    #[allow(dead_code)]
    pub(crate) fn scale(&self, row: usize) -> Option<RowNumbers> {
        if has_numbers_apart(self.packing()) {
            return self.numbers(row);
        }
        let (group, lane) = self.group(row)?;
        let word = |index: usize| {
            let bytes = group.get(index * 4..index * 4 + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let words = group.len() / 4;
        let (multiplier, shift) = match self.packing() {
            INTERLEAVED => (word(words - 8 + lane)?, word(words - 4 + lane)?),
            PAIR => (word(words - 8 + lane)?, !word(words - 4 + lane)?),
            _ => {
                let byte = *group.get(group.len() - 4 + lane)?;
                (word(words - 5 + lane)?, i32::from(!byte as i8))
            }
        };
        let shift = i8::try_from(shift).ok()?;
        Some(RowNumbers { bias: 0, multiplier, shift })
    }

    /// The numbers of `row` in any packing; `None` outside of the matrix.
    pub fn numbers(&self, row: usize) -> Option<RowNumbers> {
        if row >= self.outputs() {
            return None;
        }
        if has_numbers_apart(self.packing()) {
            let (bias, multiplier, shift) = self.row_major_numbers()?;
            return Some(RowNumbers {
                bias: *bias.get(row)?,
                multiplier: *multiplier.get(row)?,
                shift: *shift.get(row)?,
            });
        }
        let (group, lane) = self.group(row)?;
        let word = |index: usize| {
            let bytes = group.get(index * 4..index * 4 + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let columns = padded_inputs(self.packing(), self.inputs());
        let bias = match self.packing() {
            PAIR => {
                // The sum of the upper row starts at 2 * bias - sum(w0 * w1) over its columns' pairs,
                // that of the lower row at 2 * bias + 512 * (bias of the upper one).
                let upper = word(lane | 1)?.wrapping_add(self.pair_products(row | 1, columns)?);
                if lane % 2 == 1 {
                    upper >> 1
                } else {
                    word(lane)?.wrapping_sub(upper.wrapping_shl(8)) >> 1
                }
            }
            CHAIN => {
                // B[k] - sum(products of row k) with B[k] = 2 * bias[k] + 256 * B[k + 1].
                let sum =
                    |k: usize| Some(word(k)?.wrapping_add(self.chain_products(group, k, columns)?));
                let above = if lane + 1 < GROUP { sum(lane + 1)? } else { 0 };
                sum(lane)?.wrapping_sub(above.wrapping_shl(8)) >> 1
            }
            REVERSED => {
                // bias - 128 * sum(w + 128) + inputs * 2^14
                let unsigned = |column| Some(i32::from(*group.get(column * 4 + lane)?));
                let sum = (0..columns).try_fold(0i32, |sum, c| Some(sum + unsigned(c)?))?;
                word(columns + lane)?
                    .wrapping_add(sum.wrapping_mul(128))
                    .wrapping_sub(i32::from(self.inputs).wrapping_mul(1 << 14))
            }
            _ => word(lane)?,
        };
        Some(RowNumbers { bias, ..self.scale(row)? })
    }

    /// `sum(w[2j] * w[2j + 1])` over a row with its padding, which may be of another row's making.
    fn pair_products(&self, row: usize, columns: usize) -> Option<i32> {
        (0..columns / 2).try_fold(0i32, |sum, j| {
            let (a, b) = (self.packed_weight(row, 2 * j)?, self.packed_weight(row, 2 * j + 1)?);
            Some(sum.wrapping_add(i32::from(a) * i32::from(b)))
        })
    }

    /// The same over the words of a shift chain, each shifted right by `8 * k`.
    fn chain_products(&self, group: &[u8], k: usize, columns: usize) -> Option<i32> {
        let value = |column: usize| {
            let bytes = group.get(16 + column * 4..20 + column * 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?) >> (8 * k))
        };
        (0..columns / 2).try_fold(0i32, |sum, j| {
            Some(sum.wrapping_add(value(2 * j)?.wrapping_mul(value(2 * j + 1)?)))
        })
    }
}
