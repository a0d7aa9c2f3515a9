    @ Part of armv7em.rs, before its other layers: weights of 4 bits in pair packing.
    @
    @ A byte holds the weight of one column in its upper nibble and that of a later one in its lower: byte = 16*h + l.
    @ The bytes meet the first columns' activations `a`, their lower nibbles `16*b - a` of the second ones', which
    @ leaves 16 * (h*a + l*b): two masks for sixteen weights.

    @ Eight columns: the first four doubled, then 16 times the others less those. r9 and r11: their sums, negative;
    @ r12: products of neighbours; r10: -1 in both halves.
    .macro PICOVAE_NIBBLES_WIDEN
    ldr     r4, [r0], #4
    ldr     r6, [r0], #4
    sxtb16  r5, r4, ror #8
    sxtb16  r4, r4
    sxtb16  r7, r6, ror #8
    sxtb16  r6, r6
    sadd16  r4, r4, r4
    sadd16  r5, r5, r5
    sadd16  r6, r6, r6
    sadd16  r7, r7, r7
    smlad   r12, r4, r5, r12
    smlad   r9, r4, r10, r9
    smlad   r9, r5, r10, r9
    smlad   r11, r6, r10, r11
    smlad   r11, r7, r10, r11
    .rept 4
    sadd16  r6, r6, r6
    sadd16  r7, r7, r7
    .endr
    ssub16  r6, r6, r4
    ssub16  r7, r7, r5
    smlad   r12, r6, r7, r12
    stm     r1!, {r4-r7}
    .endm

    @ What the sums have too much: r9 in the lower rows' (negative), r12 in the upper rows'.
    .macro PICOVAE_NIBBLES_EXCESS
    sub     r12, r12, r11, lsl #7
    lsl     r9, r9, #7
    add     r9, r9, r11, lsl #7
    add     r9, r9, r11, lsl #15
    .endm

    @ The columns left over with zeros behind them, from the stack, as if they were as many as `columns`.
    .macro PICOVAE_NIBBLES_REST columns, again
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    push    {r4-r7}
43:
    subs    r2, #1
    ldrb    r4, [r0, r2]
    strb    r4, [sp, r2]
    bne     43b
    mov     r0, sp
    movs    r2, #\columns
    b       \again
    .endm

    @ Two words of two rows, then of the other two.
    .macro PICOVAE_NIBBLES_STEP
    ldm     r8!, {r4, r5}
    ldrd    r10, r11, [r12]
    and     r6, r4, #0x0f0f0f0f
    and     r7, r5, #0x0f0f0f0f
    smlad   r0, r4, r10, r0
    smlad   r0, r5, r11, r0
    sxtab16 r4, r11, r4, ror #8
    sxtab16 r5, r10, r5, ror #8
    smlad   r1, r4, r5, r1
    ldrd    r10, r11, [r12, #8]
    smlad   r0, r6, r10, r0
    smlad   r0, r7, r11, r0
    sxtab16 r6, r11, r6, ror #8
    sxtab16 r7, r10, r7, ror #8
    smlad   r1, r6, r7, r1
    ldm     r8!, {r4, r5}
    and     r6, r4, #0x0f0f0f0f
    and     r7, r5, #0x0f0f0f0f
    smlad   r2, r6, r10, r2
    smlad   r2, r7, r11, r2
    sxtab16 r6, r11, r6, ror #8
    sxtab16 r7, r10, r7, ror #8
    smlad   r3, r6, r7, r3
    ldrd    r10, r11, [r12], #16
    smlad   r2, r4, r10, r2
    smlad   r2, r5, r11, r2
    sxtab16 r4, r11, r4, ror #8
    sxtab16 r5, r10, r5, ror #8
    smlad   r3, r4, r5, r3
    .endm

    @ Sixteen times the sums to what the end routines expect.
    .macro PICOVAE_NIBBLES_LEAVE
    sub     r0, r0, r1, lsl #8
    sub     r2, r2, r3, lsl #8
    asrs    r0, r0, #4
    asrs    r1, r1, #4
    asrs    r2, r2, #4
    asrs    r3, r3, #4
    add     r0, r0, r1, lsl #8
    add     r2, r2, r3, lsl #8
    ldr     pc, [sp, #56]
    .endm

    @ Frame as in picovae_layer.
    .section .text.picovae_layer, "ax", %progbits
    .p2align 2
    .global picovae_layer_nibbles
    .type picovae_layer_nibbles, %function
    .thumb_func
picovae_layer_nibbles:
    push    {r4-r11, lr}
    mov     r8, r3
    mov     r3, r1
    mov     lr, sp
    mov     r10, #-1
    mov     r9, #0
    mov     r11, #0
    mov     r12, #0
41:
    cmp     r2, #8
    blt     42f
    PICOVAE_NIBBLES_WIDEN
    subs    r2, #8
    b       41b
42:
    cmp     r2, #0
    beq     44f
    PICOVAE_NIBBLES_REST 8, 41b
44:
    mov     sp, lr
    PICOVAE_NIBBLES_EXCESS
    mov     r0, r9
    mov     r2, r1
    mov     r1, r12
    sub     r4, r3, r2
    and     r4, r4, #48
    movs    r5, #29
    lsrs    r4, r4, #2
    mul     r4, r4, r5
    adr.w   r5, 46f + 1
    add     r4, r4, r5
    ldr     lr, [sp, #48]
    push    {r0-r4}
    b       1f
    .p2align 2
46:
    .rept 4
    PICOVAE_NIBBLES_STEP
    .endr
    cmp     r9, r12
    bne     46b
    PICOVAE_NIBBLES_LEAVE

    @ Blocks of sixteen columns behind their two words, as in picovae_layer_sparse.
    .p2align 2
    .global picovae_layer_sparse_nibbles
    .type picovae_layer_sparse_nibbles, %function
    .thumb_func
picovae_layer_sparse_nibbles:
    push    {r4-r11, lr}
    mov     r8, r3
    mov     r3, r1
    mov     lr, sp
    mov     r10, #-1
41:
    cmp     r2, #16
    blt     42f
    add     r1, #8
    mov     r9, #0
    mov     r11, #0
    mov     r12, #0
    PICOVAE_NIBBLES_WIDEN
    PICOVAE_NIBBLES_WIDEN
    PICOVAE_NIBBLES_EXCESS
    strd    r9, r12, [r1, #-40]
    subs    r2, #16
    b       41b
42:
    cmp     r2, #0
    beq     44f
    PICOVAE_NIBBLES_REST 16, 41b
44:
    mov     sp, lr
    movs    r0, #0
    movs    r1, #0
    mov     r2, r3
    adr.w   r4, 45f + 1
    ldr     lr, [sp, #48]
    push    {r0-r4}
    b       1f
    .p2align 2
45:
    ldr     r12, [r8], #4
    cmp     r12, #0
    blt     47f
46:
    add     r12, r12, r9
    ldm     r12!, {r10, r11}
    add     r0, r0, r10
    add     r2, r2, r10
    sub     r1, r1, r11
    sub     r3, r3, r11
    PICOVAE_NIBBLES_STEP
    PICOVAE_NIBBLES_STEP
    ldr     r12, [r8], #4
    cmp     r12, #0
    bge     46b
47:
    PICOVAE_NIBBLES_LEAVE

    .purgem PICOVAE_NIBBLES_WIDEN
    .purgem PICOVAE_NIBBLES_EXCESS
    .purgem PICOVAE_NIBBLES_REST
    .purgem PICOVAE_NIBBLES_STEP
    .purgem PICOVAE_NIBBLES_LEAVE
