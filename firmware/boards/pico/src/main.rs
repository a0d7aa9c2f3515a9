//! The picovae app on Raspberry Pi Pico and Pico 2: an accelerometer in, alarms on its LED and over RTT.
//!
//! At the start it scores the windows embedded in the image, if there are any: the hash it logs is the one
//! that `picovae simulate` prints for them. Then two tasks run: one samples in an interrupt, the other judges in
//! thread mode and sleeps between batches. Wiring: README.md.
#![no_std]
#![no_main]

use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::{InterruptExecutor, Spawner};
use embassy_rp::gpio::{Level, Output};
use embassy_rp::i2c::{self, Async, I2c};
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::watchdog;
use embassy_rp::{bind_interrupts, interrupt, peripherals};
use embassy_time::Duration;
use panic_probe as _;
use picovae_app::{Alarm, Counters, Memory, Sampled, Units, Watchdog, sample_every, score};
use picovae_sensors::lis3dh::{self, AXES, FIFO_LEN, Lis3dh, Sa0Pad};

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
    I2C0_IRQ => i2c::InterruptHandler<peripherals::I2C0>;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, AXES, FIFO_LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();
static SAMPLING: InterruptExecutor = InterruptExecutor::new();

/// Time from the last batch to a reset.
const PATIENCE: Duration = Duration::from_secs(8);

/// Resets the chip some time after the last batch.
struct Dog(watchdog::Watchdog);

impl Watchdog for Dog {
    fn feed(&mut self) {
        self.0.feed(PATIENCE);
    }
}

#[interrupt]
fn SWI_IRQ_1() {
    // SAFETY: called from this handler only, which is unmasked by `start`.
    unsafe { SAMPLING.on_interrupt() }
}

#[embassy_executor::task]
async fn sampling(bus: I2c<'static, peripherals::I2C0, Async>, sampled: Sampled<AXES, FIFO_LEN>) {
    sample_every(PACE, Lis3dh::new(bus, Sa0Pad::Low), sampled, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_rp::init(Default::default());
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = Alarm::active_high(Output::new(board.PIN_25, Level::Low));
    let mut config = i2c::Config::default();
    config.frequency = 400_000;
    let (scl, sda) = (board.PIN_5, board.PIN_4);
    let bus = I2c::new_async(board.I2C0, scl, sda, Interrupts, config);

    // Below the drivers' interrupts, above thread mode.
    interrupt::SWI_IRQ_1.set_priority(Priority::P3);
    let spawner = SAMPLING.start(interrupt::SWI_IRQ_1);
    if let Ok(task) = sampling(bus, app.sampled) {
        spawner.spawn(task);
    }
    let mut watchdog = Dog(watchdog::Watchdog::new(board.WATCHDOG));
    watchdog.0.start(PATIENCE);
    score(&mut app.watch, &mut app.judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
