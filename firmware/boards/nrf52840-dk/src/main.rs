//! The picovae app on Nordic nRF52840-DK: an accelerometer in, alarms on LED1 and over RTT.
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
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

static ARENA: ConstStaticCell<Arena<{ model::ARENA_LEN }>> = ConstStaticCell::new(Arena::new());
static RING: ConstStaticCell<[i16; model::INPUT_LEN]> = ConstStaticCell::new([0; model::INPUT_LEN]);
static BATCHES: ConstStaticCell<[Frames; 2]> = ConstStaticCell::new([Frames::new(); 2]);
static CHANNEL: StaticCell<Channel<'static, CriticalSectionRawMutex, Frames>> = StaticCell::new();
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
fn EGU1_SWI1() {
    // SAFETY: called from this handler only, which is unmasked by `start`.
    unsafe { SAMPLING.on_interrupt() }
}

#[embassy_executor::task]
async fn sampling(
    bus: Twim<'static>,
    mut batches: Sender<'static, CriticalSectionRawMutex, Frames>,
) {
    let sensor = Lis3dh::new(bus, lis3dh::ADDRESS_LOW);
    let mut sensor = Supervised::new(sensor, Delay, Policy::default());
    sample(&mut sensor, &mut Ticker::every(PACE), &mut batches, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_nrf::init(Default::default());
    let Ok(model) = open(model::blob()) else { return };
    let (arena, ring) = (ARENA.take().bytes(), RING.take());
    let windows = &model::WINDOWS.0;
    let Some(mut watch) = Watch::begin(&model, arena, ring, windows, AXES) else { return };

    // LED1 is lit by a low level.
    let mut alarm = Alarm::active_low(Output::new(board.P0_13, Level::High, OutputDrive::Standard));
    let mut config = twim::Config::default();
    config.frequency = twim::Frequency::K400;
    let buffer = TWI_BUFFER.take();
    let bus = Twim::new(board.TWISPI0, Interrupts, board.P0_26, board.P0_27, config, buffer);

    let (batches, mut judged) = CHANNEL.init(Channel::new(BATCHES.take())).split();
    // Below the drivers' interrupts, above thread mode.
    interrupt::EGU1_SWI1.set_priority(Priority::P6);
    let spawner = SAMPLING.start(interrupt::EGU1_SWI1);
    if let Ok(task) = sampling(bus, batches) {
        spawner.spawn(task);
    }
    let mut config = wdt::Config::default();
    config.timeout_ticks = 8 * 32_768;
    let handle = wdt::Watchdog::try_new(board.WDT, config).ok().map(|(_, [handle])| handle);
    let mut watchdog = Dog(handle);
    score(&mut watch, &mut judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
