//! A whole detector with the core alone: a bare `cortex-m-rt` loop, no executor, no logger, no other driver.
//!
//! SysTick paces it, and a recording in flash (`PICOVAE_WINDOWS`) stands in for the sensor; on a board, `Sensor` and
//! `alarm` are what changes. `cargo xtask parity` has the app on emulated cores; this one is only linked and checked
//! for panics (`cargo xtask image-check`).
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use picovae_core::{Arena, Detector, Model, State};

/// What `build.rs` found in the blob.
#[allow(missing_docs, dead_code)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// SysTick's counts a sample: 200 Hz of a core at 64 MHz.
const RELOAD: u32 = 64_000_000 / 200 - 1;

/// A frame was due since the last one was taken.
static DUE: AtomicBool = AtomicBool::new(false);
/// What a pin would show.
static ALARM: AtomicBool = AtomicBool::new(false);

/// Gives a frame when it is due: of a recording, over and over.
struct Sensor {
    samples: core::iter::Cycle<core::slice::Iter<'static, [u8; 2]>>,
}

impl Sensor {
    fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(RELOAD);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        Self { samples: model::WINDOWS.0.as_chunks().0.iter().cycle() }
    }

    /// Sleeps until a frame is due. One that comes while the network runs is late, not lost; a second one would be lost: a
    /// sensor whose network takes longer than a sample needs a FIFO.
    fn next(&mut self) -> [i16; model::CHANNELS] {
        while !DUE.load(Ordering::Relaxed) {
            // Not `wfi`: an interrupt between the look and the sleep is an event, and ends it at once.
            cortex_m::asm::wfe();
        }
        DUE.store(false, Ordering::Relaxed);
        core::array::from_fn(|_| self.samples.next().map_or(0, |&pair| i16::from_le_bytes(pair)))
    }
}

#[exception]
fn SysTick() {
    DUE.store(true, Ordering::Relaxed);
}

fn alarm(raised: bool) {
    ALARM.store(raised, Ordering::Relaxed);
}

#[entry]
fn main() -> ! {
    // `#[entry]` makes these references: main runs once.
    static mut ARENA: Arena<{ model::ARENA_LEN }> = Arena::new();
    static mut RING: [i16; model::INPUT_LEN] = [0; model::INPUT_LEN];

    if let Some(peripherals) = Peripherals::take()
        && let Ok(model) = Model::parse(&model::BLOB.0)
        && let Ok(mut detector) = Detector::new(&model, ARENA.bytes(), RING)
    {
        let mut sensor = Sensor::start(peripherals.SYST);
        loop {
            // A verdict every `hop` frames; nothing behind `new` can fail.
            if let Some(verdict) = detector.push(&sensor.next()) {
                alarm(verdict.state == State::Alarm);
            }
        }
    }
    // The blob or a buffer is wrong: build.rs made both, so this does not happen.
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
