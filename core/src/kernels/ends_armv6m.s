    @ Part of armv6m.rs, behind its layer: requantization and store of four rows.

    @ The sum without its constants in r0; r5 shifts, r6 numbers, r7 out.
    .macro PICOVAE_REV_ROW row, rounding, extend, store, size, largest
    ldr     r1, [r6, #(4 * \row)]
    add     r0, r12
    adds    r0, r0, r1
    .ifc \rounding, relu
    bmi     5f
    .endif
    ldr     r1, [r6, #(16 + 4 * \row)]
    lsrs    r2, r1, #16
    uxth    r1, r1
    sxth    r3, r0
    subs    r0, r0, r3
    asrs    r0, r0, #16
    movs    r4, r1
    muls    r4, r3, r4
    muls    r3, r2, r3
    muls    r1, r0, r1
    muls    r0, r2, r0
    asrs    r4, r4, #16
    adds    r1, r1, r3
    adds    r1, r1, r4
    lsls    r0, r0, #1
    asrs    r1, r1, #15
    .ifc \rounding, relu
    adcs    r0, r1
    .else
    .ifc \rounding, double
    @ The bit shifted out last rounds.
    adcs    r0, r1
    asrs    r1, r0, #31
    .endif
    adds    r0, r0, r1
    .endif
    asrs    r0, r5
    add     r0, lr
    asrs    r0, r0, #1
    \extend r1, r0
    cmp     r1, r0
    beq     6f
    asrs    r0, r0, #31
    movs    r1, #127
    .ifc \extend, sxth
    lsls    r1, r1, #8
    adds    r1, #255
    .endif
    eors    r0, r1
    .ifc \rounding, relu
    b       6f
5:
    movs    r0, #128
    .endif
6:
    \store  r0, [r7, #(\size * \row)]
    .endm

    .macro PICOVAE_REV_LEAVE bytes
    adds    r6, #36
    adds    r7, #\bytes
    str     r7, [sp, #24]
    ldr     r1, [sp, #28]
    cmp     r7, r1
    beq     7f
    b       1b
7:
    add     sp, sp, #48
    pop     {r4-r7}
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
    pop     {r4-r7, pc}
    .endm

    .macro PICOVAE_REV_END name, rounding, extend, store, size
    .global picovae_end_\name
    .type picovae_end_\name, %function
    .thumb_func
picovae_end_\name:
    mov     r0, r2
    ldr     r5, [r6, #32]
    PICOVAE_REV_ROW 0, \rounding, \extend, \store, \size
    mov     r0, r8
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 1, \rounding, \extend, \store, \size
    mov     r0, r9
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 2, \rounding, \extend, \store, \size
    mov     r0, r10
    lsrs    r5, r5, #8
    PICOVAE_REV_ROW 3, \rounding, \extend, \store, \size
    PICOVAE_REV_LEAVE (4 * \size)
    .endm

    PICOVAE_REV_END int8_double, double, sxtb, strb, 1
    PICOVAE_REV_END int8_relu, relu, sxtb, strb, 1
    PICOVAE_REV_END int8_single, single, sxtb, strb, 1
    PICOVAE_REV_END int16_double, double, sxth, strh, 2
    PICOVAE_REV_END int16_single, single, sxth, strh, 2
    .global picovae_end_raw
    .type picovae_end_raw, %function
    .thumb_func
picovae_end_raw:
    mov     r0, r2
    mov     r1, r8
    mov     r2, r9
    mov     r3, r10
    ldr     r4, [r6, #0]
    adds    r0, r0, r4
    add     r0, r12
    ldr     r4, [r6, #4]
    adds    r1, r1, r4
    add     r1, r12
    ldr     r4, [r6, #8]
    adds    r2, r2, r4
    add     r2, r12
    ldr     r4, [r6, #12]
    adds    r3, r3, r4
    add     r3, r12
    str     r0, [r7, #0]
    str     r1, [r7, #4]
    str     r2, [r7, #8]
    str     r3, [r7, #12]
    PICOVAE_REV_LEAVE 16
    .text
