    @ Part of armv6m.rs, between its macros and its dense layer.

    @ Blocks of sixteen columns, each with a word behind its activations: -128 times their sum. The frame
    @ is that of a product of many parts: 16 activations, 20 and 40 apart for ever, r11 as 40 at the last part.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer_sparse
    .type picovae_layer_sparse, %function
    .thumb_func
picovae_layer_sparse:
    push    {r4-r7, lr}
    mov     r4, r8
    mov     r5, r9
    mov     r6, r10
    mov     r7, r11
    push    {r4-r7}
    sub     sp, sp, #48
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
31:
    cmp     r2, #16
    blt     33f
    subs    r2, #16
    mov     r9, r2
    movs    r2, #4
    movs    r5, #0
32:
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
    subs    r2, #1
    bne     32b
    lsls    r5, r5, #7
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
    mov     r6, r10
    movs    r0, #0
    str     r0, [sp, #0]
    str     r0, [sp, #4]
    str     r0, [sp, #8]
    str     r0, [sp, #12]
    str     r0, [sp, #20]
    movs    r1, #1
    str     r1, [sp, #40]
    mov     r1, r8
    str     r1, [sp, #16]
    adr     r1, 36f
    adds    r1, #1
    str     r1, [sp, #36]
    adr     r1, 39f
    adds    r1, #1
    str     r1, [sp, #44]
    PICOVAE_REV_FRAME
    b       1f
    .p2align 2
36:
    mov     r12, r0
    b       39f
37:
    @ -1 ends the group; -2 empties the sums.
    movs    r0, #2
    adds    r0, r0, r7
    mov     r11, r0
    b       3f
    .p2align 2
39:
    ldm     r6!, {r7}
    cmp     r7, #0
    blt     37b
    ldr     r0, [sp, #16]
    adds    r7, r7, r0
    ldr     r0, [r7, #16]
    add     r12, r0
    PICOVAE_REV_STEP 0
    PICOVAE_REV_STEP 4
    PICOVAE_REV_STEP 8
    PICOVAE_REV_STEP 12
    b       39b
