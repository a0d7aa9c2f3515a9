//! All memory above the statics but the stack's, with the most that was ever taken of it.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering};

use embedded_alloc::LlffHeap;

/// Left to the stack.
const STACK: usize = 256 * 1024;
/// Of the machine with the least.
const RAM: usize = 2 * 1024 * 1024;

struct Watched(LlffHeap);

#[global_allocator]
static HEAP: Watched = Watched(LlffHeap::empty());
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.0.alloc(layout) };
        PEAK.store(PEAK.load(Ordering::Relaxed).max(self.0.used()), Ordering::Relaxed);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) };
    }
}

/// Before anything is allocated, once.
pub fn init() {
    // SAFETY: behind the statics lies nothing but, far above, the stack; called once, by `main`.
    unsafe { HEAP.0.init(cortex_m_rt::heap_start() as usize, RAM - STACK) };
}

/// The most bytes taken at a time, weights included.
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed)
}
