//! The picovae app on Nordic nRF52840-DK: an accelerometer in, alarms on LED1 and over RTT.
//!
//! At the start it scores the windows embedded in the image, if there are any: the hash it logs is the one
//! that `picovae simulate` prints for them. Then two tasks run: one samples in an interrupt, the other judges in
//! thread mode and sleeps between batches. Wiring: README.md.
#![no_std]
#![no_main]

mod board;

use board::Dog;
use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::gpio::{Input, Pull};
use embassy_nrf::twim::{self, Twim};
use embassy_nrf::{bind_interrupts, peripherals};
use embassy_time::Duration;
use panic_probe as _;
use picovae_app::{Counters, Memory, Sampled, Units, sample_ready, score};
use picovae_sensors::lis3dh::{self, AXES, FIFO_LEN, Lis3dh, Sa0Pad};
use static_cell::ConstStaticCell;

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Counts a g in the fan's recordings. Another model may have others: `picovae inspect --json` (`input_lsb`).
const UNITS: Units = Units { model: 2_048, sensor: lis3dh::COUNTS_PER_G as i16 };
/// Time to wait for the sensor's line, which comes with 80 ms of samples, before looking at its FIFO of 160 ms anyway.
const AT_MOST: Duration = Duration::from_millis(100);

bind_interrupts!(struct Interrupts {
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, AXES, FIFO_LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();
static TWI_BUFFER: ConstStaticCell<[u8; 16]> = ConstStaticCell::new([0; 16]);

#[embassy_executor::task]
async fn sampling(line: Input<'static>, bus: Twim<'static>, sampled: Sampled<AXES, FIFO_LEN>) {
    sample_ready(line, AT_MOST, Lis3dh::new(bus, Sa0Pad::Low), sampled, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let chip = embassy_nrf::init(Default::default());
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = board::alarm(chip.P0_13);
    let mut config = twim::Config::default();
    config.frequency = twim::Frequency::K400;
    let buffer = TWI_BUFFER.take();
    let bus = Twim::new(chip.TWISPI0, Interrupts, chip.P0_26, chip.P0_27, config, buffer);

    // Pulled down: it may be left open.
    let line = Input::new(chip.P1_03, Pull::Down);
    if let Ok(task) = sampling(line, bus, app.sampled) {
        board::sampling().spawn(task);
    }
    let mut watchdog = Dog::new(chip.WDT);
    score(&mut app.watch, &mut app.judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
