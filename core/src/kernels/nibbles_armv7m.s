    @ Part of armv7m.rs: weights of 4 bits, two rows a multiplication.
    @
    @ A word holds two columns of four rows, w + 8; masked, the halves are two rows of one column. Activations are
    @ unsigned bytes, so each half sums sixteen columns without a carry; then both go to their rows' sums.

    @ Two columns in a word: r4 rows 0 and 1, r5 rows 2 and 3, r12 the mask.
    .macro PICOVAE_NIBBLES_WORD word
    ldrb    r8, [r10], #1
    and     r9, r12, \word
    mla     r4, r8, r9, r4
    and     r9, r12, \word, lsr #4
    mla     r5, r8, r9, r5
    ldrb    r8, [r10], #1
    and     r9, r12, \word, lsr #8
    mla     r4, r8, r9, r4
    and     r9, r12, \word, lsr #12
    mla     r5, r8, r9, r5
    .endm

    .macro PICOVAE_NIBBLES_STEP
    ldm     r11!, {r6, r7}
    PICOVAE_NIBBLES_WORD r6
    PICOVAE_NIBBLES_WORD r7
    .endm

    .macro PICOVAE_NIBBLES_FOLD
    uxth    r6, r4
    add     r0, r0, r6
    add     r1, r1, r4, lsr #16
    uxth    r6, r5
    add     r2, r2, r6
    add     r3, r3, r5, lsr #16
    movs    r4, #0
    movs    r5, #0
    .endm

    @ Sums to what the end routines expect: doubled, each plus 256 times the next.
    .macro PICOVAE_NIBBLES_LEAVE
    lsls    r3, r3, #1
    lsls    r2, r2, #1
    add     r2, r2, r3, lsl #8
    lsls    r1, r1, #1
    add     r1, r1, r2, lsl #8
    lsls    r0, r0, #1
    add     r0, r0, r1, lsl #8
    ldr     pc, [sp, #28]
    .endm

    @ A word of activations plus 128; r3 sums them, r12 is 0x80808080.
    .macro PICOVAE_NIBBLES_WIDEN
    eor     r4, r4, r12
    str     r4, [r1], #4
    and     r5, r4, #0x00ff00ff
    lsrs    r4, r4, #8
    and     r4, r4, #0x00ff00ff
    add     r4, r4, r5
    uxth    r5, r4
    add     r3, r3, r5
    add     r3, r3, r4, lsr #16
    .endm

    @ Frame as in the other layers: 0 what every row has too much (negative), 16 activations, 20 their end, 24
    @ entry of the loop, 28 end routine, 32 offset, 36 out_end, 40 group.
    .macro PICOVAE_NIBBLES_FRAME group
    ldr     r0, [sp, #36]
    ldr     r1, [sp, #40]
    ldr     r2, [sp, #44]
    ldr     lr, [sp, #48]
    adr.w   r3, \group
    adds    r3, r3, #1
    sub     sp, sp, #44
    add     r4, sp, #28
    stm     r4, {r0-r3}
    .endm

    .section .text.picovae_layer_nibbles, "ax", %progbits
    .p2align 2
    .global picovae_layer_nibbles
    .type picovae_layer_nibbles, %function
    .thumb_func
picovae_layer_nibbles:
    push    {r4-r11, lr}
    mov     r9, r1
    mov     r11, r3
    movs    r3, #0
    mov     r12, #0x80808080
    subs    r2, #4
    blt     42f
41:
    ldr     r4, [r0], #4
    PICOVAE_NIBBLES_WIDEN
    subs    r2, #4
    bge     41b
42:
    adds    r2, #4
    beq     44f
    @ Bytes left over; those behind them become zero.
    mov     r4, r12
43:
    subs    r2, #1
    ldrb    r5, [r0, r2]
    lsl     r4, r4, #8
    orr     r4, r4, r5
    bne     43b
    PICOVAE_NIBBLES_WIDEN
44:
    lsls    r7, r3, #3
    rsbs    r7, r7, #0
    mov     r8, r1
    PICOVAE_NIBBLES_FRAME 45f
    str     r7, [sp, #0]
    @ Enter the loop behind as many steps as the last round lacks.
    subs    r2, r9, r8
    and     r2, r2, #12
    mov     r0, #21
    mul     r2, r2, r0
    adr.w   r0, 46f
    add     r2, r2, r0
    adds    r2, r2, #1
    strd    r9, r8, [sp, #16]
    str     r2, [sp, #24]
    .p2align 2
45:
    ldm     r11!, {r0-r3}
    ldr     r4, [sp, #0]
    ldr     r10, [sp, #16]
    add     r0, r0, r4
    add     r1, r1, r4
    add     r2, r2, r4
    add     r3, r3, r4
    movs    r4, #0
    movs    r5, #0
    mov     r12, #0x000f000f
    ldr     pc, [sp, #24]
    .p2align 2
46:
    .rept 4
    PICOVAE_NIBBLES_STEP
    .endr
    PICOVAE_NIBBLES_FOLD
    ldr     r6, [sp, #20]
    cmp     r10, r6
    bne     46b
    PICOVAE_NIBBLES_LEAVE

    @ Blocks of sixteen columns; behind their activations a word, -8 times their sum.
    .section .text.picovae_layer_sparse_nibbles, "ax", %progbits
    .p2align 2
    .global picovae_layer_sparse_nibbles
    .type picovae_layer_sparse_nibbles, %function
    .thumb_func
picovae_layer_sparse_nibbles:
    push    {r4-r11, lr}
    mov     r9, r1
    mov     r11, r3
    mov     r12, #0x80808080
    mov     r10, sp
41:
    cmp     r2, #16
    blt     42f
    movs    r3, #0
    .rept 4
    ldr     r4, [r0], #4
    PICOVAE_NIBBLES_WIDEN
    .endr
    lsls    r3, r3, #3
    rsbs    r3, r3, #0
    str     r3, [r1], #4
    subs    r2, #16
    b       41b
42:
    cmp     r2, #0
    beq     44f
    @ The last columns from the stack, with what becomes zero behind them.
    mov     r4, r12
    mov     r5, r12
    mov     r6, r12
    mov     r7, r12
    push    {r4-r7}
43:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    strb    r4, [sp, r2]
    bne     43b
    mov     r0, sp
    movs    r2, #16
    b       41b
44:
    mov     sp, r10
    PICOVAE_NIBBLES_FRAME 45f
    str     r9, [sp, #16]
    .p2align 2
45:
    ldm     r11!, {r0-r3}
    movs    r4, #0
    movs    r5, #0
    mov     r12, #0x000f000f
46:
    ldr     r10, [r11], #4
    ldr     r6, [sp, #16]
    cmp     r10, #0
    blt     47f
    add     r10, r10, r6
    .rept 4
    PICOVAE_NIBBLES_STEP
    .endr
    PICOVAE_NIBBLES_FOLD
    ldr     r6, [r10]
    add     r0, r0, r6
    add     r1, r1, r6
    add     r2, r2, r6
    add     r3, r3, r6
    b       46b
47:
    PICOVAE_NIBBLES_LEAVE
    .purgem PICOVAE_NIBBLES_WORD
    .purgem PICOVAE_NIBBLES_STEP
    .purgem PICOVAE_NIBBLES_FOLD
    .purgem PICOVAE_NIBBLES_LEAVE
    .purgem PICOVAE_NIBBLES_WIDEN
    .purgem PICOVAE_NIBBLES_FRAME
