//! What every image for the nRF52840-DK shares: the alarm, the watchdog, the sampling task's interrupt.

use embassy_executor::{InterruptExecutor, SendSpawner};
use embassy_nrf::Peri;
use embassy_nrf::config::{Config, HfclkSource, LfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::wdt::{self, WatchdogHandle};
use embassy_nrf::{interrupt, peripherals};
use picovae_app::{Alarm, Watchdog};

static SAMPLING: InterruptExecutor = InterruptExecutor::new();

/// The chip on the board's two crystals: where this chip paces the samples, its own oscillators, some percent off, would
/// move every frequency in them. (A sensor with a rate of its own needs neither.)
#[allow(dead_code)]
pub fn with_crystals() -> Config {
    let mut config = Config::default();
    (config.hfclk_source, config.lfclk_source) =
        (HfclkSource::ExternalXtal, LfclkSource::ExternalXtal);
    config
}

/// LED1, which is lit by a low level.
pub fn alarm(led: Peri<'static, peripherals::P0_13>) -> Alarm<Output<'static>> {
    Alarm::active_low(Output::new(led, Level::High, OutputDrive::Standard))
}

/// Resets the chip eight seconds after the last batch.
pub struct Dog(Option<WatchdogHandle>);

impl Dog {
    /// Starts it.
    pub fn new(watchdog: Peri<'static, peripherals::WDT>) -> Self {
        let mut config = wdt::Config::default();
        config.timeout_ticks = 8 * 32_768;
        Self(wdt::Watchdog::try_new(watchdog, config).ok().map(|(_, [handle])| handle))
    }
}

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

/// Where the sampling task runs: below the drivers' interrupts, above thread mode. Once.
pub fn sampling() -> SendSpawner {
    interrupt::EGU1_SWI1.set_priority(Priority::P6);
    SAMPLING.start(interrupt::EGU1_SWI1)
}
