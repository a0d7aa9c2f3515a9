    @ Part of mve.rs: weights of 4 bits, two rows a byte.
    @
    @ A byte is 16*w1 + (w0 + 8), signed. Its lower nibbles, masked, sum row 0 (and 8 times the activations too
    @ much); whole bytes sum 16 times row 1 and the same again, which is taken off at the end.

    .macro PICOVAE_NIBBLES_STEP
    vand    q2, q1, q3
    vmladava.s8 r6, q0, q1
    vmladava.s8 r4, q0, q2
    vldrb.u8 q1, [r9], #16
    vand    q2, q1, q3
    vmladava.s8 r10, q0, q1
    vmladava.s8 r8, q0, q2
    .endm

    .macro PICOVAE_NIBBLES_LEAVE excess
    subs    r6, r6, r4
    sub     r10, r10, r8
    asrs    r6, r6, #4
    asr     r10, r10, #4
    subs    r4, r4, \excess
    sub     r8, r8, \excess
    bx      r0
    .endm

    .section .text.picovae_layer_nibbles, "ax", %progbits
    .p2align 2
    .global picovae_layer_nibbles
    .type picovae_layer_nibbles, %function
    .thumb_func
picovae_layer_nibbles:
    push    {r4-r11, lr}
    mov     r5, r0
    mov     r7, r0
    mov     r9, r3
    movs    r4, #0
    dlstp.8 lr, r2
2:
    vldrb.u8 q0, [r7], #16
    vaddva.s8 r4, q0
    letp    lr, 2b
    lsls    r4, r4, #3
    ldrd    r0, r1, [sp, #36]
    ldrd    r12, r3, [sp, #44]
    @ The argument's place is ours.
    str     r4, [sp, #36]
    asrs    r1, r1, #1
    vmov.i8 q3, #15
    adr     r11, 1f
    adds    r11, r11, #1
    .p2align 2
1:
    ldm     r9!, {r4, r6, r8, r10}
    mov     r7, r5
    dlstp.8 lr, r2
2:
    vldrb.u8 q0, [r7], #16
    vldrb.u8 q1, [r9], #16
    PICOVAE_NIBBLES_STEP
    letp    lr, 2b
    ldr     r7, [sp, #36]
    PICOVAE_NIBBLES_LEAVE r7

    @ Blocks of sixteen columns, each behind the offset of its activations; r2 sums these.
    .section .text.picovae_layer_sparse_nibbles, "ax", %progbits
    .p2align 2
    .global picovae_layer_sparse_nibbles
    .type picovae_layer_sparse_nibbles, %function
    .thumb_func
picovae_layer_sparse_nibbles:
    push    {r4-r11, lr}
    mov     r5, r0
    mov     r9, r3
    ands    r4, r2, #15
    beq     3f
    mov     r5, r1
    subs    r4, r2, r4
    adds    r4, r4, r1
    vmov.i32 q0, #0
    vstrb.8 q0, [r4]
    dlstp.8 lr, r2
2:
    vldrb.u8 q0, [r0], #16
    vstrb.8 q0, [r1], #16
    letp    lr, 2b
3:
    ldrd    r0, r1, [sp, #36]
    ldrd    r12, r3, [sp, #44]
    asrs    r1, r1, #1
    vmov.i8 q3, #15
    adr     r11, 1f
    adds    r11, r11, #1
    .p2align 2
1:
    ldm     r9!, {r4, r6, r8, r10}
    ldr     lr, [r9], #4
    movs    r2, #0
    wls     lr, lr, 3f
2:
    ldr     r7, [r9], #4
    vldrb.u8 q1, [r9], #16
    add     r7, r7, r5
    vldrb.u8 q0, [r7]
    PICOVAE_NIBBLES_STEP
    vaddva.s8 r2, q0
    le      lr, 2b
3:
    lsls    r2, r2, #3
    PICOVAE_NIBBLES_LEAVE r2
    .purgem PICOVAE_NIBBLES_STEP
    .purgem PICOVAE_NIBBLES_LEAVE
