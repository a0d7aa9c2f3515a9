//! Cortex-M4, M7 and M33 with the DSP extension: pair packing and SMLAD.
//!
//! A 16-bit half of a word holds `256 * w1 + (w0 + 128)` of two rows, a word two
//! columns. `SMLAD` on the raw word sums `T = 256*S1 + S0 + 128*sum(a)`;
//! `SXTAB16` unpacks the upper row and adds the neighbour's activation at once,
//! so one more `SMLAD` sums Winograd's `(a1 + w0)(a0 + w1)`: eight MACs in five
//! instructions. Activations are doubled when they are widened, so that sums
//! arrive doubled, as `SMMULR` wants them. All sums are exact modulo 2^32;
//! `parse` proves `|acc| < 2^30`, so a doubled one fits.
#![allow(unsafe_code)]

use core::arch::global_asm;

use super::{OutputBuffer, finish, write};
use crate::fixed::Rounding;
use crate::model::packing::{GROUP, group_len, padded_inputs};
use crate::model::wire::{flags, packing};
use crate::model::{Matrix, Output};

pub(super) const NAME: &str = "armv7em";
pub(super) const PACKING: u8 = packing::PAIR;

/// What the row loop needs; the assembly reads it in this order.
#[repr(C)]
struct Frame {
    /// `-256 * sum(a)`: what the unsigned lower rows have too much.
    unsigned_excess: i32,
    /// `4 * sum(a[2j] * a[2j + 1])`.
    pair_products: i32,
    columns: *const u8,
    columns_end: *const u8,
    /// Steps of four columns to leave out of the first round of the unrolled loop.
    skip: usize,
    epilogue: unsafe extern "C" fn(),
    /// `2 * zero_point + 1`: zero point and half a unit, to be shifted by `right - 1`.
    offset: i32,
    out: *mut u8,
    out_end: *mut u8,
    weights: *const u8,
}

unsafe extern "C" {
    /// Widens and doubles `len` activations into steps of four (columns 0, 2 and 1, 3),
    /// zeros behind them; returns the two sums of [`Frame`], the first one low.
    fn picovae_pair_widen(input: *const i8, columns: *mut u8, len: usize) -> u64;
    /// All groups of four rows until `out_end`.
    fn picovae_pair_rows(frame: *const Frame);
    fn picovae_pair_int8_double();
    fn picovae_pair_int8_single();
    fn picovae_pair_int16_double();
    fn picovae_pair_int16_single();
    fn picovae_pair_raw();
}

/// See [`kernels::product`](super::product); `false` where another packing or alignment came.
#[inline]
pub(super) fn product(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) -> bool {
    let (inputs, outputs) = (matrix.inputs, matrix.outputs);
    let columns = padded_inputs(packing::PAIR, inputs);
    let usable = matrix.packing == packing::PAIR
        && inputs != 0
        && input.len() >= inputs
        && scratch.len() >= 2 * columns
        && scratch.as_ptr().addr().is_multiple_of(4)
        && out.len() >= outputs;
    let Some(group_len) = group_len(packing::PAIR, inputs) else {
        return false;
    };
    if !usable {
        return false;
    }
    let columns_start = scratch.as_mut_ptr();
    // SAFETY: `input` has `inputs` bytes, `scratch` two bytes for each padded column, 4-byte aligned.
    let sums = unsafe { picovae_pair_widen(input.as_ptr(), columns_start, inputs) };
    let mut frame = Frame {
        unsigned_excess: sums as i32,
        pair_products: (sums >> 32) as i32,
        columns: columns_start,
        columns_end: columns_start.wrapping_add(2 * columns),
        skip: (columns / 4).wrapping_neg() % 4,
        epilogue: picovae_pair_raw,
        offset: 1,
        out: columns_start,
        out_end: columns_start,
        weights: matrix.weights.as_ptr(),
    };
    let full = outputs / GROUP;
    let tail = outputs % GROUP;
    if matrix.flags & flags::RIGHT_SHIFTS == 0 {
        general(matrix, output, rounding, out, frame, group_len);
        return true;
    }
    let double = rounding == Rounding::Double;
    match (out, output) {
        (OutputBuffer::Int8(out), &Output::Int8 { zero_point, .. }) => {
            frame.epilogue =
                if double { picovae_pair_int8_double } else { picovae_pair_int8_single };
            frame.offset = 2 * i32::from(zero_point) + 1;
            frame.out = out.as_mut_ptr().cast();
            frame.out_end = frame.out.wrapping_add(full * GROUP);
            if full != 0 {
                // SAFETY: the matrix has `full` groups (LayerView checked its length), `out` as many rows of 1 byte.
                unsafe { picovae_pair_rows(&frame) };
            }
            if tail != 0 {
                let mut last = [0i8; GROUP];
                frame.weights = frame.weights.wrapping_add(full * group_len);
                frame.out = last.as_mut_ptr().cast();
                frame.out_end = frame.out.wrapping_add(GROUP);
                // SAFETY: one more, padded group follows; `last` takes its four rows.
                unsafe { picovae_pair_rows(&frame) };
                for (out, &last) in out.iter_mut().skip(full * GROUP).zip(&last).take(tail) {
                    *out = last;
                }
            }
            finish(output, out.get_mut(..outputs).unwrap_or_default());
        }
        (OutputBuffer::Int16(out), _) => {
            frame.epilogue =
                if double { picovae_pair_int16_double } else { picovae_pair_int16_single };
            frame.out = out.as_mut_ptr().cast();
            frame.out_end = frame.out.wrapping_add(2 * full * GROUP);
            if full != 0 {
                // SAFETY: as above, with 2 bytes a row.
                unsafe { picovae_pair_rows(&frame) };
            }
            if tail != 0 {
                let mut last = [0i16; GROUP];
                frame.weights = frame.weights.wrapping_add(full * group_len);
                frame.out = last.as_mut_ptr().cast();
                frame.out_end = frame.out.wrapping_add(2 * GROUP);
                // SAFETY: as above, with 2 bytes a row.
                unsafe { picovae_pair_rows(&frame) };
                for (out, &last) in out.iter_mut().skip(full * GROUP).zip(&last).take(tail) {
                    *out = last;
                }
            }
        }
        (OutputBuffer::Int8(_), Output::Int16) => {}
    }
    true
}

