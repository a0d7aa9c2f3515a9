//! Cortex-M4, M7 and M33: rows of 4-bit weights, two at a time.
//!
//! A word holds eight columns as unsigned nibbles (`w + 8`); a mask with a shifted operand takes a pair of
//! neighbours out of it for `SMLAD`: 21 instructions for 16 MACs, half the flash of int8. Sums are
//! 8 times the activations' too large; requantization is the portable one.
#![allow(unsafe_code)]

use core::arch::global_asm;

use super::{OutputBuffer, write};
use crate::fixed::Rounding;
use crate::model::packing::padded_inputs;
use crate::model::wire::packing::NIBBLES;
use crate::model::{Matrix, Output, RowNumbers};

unsafe extern "C" {
    /// Sums of two rows, the first one in the low word: `steps` words of each row meet eight activations a word.
    fn picovae_nibbles(row: *const u8, other: *const u8, wide: *const i16, end: *const i16) -> u64;
}

/// See [`kernels::product`](super::product); `None` on another packing or without scratch.
pub(super) fn product(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) -> Option<()> {
    if matrix.packing() != NIBBLES || matrix.inputs() == 0 {
        return None;
    }
    let columns = padded_inputs(NIBBLES, matrix.inputs());
    let input = input.get(..matrix.inputs())?;
    let wide: &mut [i16] = bytemuck::try_cast_slice_mut(scratch.get_mut(..2 * columns)?).ok()?;
    if !wide.as_ptr().addr().is_multiple_of(4) {
        return None;
    }
    let mut sum = 0;
    let mut values = input.iter();
    for to in wide.iter_mut() {
        let value = values.next().copied().map_or(0, i16::from);
        *to = value;
        sum += i32::from(value);
    }
    let wide = wide.as_ptr_range();
    let (bias, multiplier, shift) = matrix.row_major_numbers()?;
    let mut scales = bias.iter().zip(multiplier).zip(shift);
    let mut rows = matrix.weights().chunks_exact(columns / 2);
    for row in (0..matrix.outputs()).step_by(2) {
        let first = rows.next()?;
        let second = rows.next().unwrap_or(first);
        // SAFETY: both rows have a word, aligned (the gate), for eight activations of `wide`, at least one.
        let sums =
            unsafe { picovae_nibbles(first.as_ptr(), second.as_ptr(), wide.start, wide.end) };
        for (row, raw) in [(row, sums as i32), (row + 1, (sums >> 32) as i32)] {
            // None behind the last row of an odd number.
            let Some(((&bias, &multiplier), &shift)) = scales.next() else { break };
            let numbers = RowNumbers { bias, multiplier, shift };
            write(output, rounding, numbers, bias.wrapping_add(raw - 8 * sum), row, out);
        }
    }
    Some(())
}

global_asm!(
    env!("PICOVAE_CPU"),
    r#"
    .syntax unified

    .macro PICOVAE_NIBBLES_ROW word, sum
    and     r12, r9, \word
    smlad   \sum, r12, r4, \sum
    and     r12, r9, \word, lsr #4
    smlad   \sum, r12, r5, \sum
    and     r12, r9, \word, lsr #8
    smlad   \sum, r12, r6, \sum
    and     r12, r9, \word, lsr #12
    smlad   \sum, r12, r7, \sum
    .endm

    .section .text.picovae_nibbles, "ax", %progbits
    .p2align 2
    .global picovae_nibbles
    .type picovae_nibbles, %function
    .thumb_func
picovae_nibbles:
    push    {{r4-r11, lr}}
    mov     r9, #0x000f000f
    mov     r10, #0
    mov     r11, #0
1:
    ldm     r2!, {{r4-r7}}
    ldr     r8, [r0], #4
    ldr     lr, [r1], #4
    PICOVAE_NIBBLES_ROW r8, r10
    PICOVAE_NIBBLES_ROW lr, r11
    cmp     r2, r3
    bne     1b
    mov     r0, r10
    mov     r1, r11
    pop     {{r4-r11, pc}}
    .text
    .purgem PICOVAE_NIBBLES_ROW
"#
);
