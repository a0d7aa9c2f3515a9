//! The picovae app on Nordic nRF52840-DK: a voltage on AIN1 in (P0.03, A0 of the Arduino header), alarms on LED1 and
//! over RTT.
//!
//! As `main.rs`, with the on-chip ADC as the sensor: one channel at 1 kHz, 12 bits, 0 to 3.6 V.
#![no_std]
#![no_main]

mod board;

use board::Dog;
use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::bind_interrupts;
use embassy_nrf::saadc::{self, ChannelConfig, Saadc};
use panic_probe as _;
use picovae_app::{Converter, Counters, Memory, Sampled, Units, sample_timed, score};
use picovae_sensors::supervise::Fault;

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Samples a second.
const RATE_HZ: u32 = 1_000;
/// Samples a batch: while one is judged, another is filled for so many periods.
const LEN: usize = 64;

bind_interrupts!(struct Interrupts {
    SAADC => saadc::InterruptHandler;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, 1, LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();

/// The ADC, one input.
struct Adc(Saadc<'static, 1>);

impl Converter<1> for Adc {
    async fn convert(&mut self, frame: &mut [i16; 1]) -> Result<(), Fault> {
        self.0.sample(frame).await;
        Ok(())
    }
}

#[embassy_executor::task]
async fn sampling(adc: Adc, sampled: Sampled<1, LEN>) {
    sample_timed(RATE_HZ, adc, sampled, &COUNTERS).await
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let chip = embassy_nrf::init(board::with_crystals());
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = board::alarm(chip.P0_13);
    let channels = [ChannelConfig::single_ended(chip.P0_03)];
    let adc = Saadc::new(chip.SAADC, Interrupts, saadc::Config::default(), channels);
    adc.calibrate().await;

    if let Ok(task) = sampling(Adc(adc), app.sampled) {
        board::sampling().spawn(task);
    }
    let mut watchdog = Dog::new(chip.WDT);
    // A model of this input is trained on its counts.
    score(&mut app.watch, &mut app.judged, Units::SAME, &mut alarm, &mut watchdog, &COUNTERS).await
}
