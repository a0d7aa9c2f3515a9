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

use super::packed::Layer;
use crate::model::packing::padded_inputs;
use crate::model::wire::packing;

pub(super) const NAME: &str = "armv7em";
pub(super) const PACKING: u8 = packing::PAIR;

unsafe extern "C" {
    fn picovae_layer(
        input: *const i8,
        scratch: *mut u8,
        len: usize,
        weights: *const u8,
        end: unsafe extern "C" fn(),
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
    /// The same over groups of blocks.
    pub(super) fn picovae_layer_sparse(
        input: *const i8,
        scratch: *mut u8,
        len: usize,
        weights: *const u8,
        end: unsafe extern "C" fn(),
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
    /// The same over weights of 4 bits.
    pub(super) fn picovae_layer_nibbles(
        input: *const i8,
        scratch: *mut u8,
        len: usize,
        weights: *const u8,
        end: unsafe extern "C" fn(),
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
    /// Both.
    pub(super) fn picovae_layer_sparse_nibbles(
        input: *const i8,
        scratch: *mut u8,
        len: usize,
        weights: *const u8,
        end: unsafe extern "C" fn(),
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
}

/// The one loop for all lengths.
#[inline]
pub(super) fn layer(_inputs: usize, _scratch_len: usize) -> Layer {
    picovae_layer
}

/// Activations widened to 16 bits and doubled.
#[inline]
pub(super) fn scratch_bytes(inputs: usize) -> usize {
    2 * padded_inputs(packing::PAIR, inputs)
}

/// The same for weights of 4 bits.
#[inline]
pub(super) fn nibbles_scratch_bytes(inputs: usize) -> usize {
    2 * padded_inputs(packing::PAIR | packing::FOUR_BIT, inputs)
}

/// Single loads may be unaligned on these cores.
#[inline]
pub(super) fn is_readable(_: &[i8]) -> bool {
    true
}

global_asm!(
    env!("PICOVAE_CPU"),
    env!("PICOVAE_FORMS"),
    r#"
    .syntax unified

    .macro PICOVAE_PAIR_WIDEN_WORD
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sadd16  r5, r5, r5
    sadd16  r4, r4, r4
    smlad   r12, r4, r5, r12
    smlad   r9, r4, r10, r9
    smlad   r9, r5, r10, r9
    stm     r1!, {r4, r5}
    .endm

    @ In: r0 input, r1 columns, r2 length. Out: r0 excess, r1 products, r2 end of the columns; r4 to r7, r9, r10 and r12 lost.
    .macro PICOVAE_PAIR_WIDEN
    mov     r9, #0
    mov     r12, #0
    mov     r10, #-1
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
    stm     r1!, {r4-r7}
    smlad   r12, r4, r5, r12
    smlad   r12, r6, r7, r12
    sadd16  r4, r4, r5
    sadd16  r6, r6, r7
    sadd16  r4, r4, r6
    smlad   r9, r4, r10, r9
    subs    r2, #8
    bge     21b
22:
    adds    r2, #8
    beq     24f
    cmp     r2, #4
    blt     23f
    ldr     r4, [r0], #4
    PICOVAE_PAIR_WIDEN_WORD
    subs    r2, #4
    beq     24f
23:
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
    lsl     r0, r9, #7
    mov     r2, r1
    mov     r1, r12
    .endm

    .macro PICOVAE_PAIR_STEP
    ldm     r8!, {r4, r5, r6, r7}
    ldm     r12!, {r10, r11}
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

    .macro PICOVAE_PAIR_ROW acc, shift, rounding, width
    .ifc \rounding, double
    add     \acc, \acc, \acc, asr #31
    .endif
    asr     \acc, \acc, \shift
    add     \acc, \acc, r11
    ssat    \acc, #\width, \acc, asr #1
    .endm

    @ Shifts are stored as right - 1. Stores follow one another: only the first costs two cycles.
    .macro PICOVAE_PAIR_EPILOGUE name, high, rounding, width, store, size
    .global picovae_end_\name
    .type picovae_end_\name, %function
    .thumb_func
picovae_end_\name:
    ldm     r8!, {r4, r5, r6, r7}
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    \high   r0, r0, r4
    \high   r1, r1, r5
    \high   r2, r2, r6
    \high   r3, r3, r7
    ldm     r8!, {r4, r5, r6, r7}
    ldrd    r11, r12, [sp, #60]
    PICOVAE_PAIR_ROW r0, r4, \rounding, \width
    PICOVAE_PAIR_ROW r1, r5, \rounding, \width
    PICOVAE_PAIR_ROW r2, r6, \rounding, \width
    PICOVAE_PAIR_ROW r3, r7, \rounding, \width
    \store  r0, [lr], #\size
    \store  r1, [lr], #\size
    \store  r2, [lr], #\size
    \store  r3, [lr], #\size
    cmp     lr, r12
    bne     1b
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .endm

    @ Sixteen columns: widened behind two words, 128 times their sum (negative) and their pairs' products.
    .macro PICOVAE_PAIR_WIDEN_BLOCK
    add     r1, #8
    mov     r9, #0
    mov     r12, #0
    .rept 2
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
    stm     r1!, {r4-r7}
    smlad   r12, r4, r5, r12
    smlad   r12, r6, r7, r12
    sadd16  r4, r4, r5
    sadd16  r6, r6, r7
    sadd16  r4, r4, r6
    smlad   r9, r4, r10, r9
    .endr
    lsl     r9, r9, #7
    strd    r9, r12, [r1, #-40]
    .endm

"#,
    ".if picovae_forms",
    include_str!("nibbles_armv7em.s"),
    r#"
    @ Frame as below, with nothing in excess at a group's start: each block adds its own.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer_sparse
    .type picovae_layer_sparse, %function
    .thumb_func
picovae_layer_sparse:
    push    {r4-r11, lr}
    mov     r8, r3
    mov     r3, r1
    mov     r10, #-1
    mov     r11, sp
31:
    cmp     r2, #16
    blt     32f
    PICOVAE_PAIR_WIDEN_BLOCK
    subs    r2, #16
    b       31b
32:
    cmp     r2, #0
    beq     34f
    @ The last columns with zeros behind them, from the stack.
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    push    {r4-r7}
33:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    strb    r4, [sp, r2]
    bne     33b
    mov     r0, sp
    movs    r2, #16
    b       31b
34:
    mov     sp, r11
    movs    r0, #0
    movs    r1, #0
    mov     r2, r3
    adr.w   r4, 35f + 1
    ldr     lr, [sp, #48]
    push    {r0-r4}
    b       1f
    .p2align 2
35:
    ldr     r12, [r8], #4
    cmp     r12, #0
    blt     37f
36:
    add     r12, r12, r9
    ldm     r12!, {r10, r11}
    add     r0, r0, r10
    add     r2, r2, r10
    sub     r1, r1, r11
    sub     r3, r3, r11
    .rept 4
    PICOVAE_PAIR_STEP
    .endr
    ldr     r12, [r8], #4
    cmp     r12, #0
    bge     36b
37:
    ldr     pc, [sp, #56]
    .endif

    @ Frame: 0 excess, 4 products, 8 activations, 12 their end, 16 entry of the loop,
    @ 20 saved registers, 56 end routine, 60 offset, 64 out_end, 68 out.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer
    .type picovae_layer, %function
    .thumb_func
picovae_layer:
    push    {r4-r11, lr}
    mov     r8, r3
    mov     r3, r1
    PICOVAE_PAIR_WIDEN
    sub     r4, r3, r2
    and     r4, r4, #120
    add     r4, r4, r4, lsl #1
    adr.w   r12, 2f + 1
    add     r4, r12, r4, lsl #1
    ldr     lr, [sp, #48]
    push    {r0-r4}
1:
    ldm     r8!, {r0-r3}
    ldm     sp, {r4, r5, r9, r12}
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
    ldr     pc, [sp, #56]

    PICOVAE_PAIR_EPILOGUE int8_double, smmulr, double, 8, strb, 1
    PICOVAE_PAIR_EPILOGUE int8_relu, smmulr, relu, 8, strb, 1
    PICOVAE_PAIR_EPILOGUE int8_single, smmul, single, 8, strb, 1
    PICOVAE_PAIR_EPILOGUE int16_double, smmulr, double, 16, strh, 2
    PICOVAE_PAIR_EPILOGUE int16_single, smmul, single, 16, strh, 2

    .global picovae_end_raw
    .type picovae_end_raw, %function
    .thumb_func
picovae_end_raw:
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    asrs    r0, r0, #1
    asrs    r1, r1, #1
    asrs    r2, r2, #1
    asrs    r3, r3, #1
    ldr     r12, [sp, #64]
    stm     lr!, {r0-r3}
    add     r8, r8, #32
    cmp     lr, r12
    bne     1b
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .text
    .purgem PICOVAE_PAIR_WIDEN
    .purgem PICOVAE_PAIR_WIDEN_WORD
    .purgem PICOVAE_PAIR_WIDEN_BLOCK
    .purgem PICOVAE_PAIR_STEP
    .purgem PICOVAE_PAIR_ROW
    .purgem PICOVAE_PAIR_EPILOGUE
"#,
    options(raw)
);
