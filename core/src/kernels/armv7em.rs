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

/// Steps of four columns in one round of the row loop.
const UNROLL: usize = 16;

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
    epilogue: Epilogue,
    /// `2 * zero_point + 1`: zero point and half a unit, added when one bit is left to shift out.
    offset: i32,
    out_end: *mut u8,
    weights: *const u8,
    out: *mut u8,
}

/// Where the row loop goes with four sums.
type Epilogue = unsafe extern "C" fn();

unsafe extern "C" {
    /// Widens the activations, then all groups of four rows until `out_end`.
    fn picovae_pair_layer(
        input: *const i8,
        columns: *mut u8,
        len: usize,
        weights: *const u8,
        epilogue: Epilogue,
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
    /// Widens and doubles `len` activations into steps of four (columns 0, 2 and 1, 3),
    /// zeros behind them; returns the two sums of [`Frame`], the first one low.
    fn picovae_pair_widen(input: *const i8, columns: *mut u8, len: usize) -> u64;
    /// All groups of four rows until `out_end`, activations widened before.
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
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let usable = matrix.packing() == packing::PAIR
        && input.len() >= inputs
        && scratch.len() >= 2 * padded_inputs(packing::PAIR, inputs)
        && scratch.as_ptr().addr().is_multiple_of(4)
        && out.len() >= outputs
        && inputs != 0;
    if !usable {
        return false;
    }
    let whole = outputs & !(GROUP - 1);
    if matrix.flags & flags::RIGHT_SHIFTS == 0 || whole != outputs {
        in_parts(matrix, output, rounding, input, scratch, out);
        return true;
    }
    let double = rounding == Rounding::Double;
    let (epilogue, offset, start, len): (Epilogue, _, *mut u8, _) = match (&mut *out, output) {
        (OutputBuffer::Int8(out), &Output::Int8 { zero_point, .. }) => (
            if double { picovae_pair_int8_double } else { picovae_pair_int8_single },
            2 * i32::from(zero_point) + 1,
            out.as_mut_ptr().cast(),
            outputs,
        ),
        (OutputBuffer::Int16(out), _) => (
            if double { picovae_pair_int16_double } else { picovae_pair_int16_single },
            1,
            out.as_mut_ptr().cast(),
            2 * outputs,
        ),
        (OutputBuffer::Int8(_), Output::Int16) => return true,
    };
    // SAFETY: `input` has `inputs` bytes, `scratch` two bytes for each padded column, 4-byte aligned;
    // the matrix has all groups (its length was checked when it was made), `out` a number for each row.
    unsafe {
        picovae_pair_layer(
            input.as_ptr(),
            scratch.as_mut_ptr(),
            inputs,
            matrix.weights().as_ptr(),
            epilogue,
            offset,
            start.wrapping_add(len),
            start,
        );
    }
    if let OutputBuffer::Int8(out) = out {
        finish(output, out.get_mut(..outputs).unwrap_or_default());
    }
    true
}

/// Rows that are no multiple of four, or shifts that the short requantization does
/// not cover: sums from the assembly, the rest from the specification.
#[cold]
#[inline(never)]
fn in_parts(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let columns = padded_inputs(packing::PAIR, inputs);
    let Some(group_len) = group_len(packing::PAIR, inputs) else {
        return;
    };
    let start = scratch.as_mut_ptr();
    // SAFETY: `product` checked both lengths and the alignment.
    let sums = unsafe { picovae_pair_widen(input.as_ptr(), start, inputs) };
    let mut frame = Frame {
        unsigned_excess: sums as i32,
        pair_products: (sums >> 32) as i32,
        columns: start,
        columns_end: start.wrapping_add(2 * columns),
        skip: (columns / 4).wrapping_neg() % UNROLL,
        epilogue: picovae_pair_raw,
        offset: 1,
        out_end: start,
        weights: matrix.weights().as_ptr(),
        out: start,
    };
    for first in (0..outputs).step_by(GROUP) {
        let mut sums = [0i32; GROUP];
        frame.out = sums.as_mut_ptr().cast();
        frame.out_end = frame.out.wrapping_add(size_of_val(&sums));
        // SAFETY: the group exists (the matrix' length was checked), `sums` takes its four sums.
        unsafe { picovae_pair_rows(&frame) };
        frame.weights = frame.weights.wrapping_add(group_len);
        for (row, sum) in (first..outputs).zip(sums) {
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

    @ In: r0 input, r1 columns, r2 length. Out: r0 excess, r1 products, r3 end of the columns; r4 to r8 and r12 lost.
    .macro PICOVAE_PAIR_WIDEN
    movs    r3, #0
    mov     r12, #0
    mov     r8, #0x00010001
    subs    r2, #8
    blt     22f
21:
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
    bge     21b
22:
    adds    r2, #4
    blt     23f
    ldr     r4, [r0], #4
    PICOVAE_PAIR_WIDEN_WORD
    subs    r2, #4
23:
    adds    r2, #4
    beq     24f
    ldrb    r4, [r0]
    cmp     r2, #2
    itt     ge
    ldrbge  r5, [r0, #1]
    orrge   r4, r4, r5, lsl #8
    itt     gt
    ldrbgt  r5, [r0, #2]
    orrgt   r4, r4, r5, lsl #16
    PICOVAE_PAIR_WIDEN_WORD
24:
    lsls    r0, r3, #7
    rsbs    r0, r0, #0
    mov     r3, r1
    mov     r1, r12
    .endm

    .section .text.picovae_pair_widen, "ax", %progbits
    .p2align 2
    .global picovae_pair_widen
    .type picovae_pair_widen, %function
    .thumb_func
picovae_pair_widen:
    push    {{r4-r8, lr}}
    PICOVAE_PAIR_WIDEN
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

    .macro PICOVAE_PAIR_ROW acc, multiplier, high, width
    \high   \acc, \acc, \multiplier
    .ifc \high, smmulr
    add     \acc, \acc, \acc, asr #31
    .endif
    asr     \acc, \acc, r9
    add     \acc, \acc, r11
    ssat    \acc, #\width, \acc, asr #1
    .endm

    @ Shifts are stored as right - 1. Stores follow one another: only the first costs two cycles.
    .macro PICOVAE_PAIR_EPILOGUE name, high, width, store, size
    .global picovae_pair_\name
    .type picovae_pair_\name, %function
    .thumb_func
picovae_pair_\name:
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    ldm     r8!, {{r4, r5, r6, r7, r9}}
    ldrd    r11, r12, [sp, #24]
    PICOVAE_PAIR_ROW r0, r4, \high, \width
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r1, r5, \high, \width
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r2, r6, \high, \width
    lsr     r9, r9, #8
    PICOVAE_PAIR_ROW r3, r7, \high, \width
    \store  r0, [lr], #\size
    \store  r1, [lr], #\size
    \store  r2, [lr], #\size
    \store  r3, [lr], #\size
    cmp     lr, r12
    bne     1b
    add     sp, sp, #32
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
    mov     lr, r10
    movs    r0, #48
    adr     r12, 2f
    mla     r5, r5, r0, r12
    adds    r5, #1
    push    {{r1-r8}}
    mov     r8, r9
    b       1f

    .global picovae_pair_layer
    .type picovae_pair_layer, %function
    .thumb_func
picovae_pair_layer:
    push    {{r4-r11, lr}}
    mov     r9, r1
    mov     r10, r3
    PICOVAE_PAIR_WIDEN
    mov     r2, r9
    sub     r4, r2, r3
    and     r4, r4, #120
    add     r4, r4, r4, lsl #1
    adr     r12, 2f
    add     r4, r12, r4, lsl #1
    adds    r4, #1
    ldrd    r5, r6, [sp, #36]
    ldrd    r7, lr, [sp, #44]
    push    {{r0-r7}}
    mov     r8, r10
1:
    ldm     r8!, {{r0-r3}}
    ldm     sp, {{r4, r5, r9, r12}}
    add     r0, r0, r4
    add     r2, r2, r4
    sub     r1, r1, r5
    sub     r3, r3, r5
    ldr     pc, [sp, #16]
    .p2align 2
2:
    .rept 16
    PICOVAE_PAIR_STEP
    .endr
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
    ldr     r12, [sp, #28]
    stm     lr!, {{r0-r3}}
    add     r8, r8, #20
    cmp     lr, r12
    bne     1b
    add     sp, sp, #32
    pop     {{r4-r11, pc}}
    .text
    .purgem PICOVAE_PAIR_WIDEN
    .purgem PICOVAE_PAIR_WIDEN_WORD
    .purgem PICOVAE_PAIR_STEP
    .purgem PICOVAE_PAIR_ROW
    .purgem PICOVAE_PAIR_EPILOGUE
"#
);
