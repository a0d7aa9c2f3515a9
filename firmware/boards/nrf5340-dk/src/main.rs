//! The picovae app on Nordic nRF5340-DK: an accelerometer in, alarms on LED1 and over RTT.
//!
//! At the start it scores the windows embedded in the image, if there are any: the hash it logs is the one
//! that `picovae simulate` prints for them. Then two tasks run: one samples in an interrupt, the other judges in
//! thread mode and sleeps between batches. Wiring: README.md.
#![no_std]
#![no_main]

use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::{InterruptExecutor, Spawner};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::twim::{self, Twim};
use embassy_nrf::wdt::{self, WatchdogHandle};
use embassy_nrf::{bind_interrupts, interrupt, peripherals};
use embassy_time::Duration;
use panic_probe as _;
use picovae_app::{Alarm, Counters, Memory, Sampled, Units, Watchdog, sample_every, score};
use picovae_sensors::lis3dh::{self, AXES, FIFO_LEN, Lis3dh, Sa0Pad};
use static_cell::ConstStaticCell;

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Counts a g in the fan's recordings. Another model may have others: `picovae inspect --json` (`input_lsb`).
const UNITS: Units = Units { model: 2_048, sensor: lis3dh::COUNTS_PER_G as i16 };
/// Time between two looks at the sensor's FIFO, which holds 160 ms.
const PACE: Duration = Duration::from_millis(50);

bind_interrupts!(struct Interrupts {
    SERIAL0 => twim::InterruptHandler<peripherals::SERIAL0>;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, AXES, FIFO_LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();
static SAMPLING: InterruptExecutor = InterruptExecutor::new();
static TWI_BUFFER: ConstStaticCell<[u8; 16]> = ConstStaticCell::new([0; 16]);

/// Resets the chip eight seconds after the last batch.
struct Dog(Option<WatchdogHandle>);

impl Watchdog for Dog {
    fn feed(&mut self) {
        if let Some(handle) = &mut self.0 {
            handle.pet();
        }
    }
}

#[interrupt]
fn EGU1() {
    // SAFETY: called from this handler only, which is unmasked by `start`.
    unsafe { SAMPLING.on_interrupt() }
}

#[embassy_executor::task]
async fn sampling(bus: Twim<'static>, sampled: Sampled<AXES, FIFO_LEN>) {
    sample_every(PACE, Lis3dh::new(bus, Sa0Pad::Low), sampled, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_nrf::init(Default::default());
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    // LED1 is lit by a low level.
    let mut alarm = Alarm::active_low(Output::new(board.P0_28, Level::High, OutputDrive::Standard));
    let mut config = twim::Config::default();
    config.frequency = twim::Frequency::K400;
    let buffer = TWI_BUFFER.take();
    let bus = Twim::new(board.SERIAL0, Interrupts, board.P1_02, board.P1_03, config, buffer);

    // Below the drivers' interrupts, above thread mode.
    interrupt::EGU1.set_priority(Priority::P6);
    let spawner = SAMPLING.start(interrupt::EGU1);
    if let Ok(task) = sampling(bus, app.sampled) {
        spawner.spawn(task);
    }
    let mut config = wdt::Config::default();
    config.timeout_ticks = 8 * 32_768;
    let handle = wdt::Watchdog::try_new(board.WDT0, config).ok().map(|(_, [handle])| handle);
    let mut watchdog = Dog(handle);
    score(&mut app.watch, &mut app.judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
