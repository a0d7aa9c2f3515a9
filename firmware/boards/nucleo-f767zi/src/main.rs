//! The picovae app on ST NUCLEO-F767ZI: an accelerometer in, alarms on LD3 and over RTT.
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
    DMA1_STREAM6 => dma::InterruptHandler<peripherals::DMA1_CH6>;
    DMA1_STREAM0 => dma::InterruptHandler<peripherals::DMA1_CH0>;
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
    // 216 MHz from the 8 MHz that the board's debugger gives.
    config.rcc.hse = Some(rcc::Hse { freq: Hertz::mhz(8), mode: rcc::HseMode::Bypass });
    config.rcc.pll_src = rcc::PllSource::HSE;
    config.rcc.pll = Some(rcc::Pll {
        prediv: rcc::PllPreDiv::DIV4,
        mul: rcc::PllMul::MUL216,
        divp: Some(rcc::PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.ahb_pre = rcc::AHBPrescaler::DIV1;
    config.rcc.apb1_pre = rcc::APBPrescaler::DIV4;
    config.rcc.apb2_pre = rcc::APBPrescaler::DIV2;
    config.rcc.sys = rcc::Sysclk::PLL1_P;
    let board = embassy_stm32::init(config);
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = Alarm::active_high(Output::new(board.PB14, Level::Low, Speed::Low));
    let mut config = i2c::Config::default();
    config.frequency = Hertz::khz(400);
    let (scl, sda) = (board.PB8, board.PB9);
    let bus = I2c::new(board.I2C1, scl, sda, board.DMA1_CH6, board.DMA1_CH0, Interrupts, config);

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
