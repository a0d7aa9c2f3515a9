//! Marks for the counter, and the painted stack; the peers' images share this file.

use core::arch::asm;

/// A boundary the `icount` plugin sees.
#[inline(always)]
pub fn mark() {
    // SAFETY: moves a register to itself.
    unsafe { asm!("mov r11, r11", options(nostack, preserves_flags)) };
}

const PAINT: u32 = 0xa5a5_5a5a;

/// Bytes of stack that `run` uses, all it calls included; at most `WORDS` words are seen.
///
/// Inlined, so that the stack pointer is that of the caller of `run`.
#[inline(always)]
pub fn stack_of<const WORDS: usize>(run: impl FnOnce()) -> usize {
    let top: usize;
    // SAFETY: writes only below the stack pointer, where nothing lives; the machines have megabytes there, and no
    // interrupt is enabled.
    unsafe {
        asm!(
            "mov {top}, sp",
            "mov {at}, sp",
            "2:",
            "subs {at}, {at}, #4",
            "str {paint}, [{at}]",
            "subs {left}, {left}, #1",
            "bne 2b",
            top = out(reg) top,
            at = out(reg) _,
            left = inout(reg) WORDS => _,
            paint = in(reg) PAINT,
        );
    }
    run();
    let deepest = (0..WORDS).rev().find(|word| {
        // SAFETY: a painted word, aligned as the stack pointer is.
        unsafe { core::ptr::read_volatile((top - 4 * (word + 1)) as *const u32) != PAINT }
    });
    deepest.map_or(0, |word| 4 * (word + 1))
}
