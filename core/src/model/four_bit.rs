//! Weights of 4 bits in groups of four rows (`FOUR_BIT` beside their packing): each weight and bias back.

use super::blocks::{BLOCK, Group, base};
use super::packing::{Matrix, reads};
use super::wire::packing::{CHAIN, INTERLEAVED, PAIR, REVERSED};

impl<'a> Matrix<'a> {
    /// The weight at a column of a block: those of the upper rows of a pair may be signed, all others are `w + 8`.
    pub(super) fn nibble_of(&self, block: &[u8], lane: usize, column: usize) -> Option<i8> {
        let (index, high) = match base(self.packing()) {
            // As with 8 bits; four columns in the upper nibbles, the next four in the lower ones.
            PAIR if reads(PAIR) => {
                let (step, of_step) = (column / 8, column % 4);
                let word = step * 4 + (lane / 2) * 2 + of_step % 2;
                (word * 4 + (of_step / 2) * 2 + lane % 2, column % 8 < 4)
            }
            // Sixteen columns of rows 0 and 1, then of rows 2 and 3.
            INTERLEAVED if reads(INTERLEAVED) => (lane / 2 * 16 + column, lane % 2 == 1),
            // A word for two columns: rows 0 and 1 of the first in its halves, 2 and 3 above them, then the second.
            _ if !reads(CHAIN) && !reads(REVERSED) => return None,
            _ => (column / 2 * 4 + column % 2 + lane % 2 * 2, lane / 2 == 1),
        };
        let byte = *block.get(index)?;
        let nibble = if high { byte >> 4 } else { byte & 15 } as i8;
        let is_signed = high && lane % 2 == 1 && matches!(base(self.packing()), PAIR | INTERLEAVED);
        Some(if is_signed { (nibble << 4) >> 4 } else { nibble - 8 })
    }

    /// The bias of a row of 4-bit weights.
    pub(super) fn four_bit_bias(&self, group: Group<'a>, lane: usize) -> Option<i32> {
        let sum = |lane: usize| group.word(4 * lane);
        Some(match base(self.packing()) {
            PAIR if reads(PAIR) => {
                // As with 8 bits, all times 16; neighbours are bytes, then their lower nibbles.
                let mut upper = sum(lane | 1)?;
                for (_, block) in group.blocks(self.inputs()) {
                    for step in block.chunks_exact(16) {
                        for half in [0, 2] {
                            let at = lane / 2 * 8 + half + 1;
                            let (a, b) = (*step.get(at)? as i8, *step.get(at + 4)? as i8);
                            let product = |a: i8, b: i8| i32::from(a) * i32::from(b);
                            upper = upper.wrapping_add(product(a, b) + product(a & 15, b & 15));
                        }
                    }
                }
                if lane % 2 == 1 { upper >> 5 } else { sum(lane)?.wrapping_sub(upper << 8) >> 5 }
            }
            // Upper rows: 16 * bias + that of the row below.
            INTERLEAVED if reads(INTERLEAVED) && lane % 2 == 1 => {
                sum(lane)?.wrapping_sub(sum(lane - 1)?) >> 4
            }
            INTERLEAVED if reads(INTERLEAVED) => sum(lane)?,
            packing if reads(CHAIN) || reads(REVERSED) => {
                // bias - 128 * sum(w + 8) + 2^10 for each column
                let (mut weights, mut columns) = (0, 0);
                for (first, block) in group.blocks(self.inputs()) {
                    let real = self.inputs().saturating_sub(first).min(BLOCK);
                    for column in 0..real {
                        weights += i32::from(self.nibble_of(block, lane, column)?) + 8;
                    }
                    columns += real;
                }
                let at = if packing == REVERSED { group.bytes.len() - 36 } else { 0 };
                group
                    .word(at + 4 * lane)?
                    .wrapping_add(weights * 128)
                    .wrapping_sub(columns as i32 * (1 << 10))
            }
            _ => return None,
        })
    }
}
