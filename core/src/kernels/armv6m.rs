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

/// Activations as unsigned bytes.
#[inline]
pub(super) fn scratch_bytes(inputs: usize) -> usize {
    padded_inputs(packing::REVERSED, inputs)
}

/// Activations as unsigned bytes.
#[inline]
pub(super) fn nibbles_scratch_bytes(inputs: usize) -> usize {
    padded_inputs(packing::REVERSED | packing::FOUR_BIT, inputs)
}

/// Words are loaded from the input.
#[inline]
pub(super) fn is_readable(input: &[i8]) -> bool {
    input.as_ptr().addr().is_multiple_of(4)
}

global_asm!(
    env!("PICOVAE_FORMS"),
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
    ldm     r6!, {r0-r3}
    PICOVAE_REV_COLUMN r0, \first
    PICOVAE_REV_COLUMN r1, (\first + 1)
    PICOVAE_REV_COLUMN r2, (\first + 2)
    PICOVAE_REV_COLUMN r3, (\first + 3)
    .endm

    @ r6 0x80808080, r7 0x00ff00ff.
    .macro PICOVAE_REV_MASKS
    movs    r6, #128
    lsls    r7, r6, #8
    orrs    r6, r7
    lsls    r7, r6, #16
    orrs    r6, r7
    movs    r7, #255
    lsls    r5, r7, #16
    orrs    r7, r5
    .endm

    @ A word of activations plus 128; r5 sums them.
    .macro PICOVAE_REV_WIDEN
    ldm     r0!, {r3}
    eors    r3, r6
    stm     r1!, {r3}
    movs    r4, r3
    ands    r4, r7
    lsrs    r3, r3, #8
    ands    r3, r7
    adds    r4, r4, r3
    lsls    r3, r4, #16
    adds    r4, r4, r3
    lsrs    r4, r4, #16
    adds    r5, r5, r4
    .endm

    @ Blocks of sixteen columns, each with a word behind it: its sum, negative, shifted left.
    .macro PICOVAE_REV_WIDEN_BLOCKS shift
31:
    cmp     r2, #16
    blt     33f
    subs    r2, #16
    mov     r9, r2
    movs    r2, #4
    movs    r5, #0
32:
    PICOVAE_REV_WIDEN
    subs    r2, #1
    bne     32b
    lsls    r5, r5, #\shift
    rsbs    r5, r5, #0
    stm     r1!, {r5}
    mov     r2, r9
    b       31b
33:
    cmp     r2, #0
    beq     35f
    @ The last columns from the frame, with what becomes zero behind them.
    str     r6, [sp, #0]
    str     r6, [sp, #4]
    str     r6, [sp, #8]
    str     r6, [sp, #12]
    mov     r4, sp
34:
    subs    r2, #1
    ldrb    r3, [r0, r2]
    strb    r3, [r4, r2]
    bne     34b
    movs    r0, r4
    movs    r2, #16
    b       31b
35:
    .endm

    @ The arguments on the stack: end routine, offset, end of the output, output.
    .macro PICOVAE_REV_FRAME
    ldr     r0, [sp, #84]
    str     r0, [sp, #32]
    ldr     r0, [sp, #88]
    mov     lr, r0
    ldr     r0, [sp, #92]
    str     r0, [sp, #28]
    ldr     r0, [sp, #96]
    str     r0, [sp, #24]
    .endm

"#,
    ".if picovae_forms",
    include_str!("nibbles_armv6m.s"),
    include_str!("sparse_armv6m.s"),
    ".endif",
    r#"
    @ Frame: 0 sums of earlier blocks, 16 start in the activations (less the steps
    @ left out), 20 end of the first block, 24 out, 28 out_end, 32 end routine,
    @ 36 entry of the first block, 40 end of the last block, 44 where the next one goes on.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer
    .type picovae_layer, %function
    .thumb_func
picovae_layer:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}
    sub     sp, sp, #48
    mov     r8, r1
    mov     r10, r3
    PICOVAE_REV_MASKS
    movs    r5, #0
    subs    r2, #4
    blo     22f
21:
    PICOVAE_REV_WIDEN
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
    stm     r1!, {r7}
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
    adr     r0, 2f
    adds    r0, #1
    str     r0, [sp, #44]
    PICOVAE_REV_FRAME
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
    ldr     r1, [sp, #44]
    bx      r1
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
"#,
    include_str!("ends_armv6m.s"),
    options(raw)
);
