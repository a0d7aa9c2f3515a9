//! Cortex-M3: shift chain and Winograd's inner product.
//!
//! A word holds four rows of one column, the lower three unsigned, so that
//! `w ASR 8k` is row k plus 256 times the rows above: a shifted operand of `ADD`,
//! free of charge. With `V` for that, `(a1 + V)(a0 + V')` holds two products in
//! two ADD and one MLA, beside `a0*a1` (summed once a layer) and `V*V'` (folded
//! into the sums' start by the host). Row k is then `T[k] - 256 * T[k+1]`.
//! Activations are doubled when they are widened. All sums are exact modulo
//! 2^32; the gate proves `|acc| < 2^30`, so a doubled one fits.
#![allow(unsafe_code)]

use core::arch::global_asm;

use super::packed::Layer;
use crate::model::packing::padded_inputs;
use crate::model::wire::packing;

pub(super) const NAME: &str = "armv7m";
pub(super) const PACKING: u8 = packing::CHAIN;

unsafe extern "C" {
    /// Activations of 16 bits.
    fn picovae_layer_narrow(
        input: *const i8,
        scratch: *mut u8,
        len: usize,
        weights: *const u8,
        end: unsafe extern "C" fn(),
        offset: i32,
        out_end: *mut u8,
        out: *mut u8,
    );
    /// Activations of 32 bits: one load for two of them.
    fn picovae_layer_wide(
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

/// 32-bit activations where they fit, which is faster.
#[inline]
pub(super) fn layer(inputs: usize, scratch_len: usize) -> Layer {
    if scratch_len >= 2 * scratch_bytes(inputs) { picovae_layer_wide } else { picovae_layer_narrow }
}

/// Activations of at least 16 bits.
#[inline]
pub(super) fn scratch_bytes(inputs: usize) -> usize {
    2 * padded_inputs(packing::CHAIN, inputs)
}

/// The same for weights of 4 bits: activations as unsigned bytes.
#[inline]
pub(super) fn nibbles_scratch_bytes(inputs: usize) -> usize {
    padded_inputs(packing::CHAIN | packing::FOUR_BIT, inputs)
}

/// Bytes are loaded one at a time.
#[inline]
pub(super) fn is_readable(_: &[i8]) -> bool {
    true
}

global_asm!(
    r#"
    .syntax unified

    @ A pair of columns: words r4, r5, doubled activations r6, r7.
    .macro PICOVAE_CHAIN_PAIR
    add.w   r8, r7, r4, asr #24
    add.w   r9, r6, r5, asr #24
    mla     r3, r8, r9, r3
    add.w   r8, r7, r4, asr #16
    add.w   r9, r6, r5, asr #16
    mla     r2, r8, r9, r2
    add.w   r8, r7, r4, asr #8
    add.w   r9, r6, r5, asr #8
    mla     r1, r8, r9, r1
    add.w   r8, r7, r4
    add.w   r9, r6, r5
    mla     r0, r8, r9, r0
    .endm

    .macro PICOVAE_CHAIN_STEP_wide
    .rept 2
    ldm     r11!, {r4, r5}
    ldm     r10!, {r6, r7}
    PICOVAE_CHAIN_PAIR
    .endr
    .endm

    .macro PICOVAE_CHAIN_STEP_narrow
    .rept 2
    ldm     r11!, {r4, r5}
    ldrsh   r6, [r10], #2
    ldrsh   r7, [r10], #2
    PICOVAE_CHAIN_PAIR
    .endr
    .endm

    .macro PICOVAE_CHAIN_STORE_wide
    stm     r1!, {r4-r7}
    .endm

    .macro PICOVAE_CHAIN_STORE_narrow
    bfi     r4, r5, #16, #16
    bfi     r6, r7, #16, #16
    mov     r5, r6
    stm     r1!, {r4, r5}
    .endm

    @ r4 to r7: activations; r3 sums them, r12 their pairs' products.
    .macro PICOVAE_CHAIN_WIDEN_STEP kind
    lsls    r4, r4, #1
    lsls    r5, r5, #1
    lsls    r6, r6, #1
    lsls    r7, r7, #1
    mla     r12, r4, r5, r12
    mla     r12, r6, r7, r12
    add     r3, r3, r4
    add     r3, r3, r5
    add     r3, r3, r6
    add     r3, r3, r7
    PICOVAE_CHAIN_STORE_\kind
    .endm

    .macro PICOVAE_CHAIN_LAYER kind, bytes, step
    .section .text.picovae_layer_\kind, "ax", %progbits
    .p2align 2
    .global picovae_layer_\kind
    .type picovae_layer_\kind, %function
    .thumb_func
picovae_layer_\kind:
    push    {r4-r11, lr}
    mov     r9, r1
    mov     r11, r3
    movs    r3, #0
    mov     r12, #0
    subs    r2, #4
    blt     22f
21:
    ldrsb   r5, [r0, #1]
    ldrsb   r6, [r0, #2]
    ldrsb   r7, [r0, #3]
    ldrsb   r4, [r0], #4
    PICOVAE_CHAIN_WIDEN_STEP \kind
    subs    r2, #4
    bge     21b
22:
    adds    r2, #4
    beq     24f
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    ldrsb   r4, [r0]
    cmp     r2, #2
    it      ge
    ldrsbge r5, [r0, #1]
    it      gt
    ldrsbgt r6, [r0, #2]
    PICOVAE_CHAIN_WIDEN_STEP \kind
24:
    @ Starts: -128 * sum for row 2, 257 and 65793 times that for rows 1 and 0; all less the products.
    lsls    r3, r3, #7
    rsbs    r2, r3, #0
    sub     r5, r2, r3, lsl #8
    add     r4, r2, r5, lsl #8
    sub     r6, r2, r12
    sub     r5, r5, r12
    sub     r4, r4, r12
    rsb     r7, r12, #0
    sub     sp, sp, #44
    mov     r8, r9
    mov     r9, r1
    stm     sp, {r4-r9}
    @ Enter the loop behind as many steps as the last round lacks.
    subs    r2, r8, r1
    and     r2, r2, #(16 * \bytes - 1)
    mov     r0, #(\step / (4 * \bytes))
    adr     r10, 2f
    mla     r10, r2, r0, r10
    adds    r10, r10, #1
    str     r10, [sp, #24]
    adr     r3, 1f
    adds    r3, r3, #1
    ldr     r0, [sp, #80]
    ldr     r1, [sp, #84]
    ldr     r2, [sp, #88]
    ldr     lr, [sp, #92]
    add     r4, sp, #28
    stm     r4, {r0-r3}
    .p2align 2
1:
    ldm     r11!, {r0-r3}
    ldm     sp, {r4-r7, r10, r12}
    add     r0, r0, r4
    add     r1, r1, r5
    add     r2, r2, r6
    add     r3, r3, r7
    ldr     pc, [sp, #24]
    .p2align 2
2:
    .rept 4
    PICOVAE_CHAIN_STEP_\kind
    .endr
    cmp     r10, r12
    bne     2b
    ldr     pc, [sp, #28]
    .endm

    .macro PICOVAE_CHAIN_ROW acc, multiplier, rounding, width
    smull   r8, \acc, \acc, \multiplier
    .ifnc \rounding, single
    lsls    r8, r8, #1
    adc     \acc, \acc, #0
    .endif
    .ifc \rounding, double
    add     \acc, \acc, \acc, asr #31
    .endif
    asr     \acc, \acc, r9
    add     \acc, \acc, r10
    ssat    \acc, #\width, \acc, asr #1
    .endm

    .macro PICOVAE_CHAIN_LEAVE
    cmp     lr, r12
    it      ne
    ldrne   pc, [sp, #40]
    add     sp, sp, #44
    pop     {r4-r11, pc}
    .endm

    @ Shifts are stored as right - 1. Stores follow one another: only the first costs two cycles.
    .macro PICOVAE_CHAIN_END name, rounding, width, store, size
    .global picovae_end_\name
    .type picovae_end_\name, %function
    .thumb_func
picovae_end_\name:
    sub     r0, r0, r1, lsl #8
    sub     r1, r1, r2, lsl #8
    sub     r2, r2, r3, lsl #8
    ldm     r11!, {r4-r7, r9}
    ldrd    r10, r12, [sp, #32]
    PICOVAE_CHAIN_ROW r0, r4, \rounding, \width
    lsr     r9, r9, #8
    PICOVAE_CHAIN_ROW r1, r5, \rounding, \width
    lsr     r9, r9, #8
    PICOVAE_CHAIN_ROW r2, r6, \rounding, \width
    lsr     r9, r9, #8
    PICOVAE_CHAIN_ROW r3, r7, \rounding, \width
    \store  r0, [lr], #\size
    \store  r1, [lr], #\size
    \store  r2, [lr], #\size
    \store  r3, [lr], #\size
    PICOVAE_CHAIN_LEAVE
    .endm

    PICOVAE_CHAIN_LAYER wide, 4, 112
    PICOVAE_CHAIN_LAYER narrow, 2, 120
"#,
    include_str!("sparse_armv7m.s"),
    r#"
    .section .text.picovae_end, "ax", %progbits
    .p2align 2
    PICOVAE_CHAIN_END int8_double, double, 8, strb, 1
    PICOVAE_CHAIN_END int8_relu, relu, 8, strb, 1
    PICOVAE_CHAIN_END int8_single, single, 8, strb, 1
    PICOVAE_CHAIN_END int16_double, double, 16, strh, 2
    PICOVAE_CHAIN_END int16_single, single, 16, strh, 2
    .global picovae_end_raw
    .type picovae_end_raw, %function
    .thumb_func
picovae_end_raw:
    sub     r0, r0, r1, lsl #8
    sub     r1, r1, r2, lsl #8
    sub     r2, r2, r3, lsl #8
    asrs    r0, r0, #1
    asrs    r1, r1, #1
    asrs    r2, r2, #1
    asrs    r3, r3, #1
    ldr     r12, [sp, #36]
    stm     lr!, {r0-r3}
    add     r11, r11, #20
    PICOVAE_CHAIN_LEAVE
"#,
    include_str!("nibbles_armv7m.s"),
    "    .text",
    options(raw)
);
