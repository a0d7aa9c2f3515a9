//! The picovae app on ST NUCLEO-L4R5ZI: an accelerometer in, alarms on LD3 and over RTT.
//!
//! At the start it scores the windows embedded in the image, if there are any: the hash it logs is the one
//! that `picovae simulate` prints for them. Then two tasks run: one samples in an interrupt, the other judges in
//! thread mode and sleeps between batches. Wiring: README.md.
#![no_std]
#![no_main]

use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::{InterruptExecutor, Spawner};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::i2c::{self, I2c, Master};
use embassy_stm32::interrupt::{InterruptExt, Priority};
use embassy_stm32::mode::Async;
use embassy_stm32::rcc;
use embassy_stm32::time::Hertz;
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{bind_interrupts, dma, interrupt, peripherals};
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
    I2C1_EV => i2c::EventInterruptHandler<peripherals::I2C1>;
    I2C1_ER => i2c::ErrorInterruptHandler<peripherals::I2C1>;
    DMA1_CHANNEL1 => dma::InterruptHandler<peripherals::DMA1_CH1>;
    DMA1_CHANNEL2 => dma::InterruptHandler<peripherals::DMA1_CH2>;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, AXES, FIFO_LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();
static SAMPLING: InterruptExecutor = InterruptExecutor::new();

/// Resets the chip eight seconds after the last batch.
struct Dog(IndependentWatchdog<'static, peripherals::IWDG>);

impl Watchdog for Dog {
    fn feed(&mut self) {
        self.0.pet();
    }
}

#[interrupt]
fn UART5() {
    // SAFETY: called from this handler only, which is unmasked by `start`.
    unsafe { SAMPLING.on_interrupt() }
}

#[embassy_executor::task]
async fn sampling(bus: I2c<'static, Async, Master>, sampled: Sampled<AXES, FIFO_LEN>) {
    sample_every(PACE, Lis3dh::new(bus, Sa0Pad::Low), sampled, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let mut config = embassy_stm32::Config::default();
    // 80 MHz from the internal oscillator of 16 MHz: no crystal is fitted.
    config.rcc.hsi = true;
    config.rcc.sys = rcc::Sysclk::PLL1_R;
    config.rcc.pll = Some(rcc::Pll {
        source: rcc::PllSource::HSI,
        prediv: rcc::PllPreDiv::DIV1,
        mul: rcc::PllMul::MUL10,
        divp: None,
        divq: None,
        divr: Some(rcc::PllRDiv::DIV2),
    });
    let board = embassy_stm32::init(config);
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = Alarm::active_high(Output::new(board.PB14, Level::Low, Speed::Low));
    let mut config = i2c::Config::default();
    config.frequency = Hertz::khz(400);
    let (scl, sda) = (board.PB8, board.PB9);
    let bus = I2c::new(board.I2C1, scl, sda, board.DMA1_CH1, board.DMA1_CH2, Interrupts, config);

    // Below the drivers' interrupts, above thread mode.
    interrupt::UART5.set_priority(Priority::P12);
    let spawner = SAMPLING.start(interrupt::UART5);
    if let Ok(task) = sampling(bus, app.sampled) {
        spawner.spawn(task);
    }
    let mut watchdog = Dog(IndependentWatchdog::new(board.IWDG, 8_000_000));
    watchdog.0.unleash();
    score(&mut app.watch, &mut app.judged, UNITS, &mut alarm, &mut watchdog, &COUNTERS).await
}
