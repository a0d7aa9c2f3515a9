//! Cortex-M55 and M85: sixteen columns of four rows at a time.
//!
//! Weights lie so that one pointer feeds every load; `VMLADAVA` multiplies and
//! sums sixteen columns of a row in one instruction. The low-overhead loop
//! predicates its last round, so no lane reads behind the input. Four rows are
//! requantized together: `VQRDMULH` is gemmlowp's doubling high multiply.
#![allow(unsafe_code)]

use core::arch::global_asm;

use super::packed::Layer;
use crate::model::wire::packing;

pub(super) const NAME: &str = "mve";
pub(super) const PACKING: u8 = packing::INTERLEAVED;

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

/// Activations are read where they lie.
#[inline]
pub(super) fn scratch_bytes(_inputs: usize) -> usize {
    0
}

/// The same for weights of 4 bits.
#[inline]
pub(super) fn nibbles_scratch_bytes(_inputs: usize) -> usize {
    0
}

/// Bytes may lie anywhere.
#[inline]
pub(super) fn is_readable(_: &[i8]) -> bool {
    true
}

global_asm!(
    env!("PICOVAE_CPU"),
    r#"
    .syntax unified

    .macro PICOVAE_MVE_LEAVE
    cmp     r3, r12
    it      ne
    bxne    r11
    pop     {r4-r11, pc}
    .endm

    .macro PICOVAE_MVE_END name, high, rounding, width
    .global picovae_end_\name
    .type picovae_end_\name, %function
    .thumb_func
picovae_end_\name:
    vmov    q0[2], q0[0], r4, r8
    vmov    q0[3], q0[1], r6, r10
    vldrw.u32 q1, [r9], #16
    \high   q0, q0, q1
    vldrw.u32 q1, [r9], #16
    .ifc \rounding, double
    vshr.s32 q2, q0, #31
    vadd.i32 q0, q0, q2
    .endif
    vrshl.s32 q0, q0, q1
    vadd.i32 q0, q0, r1
    vqmovnb.s32 q2, q0
    .ifc \width, 8
    vqmovnb.s16 q2, q2
    vstrb.32 q2, [r3], #4
    .else
    vstrh.32 q2, [r3], #8
    .endif
    PICOVAE_MVE_LEAVE
    .endm

    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer
    .type picovae_layer, %function
    .thumb_func
picovae_layer:
    push    {r4-r11, lr}
    mov     r5, r0
    mov     r9, r3
    ldrd    r0, r1, [sp, #36]
    ldrd    r12, r3, [sp, #44]
    asrs    r1, r1, #1
    adr     r11, 1f
    adds    r11, r11, #1
    .p2align 2
1:
    ldm     r9!, {r4, r6, r8, r10}
    mov     r7, r5
    dlstp.8 lr, r2
2:
    vldrb.u8 q0, [r7], #16
    vldrb.u8 q1, [r9], #16
    vmladava.s8 r4, q0, q1
    vldrb.u8 q2, [r9], #16
    vmladava.s8 r6, q0, q2
    vldrb.u8 q1, [r9], #16
    vmladava.s8 r8, q0, q1
    vldrb.u8 q2, [r9], #16
    vmladava.s8 r10, q0, q2
    letp    lr, 2b
    bx      r0

    @ Blocks of sixteen columns, each behind the offset of its activations.
    .p2align 2
    .global picovae_layer_sparse
    .type picovae_layer_sparse, %function
    .thumb_func
picovae_layer_sparse:
    push    {r4-r11, lr}
    mov     r5, r0
    mov     r9, r3
    ands    r4, r2, #15
    beq     3f
    @ Columns that fill no block: a copy, with zeros behind them.
    mov     r5, r1
    subs    r4, r2, r4
    adds    r4, r4, r1
    vmov.i32 q0, #0
    vstrb.8 q0, [r4]
    dlstp.8 lr, r2
2:
    vldrb.u8 q0, [r0], #16
    vstrb.8 q0, [r1], #16
    letp    lr, 2b
3:
    ldrd    r0, r1, [sp, #36]
    ldrd    r12, r3, [sp, #44]
    asrs    r1, r1, #1
    adr     r11, 1f
    adds    r11, r11, #1
    .p2align 2
1:
    ldm     r9!, {r4, r6, r8, r10}
    ldr     lr, [r9], #4
    wls     lr, lr, 3f
2:
    ldr     r7, [r9], #4
    vldrb.u8 q1, [r9], #16
    add     r7, r7, r5
    vldrb.u8 q0, [r7]
    vmladava.s8 r4, q0, q1
    vldrb.u8 q2, [r9], #16
    vmladava.s8 r6, q0, q2
    vldrb.u8 q1, [r9], #16
    vmladava.s8 r8, q0, q1
    vldrb.u8 q2, [r9], #16
    vmladava.s8 r10, q0, q2
    le      lr, 2b
3:
    bx      r0

    PICOVAE_MVE_END int8_double, vqrdmulh.s32, double, 8
    PICOVAE_MVE_END int8_relu, vqrdmulh.s32, relu, 8
    PICOVAE_MVE_END int8_single, vqdmulh.s32, single, 8
    PICOVAE_MVE_END int16_double, vqrdmulh.s32, double, 16
    PICOVAE_MVE_END int16_single, vqdmulh.s32, single, 16
    .global picovae_end_raw
    .type picovae_end_raw, %function
    .thumb_func
picovae_end_raw:
    stm     r3!, {r4, r6, r8, r10}
    add     r9, r9, #32
    PICOVAE_MVE_LEAVE
"#,
    include_str!("nibbles_mve.s"),
    "    .text",
    options(raw)
);
