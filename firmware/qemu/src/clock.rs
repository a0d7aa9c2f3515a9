//! Time on the emulated machines: SysTick, for embassy.
//!
//! SysTick interrupts once a millisecond; the microseconds between are read off its counter.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::{Driver, time_driver_impl};
use embassy_time_queue_utils::Queue;

/// SysTick's clock, which `build.rs` knows of each machine.
const CLOCK_HZ: u32 = machine::CLOCK_HZ;
/// SysTick counts a microsecond.
const COUNTS_PER_US: u32 = CLOCK_HZ / 1_000_000;
/// SysTick counts a millisecond, one interrupt.
const RELOAD: u32 = CLOCK_HZ / 1_000;

/// What `build.rs` knows of the machine.
mod machine {
    include!(concat!(env!("OUT_DIR"), "/machine.rs"));
}

struct Clock {
    milliseconds: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

time_driver_impl!(static CLOCK: Clock = Clock {
    milliseconds: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Clock {
    fn microseconds(&self, cs: CriticalSection<'_>) -> u64 {
        let whole = self.milliseconds.borrow(cs).get();
        let mut counter = SYST::get_current();
        // It wrapped, and its interrupt waits for the end of this section.
        let wrapped = SCB::is_pendst_pending();
        if wrapped {
            counter = SYST::get_current();
        }
        let part = (RELOAD - 1).saturating_sub(counter) / COUNTS_PER_US;
        (whole + u64::from(wrapped)) * 1_000 + u64::from(part)
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|cs| self.microseconds(cs))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut queue = self.queue.borrow(cs).borrow_mut();
            // Looked at again at the next interrupt, within a millisecond.
            let _ = queue.schedule_wake(at, waker);
        });
    }
}

/// Starts the clock.
pub fn start(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(RELOAD - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

/// A millisecond has passed.
pub fn tick() {
    critical_section::with(|cs| {
        let milliseconds = CLOCK.milliseconds.borrow(cs);
        milliseconds.set(milliseconds.get() + 1);
        let now = milliseconds.get() * 1_000;
        let _ = CLOCK.queue.borrow(cs).borrow_mut().next_expiration(now);
    });
}
