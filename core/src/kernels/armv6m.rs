//! Cortex-M0, M0+ and M1: three multiplications for four rows.
//!
//! A word holds four rows of one column as unsigned bytes (`w + 128`), activations
//! are unsigned bytes as well (`a + 128`). The sums over `W`, `W >> 16` and `REV(W)`
//! times the activation determine all four rows' sums, as long as none reaches
//! 2^24: blocks of 256 columns. From `H = U2 + 256*U3`, exact, and
//! `P = U0 + 256*U1 + 2^16*H`, follows `L = U0 + 256*U1`; the low half of
//! `R = U3 + 256*U2 + 2^16*(U1 + 256*U0)` tells U3 modulo 2^16, and
//! `H / 256 - U3` lies in [0, 2^16); then U2, and in the same way U1 and U0.
//! No library multiplication: the 64-bit product is four 32-bit ones.
#![allow(unsafe_code)]

use core::arch::global_asm;

use super::packed::Layer;
use crate::model::packing::padded_inputs;
use crate::model::wire::packing;

pub(super) const NAME: &str = "armv6m";
pub(super) const PACKING: u8 = packing::REVERSED;

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
}

/// The one loop for all lengths.
#[inline]
pub(super) fn layer(_inputs: usize, _scratch_len: usize) -> Layer {
    picovae_layer
}

/// Activations as unsigned bytes.
#[inline]
pub(super) fn scratch_bytes(inputs: usize) -> usize {
    padded_inputs(packing::REVERSED, inputs)
}

/// Words are loaded from the input.
#[inline]
pub(super) fn is_readable(input: &[i8]) -> bool {
    input.as_ptr().addr().is_multiple_of(4)
}

