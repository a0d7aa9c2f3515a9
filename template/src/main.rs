//! A detector: frames of a sensor in, alarms out.
//!
//! Two places are yours: `Sensor` and `alarm`.
#![no_std]
#![no_main]

use cortex_m as _;
use cortex_m_rt::entry;
use picovae_core::{Arena, Detector, Model, State};

/// What build.rs found in the blob.
#[allow(dead_code)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Gives a frame when the next one is due.
struct Sensor;

impl Sensor {
    /// Waits for the next sample of every channel: raw counts, at the rate and in the unit of the recordings the
    /// model was trained on (`picovae inspect --json` tells the unit, `input_lsb`).
    fn next(&mut self) -> [i16; model::CHANNELS] {
        // Yours: read the sensor's FIFO, or wait for its data-ready line.
        cortex_m::asm::wfi();
        [0; model::CHANNELS]
    }
}

/// Yours: a LED, a relay, a message.
fn alarm(_raised: bool) {}

#[entry]
fn main() -> ! {
    // `#[entry]` makes these references: main runs once.
    static mut ARENA: Arena<{ model::ARENA_LEN }> = Arena::new();
    static mut RING: [i16; model::INPUT_LEN] = [0; model::INPUT_LEN];

    let mut sensor = Sensor;
    if let Ok(model) = Model::parse(&model::BLOB.0)
        && let Ok(mut detector) = Detector::new(&model, ARENA.bytes(), RING)
    {
        loop {
            let frame = sensor.next();
            // A verdict every `hop` frames; nothing behind `new` can fail.
            if let Some(verdict) = detector.push(&frame) {
                alarm(verdict.state == State::Alarm);
            }
        }
    }
    // The blob or a buffer is wrong; build.rs made both, so this does not happen.
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::udf();
    }
}