/// Shifts that the short requantization does not cover: sums from the assembly, the rest from the specification.
#[cold]
fn general(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    out: &mut OutputBuffer<'_>,
    mut frame: Frame,
    group_len: usize,
) {
    for first in (0..matrix.outputs).step_by(GROUP) {
        let mut sums = [0i32; GROUP];
        frame.out = sums.as_mut_ptr().cast();
        frame.out_end = frame.out.wrapping_add(size_of_val(&sums));
        // SAFETY: the group exists (LayerView checked the length), `sums` takes its four sums.
        unsafe { picovae_pair_rows(&frame) };
        frame.weights = frame.weights.wrapping_add(group_len);
        for (row, sum) in (first..matrix.outputs).zip(sums) {
            if let Some(numbers) = matrix.scale(row) {
                write(output, rounding, numbers, sum, row, out);
            }
        }
    }
}

global_asm!(
    env!("PICOVAE_CPU"),
    r#"
    .syntax unified

    .macro PICOVAE_PAIR_WIDEN_WORD
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sadd16  r5, r5, r5
    sadd16  r4, r4, r4
    smlad   r12, r4, r5, r12
    smlad   r3, r4, r8, r3
    smlad   r3, r5, r8, r3
    stm     r1!, {{r4, r5}}
    .endm

    .section .text.picovae_pair_widen, "ax", %progbits
    .p2align 2
    .global picovae_pair_widen
    .type picovae_pair_widen, %function
    .thumb_func
picovae_pair_widen:
    push    {{r4-r8, lr}}
    movs    r3, #0
    mov     r12, #0
    mov     r8, #0x00010001
    subs    r2, #8
    blt     2f
1:
    ldr     r4, [r0], #4
    ldr     r6, [r0], #4
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    sadd16  r4, r4, r4
    sadd16  r5, r5, r5
    sadd16  r6, r6, r6
    sadd16  r7, r7, r7
    stm     r1!, {{r4-r7}}
    smlad   r12, r4, r5, r12
    smlad   r12, r6, r7, r12
    sadd16  r4, r4, r5
    sadd16  r6, r6, r7
    sadd16  r4, r4, r6
    smlad   r3, r4, r8, r3
    subs    r2, #8
    bge     1b
2:
    adds    r2, #4
    blt     3f
    ldr     r4, [r0], #4
    PICOVAE_PAIR_WIDEN_WORD
    subs    r2, #4
3:
    adds    r2, #4
    beq     4f
    ldrb    r4, [r0]
    cmp     r2, #2
    itt     ge
    ldrbge  r5, [r0, #1]
    orrge   r4, r4, r5, lsl #8
    itt     gt
    ldrbgt  r5, [r0, #2]
    orrgt   r4, r4, r5, lsl #16
    PICOVAE_PAIR_WIDEN_WORD
4:
    lsls    r0, r3, #7
    rsbs    r0, r0, #0
    mov     r1, r12
    pop     {{r4-r8, pc}}

    .macro PICOVAE_PAIR_STEP
    ldm     r8!, {{r4, r5, r6, r7}}
    ldm     r9!, {{r10, r11}}
    smlad   r0, r4, r10, r0
    smlad   r0, r5, r11, r0
    sxtab16 r4, r11, r4, ror #8
    sxtab16 r5, r10, r5, ror #8
    smlad   r1, r4, r5, r1
    smlad   r2, r6, r10, r2
    smlad   r2, r7, r11, r2
    sxtab16 r6, r11, r6, ror #8
    sxtab16 r7, r10, r7, ror #8
    smlad   r3, r6, r7, r3
    .endm

    .macro PICOVAE_PAIR_ROW acc, multiplier, high, width, store, size
    \high   \acc, \acc, \multiplier
    lsl     r10, r11, r9
    .ifc \high, smmulr
    add     \acc, \acc, \acc, asr #31
    .endif
    add     \acc, \acc, r10
    asr     \acc, \acc, r9
    ssat    \acc, #\width, \acc, asr #1
    \store  \acc, [r12], #\size
    .endm

    .macro PICOVAE_PAIR_EPILOGUE name, high, width, store, size
    .global picovae_pair_\name
    .type picovae_pair_\name, %function
    .thumb_func
picovae_pair_\name:
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    ldm     r8!, {{r4, r5, r6, r7, r9}}
    ldr     r11, [sp, #24]
    ldrd    r12, lr, [sp, #28]
    PICOVAE_PAIR_ROW r0, r4, \high, \width, \store, \size
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r1, r5, \high, \width, \store, \size
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r2, r6, \high, \width, \store, \size
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r3, r7, \high, \width, \store, \size
    str     r12, [sp, #28]
    cmp     r12, lr
    bne     1b
    add     sp, sp, #36
    pop     {{r4-r11, pc}}
    .endm

    .section .text.picovae_pair_rows, "ax", %progbits
    .p2align 2
    .global picovae_pair_rows
    .type picovae_pair_rows, %function
    .thumb_func
picovae_pair_rows:
    push    {{r4-r11, lr}}
    ldm     r0, {{r1-r10}}
    movs    r0, #48
    adr     r12, 2f
    mla     r5, r5, r0, r12
    adds    r5, #1
    push    {{r1-r9}}
    mov     r8, r10
1:
    ldm     r8!, {{r0-r3}}
    ldm     sp, {{r4, r5, r9, r12, lr}}
    add     r0, r0, r4
    add     r2, r2, r4
    sub     r1, r1, r5
    sub     r3, r3, r5
    bx      lr
    .p2align 2
2:
    PICOVAE_PAIR_STEP
    PICOVAE_PAIR_STEP
    PICOVAE_PAIR_STEP
    PICOVAE_PAIR_STEP
    cmp     r9, r12
    bne     2b
    ldr     pc, [sp, #20]

    PICOVAE_PAIR_EPILOGUE int8_double, smmulr, 8, strb, 1
    PICOVAE_PAIR_EPILOGUE int8_single, smmul, 8, strb, 1
    PICOVAE_PAIR_EPILOGUE int16_double, smmulr, 16, strh, 2
    PICOVAE_PAIR_EPILOGUE int16_single, smmul, 16, strh, 2

    .global picovae_pair_raw
    .type picovae_pair_raw, %function
    .thumb_func
picovae_pair_raw:
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    asrs    r0, r0, #1
    asrs    r1, r1, #1
    asrs    r2, r2, #1
    asrs    r3, r3, #1
    ldrd    r12, lr, [sp, #28]
    stm     r12!, {{r0-r3}}
    add     r8, r8, #20
    str     r12, [sp, #28]
    cmp     r12, lr
    bne     1b
    add     sp, sp, #36
    pop     {{r4-r11, pc}}
    .text
    .purgem PICOVAE_PAIR_WIDEN_WORD
    .purgem PICOVAE_PAIR_STEP
    .purgem PICOVAE_PAIR_ROW
    .purgem PICOVAE_PAIR_EPILOGUE
"#
);
