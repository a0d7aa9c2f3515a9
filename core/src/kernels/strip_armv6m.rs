//! Cortex-M0+: a strip of windows behind one another, a fused ReLU behind each.
//!
//! As `armv6m.rs`, but the input is turned into unsigned bytes once a strip, windows are read where they lie, and
//! their columns number at most 256: no blocks. A ReLU has zero point -128, so a sum below zero is -128 at once.
#![allow(unsafe_code)]

use core::arch::global_asm;

/// An activation as the kernel reads it: unsigned.
pub(super) type Activation = u8;
/// Elements read behind a window.
pub(super) const BEHIND: usize = 0;

/// As the kernel reads it.
#[inline]
pub(super) fn activation(value: i8) -> Activation {
    value as u8 ^ 0x80
}

/// Whether the kernel runs windows of so many columns: more than one step, one block.
#[inline]
pub(super) fn is_able(columns: usize) -> bool {
    (5..=256).contains(&columns)
}

global_asm!(
    r#"
    .syntax unified

    .macro PICOVAE_STRIP_COLUMN word, index
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

    .macro PICOVAE_STRIP_STEP first
    ldm     r6!, {{r0-r3}}
    PICOVAE_STRIP_COLUMN r0, \first
    PICOVAE_STRIP_COLUMN r1, (\first + 1)
    PICOVAE_STRIP_COLUMN r2, (\first + 2)
    PICOVAE_STRIP_COLUMN r3, (\first + 3)
    .endm

    @ r0: arguments, see strips.rs. All steps but the last run in rounds of four, the last without its padding.
    @ Frame: 0 window (less the steps its first round lacks), 4 weights, 8 out, 12 to the next window,
    @ 16 from the end of a position's rows to the next one, 20 rows, 24 positions, 28 end routine, 32 end of the
    @ rows, 36 bytes left out of the first round, 40 bytes of all rounds, 44 entry of the last step, 48 of its sum.
    .section .text.picovae_strip, "ax", %progbits
    .p2align 2
    .global picovae_strip
    .type picovae_strip, %function
    .thumb_func
picovae_strip:
    push    {{r4-r7, lr}}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {{r4-r7}}
    sub     sp, sp, #52
    mov     r1, sp
    ldm     r0!, {{r2-r5}}
    stm     r1!, {{r2-r5}}
    ldm     r0!, {{r2-r5}}
    stm     r1!, {{r2-r5}}
    ldr     r3, [r0]
    @ Columns of padding, 0 to 3: so many of the last step are jumped over.
    rsbs    r1, r3, #0
    movs    r2, #3
    ands    r1, r2
    movs    r2, #18
    muls    r2, r1, r2
    adr     r4, 4f
    adds    r4, r4, r2
    adds    r4, #1
    str     r4, [sp, #44]
    lsls    r2, r1, #2
    adr     r4, 12f
    adds    r4, r4, r2
    adds    r4, #1
    str     r4, [sp, #48]
    @ Rounds: columns without the last step, and what is no multiple of 16 left out of the first.
    adds    r3, r3, r1
    subs    r3, #4
    rsbs    r1, r3, #0
    movs    r2, #12
    ands    r1, r2
    str     r1, [sp, #36]
    adds    r3, r3, r1
    str     r3, [sp, #40]
    lsrs    r2, r1, #2
    movs    r4, #74
    muls    r2, r4, r2
    adr     r4, 2f
    adds    r4, r4, r2
    adds    r4, #1
    mov     lr, r4
    ldr     r7, [sp, #0]
    subs    r7, r7, r1
    str     r7, [sp, #0]
10:
    ldr     r7, [sp, #0]
    ldr     r4, [sp, #40]
    adds    r4, r4, r7
    mov     r11, r4
    ldr     r4, [sp, #36]
    adds    r7, r7, r4
    movs    r5, #0
11:
    ldrb    r0, [r7, #0]
    ldrb    r1, [r7, #1]
    ldrb    r2, [r7, #2]
    ldrb    r3, [r7, #3]
    adds    r0, r0, r1
    adds    r2, r2, r3
    adds    r5, r5, r0
    adds    r5, r5, r2
    adds    r7, #4
    cmp     r7, r11
    bne     11b
    ldr     r4, [sp, #48]
    bx      r4
    .p2align 2
12:
    ldrb    r0, [r7, #3]
    adds    r5, r5, r0
    ldrb    r0, [r7, #2]
    adds    r5, r5, r0
    ldrb    r0, [r7, #1]
    adds    r5, r5, r0
    ldrb    r0, [r7, #0]
    adds    r5, r5, r0
    @ Every row has 128 times the sum too much.
    lsls    r5, r5, #7
    rsbs    r5, r5, #0
    mov     r12, r5
    ldr     r6, [sp, #4]
    ldr     r4, [sp, #8]
    ldr     r5, [sp, #20]
    adds    r4, r4, r5
    str     r4, [sp, #32]
1:
    ldr     r7, [sp, #0]
    movs    r0, #0
    mov     r8, r0
    mov     r9, r0
    mov     r10, r0
    bx      lr
    .p2align 2
2:
    PICOVAE_STRIP_STEP 0
    PICOVAE_STRIP_STEP 4
    PICOVAE_STRIP_STEP 8
    PICOVAE_STRIP_STEP 12
    adds    r7, #16
    cmp     r7, r11
    beq     3f
    b       2b
3:
    ldm     r6!, {{r0-r3}}
    ldr     r4, [sp, #44]
    bx      r4
    .p2align 2
4:
    PICOVAE_STRIP_COLUMN r3, 3
    PICOVAE_STRIP_COLUMN r2, 2
    PICOVAE_STRIP_COLUMN r1, 1
    PICOVAE_STRIP_COLUMN r0, 0
    @ H, R, P to U0 in r2, U1 in r4, U2 in r0, U3 in r3, as in armv6m.rs.
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
    mov     r8, r4
    mov     r9, r0
    mov     r10, r3
    ldr     r7, [sp, #8]
    ldr     r5, [r6, #32]
    ldr     r1, [sp, #28]
    bx      r1

    @ r6 numbers, r5 shifts, r7 out. A sum below zero ends at the zero point; the others are unsigned from here on.
    .macro PICOVAE_STRIP_ROW row, sum, add
    mov     r0, \sum
    ldr     r1, [r6, #(4 * \row)]
    add     r0, r12
    adds    r0, r0, r1
    bmi     5f
    ldrh    r1, [r6, #(16 + 4 * \row)]
    ldrh    r2, [r6, #(18 + 4 * \row)]
    uxth    r3, r0
    lsrs    r0, r0, #16
    movs    r4, r1
    muls    r4, r3, r4
    muls    r3, r2, r3
    muls    r1, r0, r1
    muls    r0, r2, r0
    lsrs    r4, r4, #16
    adds    r1, r1, r3
    adds    r1, r1, r4
    lsls    r0, r0, #1
    lsrs    r1, r1, #15
    @ Double: the bit shifted out last rounds.
    \add    r0, r1
    lsrs    r0, r5
    subs    r0, #255
    asrs    r0, r0, #1
    cmp     r0, #127
    ble     6f
    movs    r0, #127
    b       6f
5:
    movs    r0, #128
6:
    strb    r0, [r7, #\row]
    .endm

    .macro PICOVAE_STRIP_END name, add
    .global picovae_strip_end_\name
    .type picovae_strip_end_\name, %function
    .thumb_func
picovae_strip_end_\name:
    PICOVAE_STRIP_ROW 0, r2, \add
    lsrs    r5, r5, #8
    PICOVAE_STRIP_ROW 1, r8, \add
    lsrs    r5, r5, #8
    PICOVAE_STRIP_ROW 2, r9, \add
    lsrs    r5, r5, #8
    PICOVAE_STRIP_ROW 3, r10, \add
    adds    r6, #36
    adds    r7, #4
    str     r7, [sp, #8]
    ldr     r1, [sp, #32]
    cmp     r7, r1
    beq     7f
    b       1b
7:
    ldr     r0, [sp, #16]
    adds    r7, r7, r0
    str     r7, [sp, #8]
    ldr     r0, [sp, #0]
    ldr     r1, [sp, #12]
    adds    r0, r0, r1
    str     r0, [sp, #0]
    ldr     r0, [sp, #24]
    subs    r0, #1
    str     r0, [sp, #24]
    beq     8f
    b       10b
8:
    add     sp, sp, #52
    pop     {{r4-r7}}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {{r4-r7, pc}}
    .endm

    PICOVAE_STRIP_END double, adcs
    PICOVAE_STRIP_END single, add
    .text
"#
);
