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
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::zerocopy_channel::{Channel, Sender};
use embassy_time::{Delay, Duration, Ticker};
use panic_probe as _;
use picovae_app::{Alarm, Batch, Counters, Units, Watch, Watchdog, open, sample, score};
use picovae_core::Arena;
use picovae_sensors::lis3dh::{self, Lis3dh};
use picovae_sensors::supervise::{Policy, Supervised};
use static_cell::{ConstStaticCell, StaticCell};

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Counts a g in the fan's recordings. Another model may have others: `picovae inspect --json` (`input_lsb`).
const UNITS: Units = Units { model: 2_048, sensor: lis3dh::COUNTS_PER_G as i16 };
/// Axes of the accelerometer.
const AXES: usize = 3;
/// All that the sensor's FIFO holds: 160 ms.
type Frames = Batch<AXES, 32>;
/// Time between two looks at the FIFO.
const PACE: Duration = Duration::from_millis(50);

bind_interrupts!(struct Interrupts {
    I2C0_IRQ => i2c::InterruptHandler<peripherals::I2C0>;
});

static ARENA: ConstStaticCell<Arena<{ model::ARENA_LEN }>> = ConstStaticCell::new(Arena::new());
static RING: ConstStaticCell<[i16; model::INPUT_LEN]> = ConstStaticCell::new([0; model::INPUT_LEN]);
static BATCHES: ConstStaticCell<[Frames; 2]> = ConstStaticCell::new([Frames::new(); 2]);
static CHANNEL: StaticCell<Channel<'static, CriticalSectionRawMutex, Frames>> = StaticCell::new();
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
async fn sampling(
    bus: I2c<'static, peripherals::I2C0, Async>,
    mut batches: Sender<'static, CriticalSectionRawMutex, Frames>,
) {
    let sensor = Lis3dh::new(bus, lis3dh::ADDRESS_LOW);
    let mut sensor = Supervised::new(sensor, Delay, Policy::default());
    sample(&mut sensor, &mut Ticker::every(PACE), &mut batches, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_rp::init(Default::default());
    let Ok(model) = open(model::blob()) else { return };
    let (arena, ring) = (ARENA.take().bytes(), RING.take());
    let windows = &model::WINDOWS.0;
    let Some(mut watch) = Watch::begin(&model, arena, ring, windows, AXES) else { return };

    let mut alarm = Alarm::active_high(Output::new(board.PIN_25, Level::Low));
    let mut config = i2c::Config::default();
    config.frequency = 400_000;
    let (scl, sda) = (board.PIN_5, board.PIN_4);
    let bus = I2c::new_async(board.I2C0, scl, sda, Interrupts, config);

    let (batches, mut judged) = CHANNEL.init(Channel::new(BATCHES.take())).split();
    // Below the drivers' interrupts, above thread mode.
    interrupt::SWI_IRQ_1.set_priority(Priority::P3);
    let spawner = SAMPLING.start(interrupt::SWI_IRQ_1);
    if let Ok(task) = sampling(bus, batches) {
        spawner.spawn(task);
    }
    let mut watchdog = Dog(watchdog::Watchdog::new(board.WATCHDOG));
    watchdog.0.start(PATIENCE);
    score(&mut watch, &mut judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
