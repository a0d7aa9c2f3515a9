//! Whether this machine has AVX2: asked once a process, without the standard library.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use core::sync::atomic::{AtomicU8, Ordering};

/// Whether the processor has AVX2 and the system keeps its registers.
#[inline]
pub(super) fn has_avx2() -> bool {
    /// 0 unknown, 1 no, 2 yes.
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let found = detect_avx2();
            KNOWN.store(1 + u8::from(found), Ordering::Relaxed);
            found
        }
        known => known == 2,
    }
}

#[cold]
#[allow(unused_unsafe)]
fn detect_avx2() -> bool {
    const OSXSAVE_AVX: u32 = 1 << 27 | 1 << 28;
    /// SSE and AVX state.
    const STATE: u64 = 0b110;
    // SAFETY: every x86-64 has CPUID; XGETBV is there when OSXSAVE is.
    unsafe {
        __cpuid(0).eax >= 7
            && __cpuid(1).ecx & OSXSAVE_AVX == OSXSAVE_AVX
            && enabled_state() & STATE == STATE
            && __cpuid_count(7, 0).ebx & (1 << 5) != 0
    }
}

/// # Safety
/// The processor has XSAVE.
#[target_feature(enable = "xsave")]
unsafe fn enabled_state() -> u64 {
    // SAFETY: the caller's promise.
    unsafe { _xgetbv(0) }
}
