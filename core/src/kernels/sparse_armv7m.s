    @ Part of armv7m.rs, behind its dense layers.

    @ Blocks of sixteen columns; each has two words before its activations, 128 times their sum and their pairs'
    @ products, and takes from the sums what the dense layer puts into their start.
    .section .text.picovae_layer_sparse, "ax", %progbits
    .p2align 2
    .global picovae_layer_sparse
    .type picovae_layer_sparse, %function
    .thumb_func
picovae_layer_sparse:
    push    {r4-r11, lr}
    mov     r9, r1
    mov     r11, r3
    mov     r10, sp
31:
    cmp     r2, #16
    blt     33f
    adds    r1, #8
    movs    r3, #0
    mov     r12, #0
    add     r8, r0, #16
32:
    ldrsb   r5, [r0, #1]
    ldrsb   r6, [r0, #2]
    ldrsb   r7, [r0, #3]
    ldrsb   r4, [r0], #4
    PICOVAE_CHAIN_WIDEN_STEP narrow
    cmp     r0, r8
    bne     32b
    lsls    r3, r3, #7
    strd    r3, r12, [r1, #-40]
    subs    r2, #16
    b       31b
33:
    cmp     r2, #0
    beq     35f
    @ The last columns with zeros behind them, from the stack.
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    push    {r4-r7}
34:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    strb    r4, [sp, r2]
    bne     34b
    mov     r0, sp
    movs    r2, #16
    b       31b
35:
    mov     sp, r10
    ldr     r0, [sp, #36]
    ldr     r1, [sp, #40]
    ldr     r2, [sp, #44]
    ldr     lr, [sp, #48]
    adr     r3, 36f
    adds    r3, r3, #1
    sub     sp, sp, #44
    add     r4, sp, #28
    stm     r4, {r0-r3}
    str     r9, [sp, #20]
    .p2align 2
36:
    ldm     r11!, {r0-r3}
    ldr     r10, [r11], #4
    ldr     r12, [sp, #20]
    cmp     r10, #0
    blt     38f
37:
    add     r10, r10, r12
    ldm     r10!, {r4, r5}
    sub     r3, r3, r5
    add     r5, r5, r4
    sub     r2, r2, r5
    add     r5, r5, r4, lsl #8
    sub     r1, r1, r5
    add     r5, r5, r4, lsl #16
    sub     r0, r0, r5
    .rept 4
    PICOVAE_CHAIN_STEP_narrow
    .endr
    ldr     r10, [r11], #4
    cmp     r10, #0
    bge     37b
38:
    ldr     pc, [sp, #28]
