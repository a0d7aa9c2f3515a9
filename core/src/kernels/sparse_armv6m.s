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
    PICOVAE_REV_MASKS
    PICOVAE_REV_WIDEN_BLOCKS 7
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
