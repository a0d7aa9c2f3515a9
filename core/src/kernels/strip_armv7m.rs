//! Cortex-M3: a strip of windows behind one another, a fused ReLU behind each.
//!
//! As `armv7m.rs`, but the input is doubled and widened to 32 bits once a strip and windows are read where they
//! lie. A ReLU has zero point -128, so a sum below zero is -128 at once, and the others need no sign.
#![allow(unsafe_code)]

use core::arch::global_asm;

/// An activation as the kernel reads it: doubled.
pub(super) type Activation = i32;
/// Elements read behind a window: columns are padded to fours. Their weights are 0, so any value will do.
pub(super) const BEHIND: usize = 3;

/// As the kernel reads it.
#[inline]
pub(super) fn activation(value: i8) -> Activation {
    2 * i32::from(value)
}

/// Whether the kernel runs windows of so many columns.
#[inline]
pub(super) fn is_able(columns: usize) -> bool {
    columns != 0
}

global_asm!(
    r#"
    .syntax unified

    @ A pair of columns: words r4, r5, doubled activations r6, r7.
    .macro PICOVAE_STRIP_PAIR
    ldm     r11!, {{r4, r5}}
    ldm     r10!, {{r6, r7}}
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

    @ r0: arguments, see strips.rs.
    @ Frame: 0 starts of the four sums, 16 window, 20 its end, 24 entry of the products, 28 of the sums,
    @ 32 end routine, 36 weights, 40 end of the rows, 44 rows, 48 to the next window,
    @ 52 from the end of a position's rows to the next one, 56 positions.
    .section .text.picovae_strip, "ax", %progbits
    .p2align 2
    .global picovae_strip
    .type picovae_strip, %function
    .thumb_func
picovae_strip:
    push    {{r4-r11, lr}}
    sub     sp, sp, #60
    @ Window, weights, out, window step, out step, rows, positions, end, columns.
    ldm     r0!, {{r1-r8}}
    ldr     r9, [r0]
    mov     lr, r3
    str     r1, [sp, #16]
    strd    r8, r2, [sp, #32]
    str     r6, [sp, #44]
    strd    r4, r5, [sp, #48]
    str     r7, [sp, #56]
    @ Enter both unrolled loops behind as many steps of four columns as the last round lacks.
    adds    r9, r9, #3
    lsrs    r9, r9, #2
    rsb     r9, r9, #0
    and     r9, r9, #3
    mov     r1, #112
    adr     r2, 2f
    mla     r2, r9, r1, r2
    adds    r2, r2, #1
    mov     r1, #28
    adr     r3, 11f
    mla     r3, r9, r1, r3
    adds    r3, r3, #1
    strd    r2, r3, [sp, #24]
    @ The end of the window: padded columns of four bytes each.
    ldr     r9, [r0]
    adds    r9, r9, #3
    bic     r9, r9, #3
    ldr     r1, [sp, #16]
    add     r9, r1, r9, lsl #2
    str     r9, [sp, #20]
10:
    ldrd    r10, r0, [sp, #16]
    movs    r3, #0
    mov     r12, #0
    ldr     pc, [sp, #28]
    .p2align 2
11:
    .rept 4
    ldm     r10!, {{r4-r7}}
    mla     r12, r4, r5, r12
    mla     r12, r6, r7, r12
    add.w   r4, r4, r5
    add.w   r6, r6, r7
    add.w   r3, r3, r4
    add.w   r3, r3, r6
    .endr
    cmp     r10, r0
    bne     11b
    @ -128 * sum for row 2, 257 and 65793 times that for rows 1 and 0; all less the products.
    lsls    r3, r3, #7
    rsbs    r2, r3, #0
    sub     r5, r2, r3, lsl #8
    add     r4, r2, r5, lsl #8
    sub     r6, r2, r12
    sub     r5, r5, r12
    sub     r4, r4, r12
    rsb     r7, r12, #0
    stm     sp, {{r4-r7}}
    ldrd    r11, r0, [sp, #36]
    ldr     r1, [sp, #44]
    add     r1, r1, lr
    str     r1, [sp, #40]
1:
    ldm     r11!, {{r0-r3}}
    ldm     sp, {{r4-r7, r10, r12}}
    add     r0, r0, r4
    add     r1, r1, r5
    add     r2, r2, r6
    add     r3, r3, r7
    ldr     pc, [sp, #24]
    .p2align 2
2:
    .rept 8
    PICOVAE_STRIP_PAIR
    .endr
    cmp     r10, r12
    bne     2b
    ldm     r11!, {{r4-r7, r9}}
    mov     r8, #0x80808080
    str     r8, [lr]
    ldr     pc, [sp, #32]

    @ The flags tell whether the sum is below zero; r9 shifts.
    .macro PICOVAE_STRIP_ROW row, acc, multiplier, rounding
    bmi     5f
    smull   r8, \acc, \acc, \multiplier
    .ifc \rounding, double
    lsls    r8, r8, #1
    adc     \acc, \acc, #0
    .endif
    asr     \acc, \acc, r9
    sub     \acc, \acc, #255
    ssat    \acc, #8, \acc, asr #1
    strb    \acc, [lr, #\row]
5:
    .endm

    .macro PICOVAE_STRIP_END name
    .global picovae_strip_end_\name
    .type picovae_strip_end_\name, %function
    .thumb_func
picovae_strip_end_\name:
    subs    r0, r0, r1, lsl #8
    PICOVAE_STRIP_ROW 0, r0, r4, \name
    lsr     r9, r9, #8
    subs    r1, r1, r2, lsl #8
    PICOVAE_STRIP_ROW 1, r1, r5, \name
    lsr     r9, r9, #8
    subs    r2, r2, r3, lsl #8
    PICOVAE_STRIP_ROW 2, r2, r6, \name
    lsr     r9, r9, #8
    cmp     r3, #0
    PICOVAE_STRIP_ROW 3, r3, r7, \name
    ldr     r12, [sp, #40]
    add     lr, lr, #4
    cmp     lr, r12
    bne     1b
    ldrd    r0, r1, [sp, #48]
    add     lr, lr, r1
    ldrd    r2, r3, [sp, #16]
    add     r2, r2, r0
    add     r3, r3, r0
    strd    r2, r3, [sp, #16]
    ldr     r0, [sp, #56]
    subs    r0, r0, #1
    str     r0, [sp, #56]
    bne     10b
    add     sp, sp, #60
    pop     {{r4-r11, pc}}
    .endm

    PICOVAE_STRIP_END double
    PICOVAE_STRIP_END single
    .text
"#
);
