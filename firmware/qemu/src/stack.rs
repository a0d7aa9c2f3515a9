//! How deep the stack went: cortex-m-rt paints it before `main`.

/// What the paint looks like (cortex-m-rt's `paint-stack`).
const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// Bytes of stack used so far, at the deepest.
pub fn used() -> usize {
    size() - free()
}

/// Bytes of stack never touched.
pub fn free() -> usize {
    let end = &raw const _stack_end;
    let words = size() / size_of::<u32>();
    let painted = (0..words).take_while(|&i| {
        // SAFETY: the linker reserves `_stack_end.._stack_start` for the stack;
        // reading it is sound, and volatile because the painter is assembly.
        unsafe { end.add(i).read_volatile() == PAINT }
    });
    painted.count() * size_of::<u32>()
}

fn size() -> usize {
    (&raw const _stack_start).addr() - (&raw const _stack_end).addr()
}
