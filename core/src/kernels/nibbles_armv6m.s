    @ Part of armv6m.rs, before its dense layer: weights of 4 bits, two rows a multiplication.
    @
    @ A word holds two columns of four rows, w + 8; masked, the halves are two rows of one column. Activations are
    @ unsigned bytes, so each half sums sixteen columns without a carry; then both go to their rows' sums.

    @ Two columns: r4 rows 0 and 1, r5 rows 2 and 3, r3 the mask.
    .macro PICOVAE_NIBBLES_WORD index
    ldm     r6!, {r0}
    ldrb    r1, [r7, #\index]
    movs    r2, r0
    ands    r2, r3
    muls    r2, r1, r2
    adds    r4, r4, r2
    lsrs    r2, r0, #4
    ands    r2, r3
    muls    r2, r1, r2
    adds    r5, r5, r2
    ldrb    r1, [r7, #(\index + 1)]
    lsrs    r2, r0, #8
    ands    r2, r3
    muls    r2, r1, r2
    adds    r4, r4, r2
    lsrs    r2, r0, #12
    ands    r2, r3
    muls    r2, r1, r2
    adds    r5, r5, r2
    .endm

    .macro PICOVAE_NIBBLES_ROUND
    .irp index, 0, 2, 4, 6, 8, 10, 12, 14
    PICOVAE_NIBBLES_WORD \index
    .endr
    uxth    r0, r4
    add     r8, r0
    lsrs    r4, r4, #16
    add     r9, r4
    uxth    r0, r5
    add     r10, r0
    lsrs    r5, r5, #16
    add     r11, r5
    movs    r4, #0
    movs    r5, #0
    .endm

    @ Sums to where the end routines expect them.
    .macro PICOVAE_NIBBLES_LEAVE
    mov     r2, r8
    mov     r8, r9
    mov     r9, r10
    mov     r10, r11
    ldr     r7, [sp, #24]
    ldr     r1, [sp, #32]
    bx      r1
    .endm

    @ The arguments on the stack, the mask, and what both layers call a group.
    .macro PICOVAE_NIBBLES_FRAME
    adr     r0, 45f
    adds    r0, #1
    str     r0, [sp, #36]
    movs    r0, #15
    lsls    r1, r0, #16
    orrs    r0, r1
    str     r0, [sp, #40]
    PICOVAE_REV_FRAME
    .endm

    @ Frame: 16 start in the activations (less the steps left out), 20 their end, 24 out, 28 out_end, 32 end
    @ routine, 36 entry of a group, 40 the mask, 44 entry of the loop.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer_nibbles
    .type picovae_layer_nibbles, %function
    .thumb_func
picovae_layer_nibbles:
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
    blo     42f
41:
    PICOVAE_REV_WIDEN
    subs    r2, #4
    bhs     41b
42:
    adds    r2, #4
    beq     44f
    movs    r7, #0
    movs    r3, #128
43:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    eors    r4, r3
    adds    r5, r5, r4
    lsls    r7, r7, #8
    orrs    r7, r4
    cmp     r2, #0
    bne     43b
    stm     r1!, {r7}
44:
    lsls    r5, r5, #3
    rsbs    r5, r5, #0
    mov     r12, r5
    mov     r6, r10
    str     r1, [sp, #20]
    @ Leave out the steps of four columns the first round lacks.
    mov     r2, r8
    subs    r3, r2, r1
    movs    r4, #12
    ands    r3, r4
    subs    r2, r2, r3
    str     r2, [sp, #16]
    movs    r4, #19
    muls    r3, r4, r3
    adr     r4, 46f
    adds    r3, r3, r4
    adds    r3, #1
    str     r3, [sp, #44]
    PICOVAE_NIBBLES_FRAME
    b       1f
    .p2align 2
45:
    mov     r11, r0
    movs    r4, r0
    movs    r5, r0
    ldr     r3, [sp, #40]
    ldr     r1, [sp, #44]
    bx      r1
    .p2align 2
46:
    PICOVAE_NIBBLES_ROUND
    adds    r7, #16
    ldr     r0, [sp, #20]
    cmp     r7, r0
    beq     47f
    b       46b
47:
    PICOVAE_NIBBLES_LEAVE

    @ Blocks of sixteen columns, each with a word behind its activations: -8 times their sum.
    .p2align 2
    .global picovae_layer_sparse_nibbles
    .type picovae_layer_sparse_nibbles, %function
    .thumb_func
picovae_layer_sparse_nibbles:
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
    PICOVAE_REV_WIDEN_BLOCKS 3
    mov     r6, r10
    mov     r1, r8
    str     r1, [sp, #16]
    PICOVAE_NIBBLES_FRAME
    b       1f
    .p2align 2
45:
    mov     r11, r0
    mov     r12, r0
    movs    r4, r0
    movs    r5, r0
    ldr     r3, [sp, #40]
    b       46f
    .p2align 2
47:
    PICOVAE_NIBBLES_LEAVE
46:
    ldm     r6!, {r7}
    cmp     r7, #0
    blt     47b
    ldr     r0, [sp, #16]
    adds    r7, r7, r0
    ldr     r0, [r7, #16]
    add     r12, r0
    PICOVAE_NIBBLES_ROUND
    b       46b
    .purgem PICOVAE_NIBBLES_WORD
    .purgem PICOVAE_NIBBLES_ROUND
    .purgem PICOVAE_NIBBLES_LEAVE
    .purgem PICOVAE_NIBBLES_FRAME
