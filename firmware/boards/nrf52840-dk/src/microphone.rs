//! The picovae app on Nordic nRF52840-DK: a PDM microphone in (clock P0.26, data P0.27), alarms on LED1 and over RTT.
//!
//! As `main.rs`, with sound as the sensor's: one channel at 16 kHz, 16 bits, by DMA into two buffers.
#![no_std]
#![no_main]

mod board;

use board::Dog;
use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::pdm::{self, Pdm, SamplerState};
use embassy_nrf::{bind_interrupts, peripherals};
use panic_probe as _;
use picovae_app::{Counters, Memory, Pushed, Sampled, Units, score};
use static_cell::ConstStaticCell;

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Samples a buffer and a batch: 32 ms of sound.
const LEN: usize = 512;

bind_interrupts!(struct Interrupts {
    PDM => pdm::InterruptHandler<peripherals::PDM>;
});

static MEMORY: Memory<{ model::ARENA_LEN }, { model::INPUT_LEN }, 1, LEN> = Memory::new();
static COUNTERS: Counters = Counters::new();
static BUFFERS: ConstStaticCell<[[i16; LEN]; 2]> = ConstStaticCell::new([[0; LEN]; 2]);

#[embassy_executor::task]
async fn sampling(
    mut microphone: Pdm<'static>,
    buffers: &'static mut [[i16; LEN]; 2],
    sampled: Sampled<1, LEN>,
) {
    let mut pushed = Pushed::new(sampled, &COUNTERS);
    let listening = microphone.run_task_sampler(buffers, |samples| {
        pushed.push(samples.as_chunks::<1>().0);
        SamplerState::Sampled
    });
    // Without batches the watchdog is not fed: a microphone that stops resets the chip.
    if let Err(error) = listening.await {
        defmt::error!("the microphone does not start: {}", error);
    }
}

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let chip = embassy_nrf::init(board::with_crystals());
    let Some(mut app) = MEMORY.begin(model::blob(), &model::WINDOWS.0) else { return };

    let mut alarm = board::alarm(chip.P0_13);
    // 1.28 MHz, divided by 80: 16 kHz.
    let (frequency, ratio) = (pdm::Frequency::_1280k, pdm::Ratio::Ratio80);
    let config = pdm::Config { frequency, ratio, ..Default::default() };
    let microphone = Pdm::new(chip.PDM, Interrupts, chip.P0_26, chip.P0_27, config);

    if let Ok(task) = sampling(microphone, BUFFERS.take(), app.sampled) {
        board::sampling().spawn(task);
    }
    let mut watchdog = Dog::new(chip.WDT);
    // A model of this microphone is trained on its counts.
    score(&mut app.watch, &mut app.judged, Units::SAME, &mut alarm, &mut watchdog, &COUNTERS).await
}