global_asm!(
    r#"
    .syntax unified

    @ One column: its word (spent), its activation at r7 + index.
    .macro PICOVAE_REV_COLUMN word, index
    ldrb    r4, [r7, #\index]
    lsrs    r5, \word, #16
    muls    r5, r4, r5
    add     r9, r5
    rev     r5, \word
    muls    r5, r4, r5
    add     r10, r5
    muls    \word, r4, \word
    add     r8, \word
    .endm

    .macro PICOVAE_REV_STEP first
    ldm     r6!, {{r0-r3}}
    PICOVAE_REV_COLUMN r0, \first
    PICOVAE_REV_COLUMN r1, (\first + 1)
    PICOVAE_REV_COLUMN r2, (\first + 2)
    PICOVAE_REV_COLUMN r3, (\first + 3)
    .endm

    @ Frame: 0 sums of earlier blocks, 16 start in the activations (less the steps
    @ left out), 20 end of the first block, 24 out, 28 out_end, 32 end routine,
    @ 36 entry of the first block, 40 end of the last block.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer
    .type picovae_layer, %function
    .thumb_func
picovae_layer:
    push    {{r4-r7, lr}}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {{r4-r7}}
    sub     sp, sp, #44
    mov     r8, r1
    mov     r10, r3
    movs    r6, #128
    lsls    r7, r6, #8
    orrs    r6, r7
    lsls    r7, r6, #16
    orrs    r6, r7
    movs    r7, #255
    lsls    r5, r7, #16
    orrs    r7, r5
    movs    r5, #0
    subs    r2, #4
    blo     22f
21:
    ldm     r0!, {{r3}}
    eors    r3, r6
    stm     r1!, {{r3}}
    movs    r4, r3
    ands    r4, r7
    lsrs    r3, r3, #8
    ands    r3, r7
    adds    r4, r4, r3
    lsls    r3, r4, #16
    adds    r4, r4, r3
    lsrs    r4, r4, #16
    adds    r5, r5, r4
    subs    r2, #4
    bhs     21b
22:
    adds    r2, #4
    beq     24f
    movs    r7, #0
    movs    r3, #128
23:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    eors    r4, r3
    adds    r5, r5, r4
    lsls    r7, r7, #8
    orrs    r7, r4
    cmp     r2, #0
    bne     23b
    stm     r1!, {{r7}}
24:
    @ r1 end of the activations, r5 their sum: every row has 128 times it too much.
    lsls    r5, r5, #7
    rsbs    r5, r5, #0
    mov     r12, r5
    mov     r6, r10
    movs    r0, #0
    str     r0, [sp, #0]
    str     r0, [sp, #4]
    str     r0, [sp, #8]
    str     r0, [sp, #12]
    str     r1, [sp, #40]
    @ The first block takes what is no multiple of 256, but at least one column.
    mov     r2, r8
    subs    r3, r1, r2
    subs    r3, #1
    uxtb    r3, r3
    adds    r3, #1
    adds    r4, r2, r3
    str     r4, [sp, #20]
    @ Leave out the steps the first round lacks.
    rsbs    r3, r3, #0
    movs    r4, #12
    ands    r3, r4
    subs    r2, r2, r3
    str     r2, [sp, #16]
    lsrs    r3, r3, #2
    movs    r4, #74
    muls    r3, r4, r3
    adr     r4, 2f
    adds    r3, r3, r4
    adds    r3, #1
    str     r3, [sp, #36]
    ldr     r0, [sp, #80]
    str     r0, [sp, #32]
    ldr     r0, [sp, #84]
    mov     lr, r0
    ldr     r0, [sp, #88]
    str     r0, [sp, #28]
    ldr     r0, [sp, #92]
    str     r0, [sp, #24]
1:
    ldr     r7, [sp, #16]
    ldr     r0, [sp, #20]
    mov     r11, r0
    movs    r0, #0
    mov     r8, r0
    mov     r9, r0
    mov     r10, r0
    ldr     r1, [sp, #36]
    bx      r1
    .p2align 2
2:
    PICOVAE_REV_STEP 0
    PICOVAE_REV_STEP 4
    PICOVAE_REV_STEP 8
    PICOVAE_REV_STEP 12
    adds    r7, #16
    cmp     r7, r11
    beq     3f
    b       2b
3:
    @ H, R, P to U0 in r2, U1 in r4, U2 in r0, U3 in r3.
    mov     r0, r9
    mov     r1, r10
    mov     r2, r8
    lsls    r3, r0, #16
    subs    r2, r2, r3
    lsrs    r3, r0, #8
    lsls    r4, r0, #8
    adds    r4, r4, r3
    subs    r4, r4, r1
    uxth    r4, r4
    subs    r3, r3, r4
    lsls    r4, r3, #8
    subs    r0, r0, r4
    subs    r1, r1, r3
    lsls    r4, r0, #8
    subs    r1, r1, r4
    lsrs    r1, r1, #16
    lsrs    r4, r2, #8
    lsls    r5, r2, #8
    adds    r5, r5, r4
    subs    r5, r5, r1
    uxth    r5, r5
    subs    r4, r4, r5
    lsls    r5, r4, #8
    subs    r2, r2, r5
    ldr     r1, [sp, #20]
    ldr     r5, [sp, #40]
    cmp     r1, r5
    beq     5f
    @ More than one block.
    ldr     r1, [sp, #0]
    adds    r2, r2, r1
    ldr     r1, [sp, #4]
    adds    r4, r4, r1
    ldr     r1, [sp, #8]
    adds    r0, r0, r1
    ldr     r1, [sp, #12]
    adds    r3, r3, r1
    cmp     r11, r5
    beq     4f
    str     r2, [sp, #0]
    str     r4, [sp, #4]
    str     r0, [sp, #8]
    str     r3, [sp, #12]
    movs    r0, #255
    adds    r0, #1
    add     r11, r0
    movs    r0, #0
    mov     r8, r0
    mov     r9, r0
    mov     r10, r0
    b       2b
4:
    movs    r1, #0
    str     r1, [sp, #0]
    str     r1, [sp, #4]
    str     r1, [sp, #8]
    str     r1, [sp, #12]
5:
    mov     r8, r4
    mov     r9, r0
    mov     r10, r3
    ldr     r7, [sp, #24]
    ldr     r1, [sp, #32]
    bx      r1

    @ The sum without its constants in r0; r5 shifts, r6 numbers, r7 out.
    .macro PICOVAE_REV_ROW row, rounding, extend, store, size, largest
    ldr     r1, [r6, #(4 * \row)]
    add     r0, r12
    adds    r0, r0, r1
    .ifc \rounding, relu
    bmi     5f
    .endif
    ldr     r1, [r6, #(16 + 4 * \row)]
    lsrs    r2, r1, #16
    uxth    r1, r1
    sxth    r3, r0
    subs    r0, r0, r3
    asrs    r0, r0, #16
    movs    r4, r1
    muls    r4, r3, r4
    muls    r3, r2, r3
    muls    r1, r0, r1
    muls    r0, r2, r0
    asrs    r4, r4, #16
    adds    r1, r1, r3
    adds    r1, r1, r4
    lsls    r0, r0, #1
    asrs    r1, r1, #15
    .ifc \rounding, relu
    adcs    r0, r1
    .else
    .ifc \rounding, double
    @ The bit shifted out last rounds.
    adcs    r0, r1
    asrs    r1, r0, #31
    .endif
    adds    r0, r0, r1
    .endif
    asrs    r0, r5
    add     r0, lr
    asrs    r0, r0, #1
    \extend r1, r0
    cmp     r1, r0
    beq     6f
    asrs    r0, r0, #31
    movs    r1, #127
    .ifc \extend, sxth
    lsls    r1, r1, #8
    adds    r1, #255
    .endif
    eors    r0, r1
    .ifc \rounding, relu
    b       6f
5:
    movs    r0, #128
    .endif
6:
    \store  r0, [r7, #(\size * \row)]
    .endm

    .macro PICOVAE_REV_LEAVE bytes
    adds    r6, #36
    adds    r7, #\bytes
    str     r7, [sp, #24]
    ldr     r1, [sp, #28]
    cmp     r7, r1
    beq     7f
    b       1b
7:
    add     sp, sp, #44
    pop     {{r4-r7}}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {{r4-r7, pc}}
    .endm

    .macro PICOVAE_REV_END name, rounding, extend, store, size
    .global picovae_end_\name
    .type picovae_end_\name, %function
    .thumb_func
picovae_end_\name:
    mov     r0, r2
    ldr     r5, [r6, #32]
    PICOVAE_REV_ROW 0, \rounding, \extend, \store, \size
    mov     r0, r8
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 1, \rounding, \extend, \store, \size
    mov     r0, r9
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 2, \rounding, \extend, \store, \size
    mov     r0, r10
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 3, \rounding, \extend, \store, \size
    PICOVAE_REV_LEAVE (4 * \size)
    .endm

    PICOVAE_REV_END int8_double, double, sxtb, strb, 1
    PICOVAE_REV_END int8_relu, relu, sxtb, strb, 1
    PICOVAE_REV_END int8_single, single, sxtb, strb, 1
    PICOVAE_REV_END int16_double, double, sxth, strh, 2
    PICOVAE_REV_END int16_single, single, sxth, strh, 2
    .global picovae_end_raw
    .type picovae_end_raw, %function
    .thumb_func
picovae_end_raw:
    mov     r0, r2
    mov     r1, r8
    mov     r2, r9
    mov     r3, r10
    ldr     r4, [r6, #0]
    adds    r0, r0, r4
    add     r0, r12
    ldr     r4, [r6, #4]
    adds    r1, r1, r4
    add     r1, r12
    ldr     r4, [r6, #8]
    adds    r2, r2, r4
    add     r2, r12
    ldr     r4, [r6, #12]
    adds    r3, r3, r4
    add     r3, r12
    str     r0, [r7, #0]
    str     r1, [r7, #4]
    str     r2, [r7, #8]
    str     r3, [r7, #12]
    PICOVAE_REV_LEAVE 16
    .text
"#
);
