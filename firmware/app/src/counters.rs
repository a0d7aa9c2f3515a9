//! What the two tasks count, for the log and for tests.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A count that one task raises and any task reads.
///
/// Loads and stores only: Armv6-M has no more. So only one task may raise it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU32);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The count so far; it stops at its largest value.
    pub fn value(&self) -> u32 {
        self.0.load(Relaxed)
    }

    pub(crate) fn raise(&self, by: u32) {
        self.0.store(self.value().saturating_add(by), Relaxed);
    }

    pub(crate) fn raise_to(&self, value: u32) {
        self.0.store(self.value().max(value), Relaxed);
    }
}

/// What went well and what did not since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames taken from the sensor.
    pub frames: Counter,
    /// Times that samples were lost, because nobody took them in time.
    pub overruns: Counter,
    /// Frames lost in them, at least: not every sensor tells how many.
    pub lost: Counter,
    /// Faults of sensor and bus, overruns apart.
    pub faults: Counter,
    /// Times that the sampling task found no free batch: scoring missed its deadline. The sensor's own memory may
    /// still have saved the samples; if not, it is an overrun too.
    pub late: Counter,
    /// Windows judged.
    pub windows: Counter,
    /// Windows that were anomalous.
    pub alarms: Counter,
    /// Longest time that judging a frame took, microseconds.
    pub longest_us: Counter,
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            frames: Counter::new(),
            overruns: Counter::new(),
            lost: Counter::new(),
            faults: Counter::new(),
            late: Counter::new(),
            windows: Counter::new(),
            alarms: Counter::new(),
            longest_us: Counter::new(),
        }
    }

    /// One line with all of them.
    pub fn report(&self) {
        defmt::info!(
            "frames={=u32} overruns={=u32} lost={=u32} faults={=u32} late={=u32} judged={=u32} alarmed={=u32} longest_us={=u32}",
            self.frames.value(),
            self.overruns.value(),
            self.lost.value(),
            self.faults.value(),
            self.late.value(),
            self.windows.value(),
            self.alarms.value(),
            self.longest_us.value(),
        );
    }
}
