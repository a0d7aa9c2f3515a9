//! The picovae app on an nRF52840-DK: an accelerometer in, alarms on LED1 and over RTT.
//!
//! At the start it scores the windows embedded in the image, if there are any:
//! the hash it logs is the one that `picovae simulate` prints for them. Then it
//! watches the accelerometer, whose FIFO gathers samples while a window is scored; a fault of sensor
//! or bus is logged and tried again. Wiring: README.md.
#![no_std]
#![no_main]

use cortex_m as _;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::twim::{self, Twim};
use embassy_nrf::{bind_interrupts, peripherals};
use embassy_time::{Delay, Duration, Ticker};
use panic_probe as _;
use picovae_app::{Embedded, Watch, open, run};
use picovae_core::{Arena, Model};
use picovae_sensors::lis3dh::{self, Lis3dh};
use picovae_sensors::supervise::{Fault, Policy, Supervised};
use static_cell::ConstStaticCell;

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Raw counts a g in the recordings the model was trained on: the fan's. Another
/// model may have another; `picovae inspect --json` gives it (`input_lsb`).
const MODEL_COUNTS_PER_G: i32 = 2_048;

/// Axes of the accelerometer.
const AXES: usize = 3;

bind_interrupts!(struct Interrupts {
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

static ARENA: ConstStaticCell<Arena<{ model::ARENA_LEN }>> = ConstStaticCell::new(Arena::new());
static SAMPLES: ConstStaticCell<[i16; model::INPUT_LEN]> =
    ConstStaticCell::new([0; model::INPUT_LEN]);
static TWI_BUFFER: ConstStaticCell<[u8; 16]> = ConstStaticCell::new([0; 16]);

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let board = embassy_nrf::init(Default::default());
    let Ok(model) = open(&model::BLOB.0) else { return };
    let arena = ARENA.take().bytes();
    let samples = SAMPLES.take();
    // What goes wrong is logged, and does not stop the stream.
    let _ = run(&model, arena, samples, &mut Embedded::new(&model::WINDOWS.0));

    if model::CHANNELS != AXES {
        defmt::warn!(
            "the model reads {=usize} channels, the accelerometer gives {=usize}: no stream",
            model::CHANNELS,
            AXES
        );
        return;
    }
    let led = Output::new(board.P0_13, Level::High, OutputDrive::Standard);
    let mut config = twim::Config::default();
    config.frequency = twim::Frequency::K400;
    let buffer = TWI_BUFFER.take();
    let bus = Twim::new(board.TWISPI0, Interrupts, board.P0_26, board.P0_27, config, buffer);
    let sensor = Lis3dh::new(bus, lis3dh::ADDRESS_LOW);
    watch(&model, arena, samples, Supervised::new(sensor, Delay, Policy::default()), led).await;
}

/// Time between two looks at the FIFO: it has room for three times as much.
const PACE: Duration = Duration::from_millis(50);

/// Samples taken at a time: all that the FIFO holds.
const BATCH: usize = 32;

/// Sample by sample, for ever.
async fn watch(
    model: &Model<'_>,
    arena: &mut [u8],
    ring: &mut [i16],
    mut sensor: Supervised<Lis3dh<Twim<'_>>, Delay, AXES>,
    mut led: Output<'_>,
) -> ! {
    let Ok(mut watch) = Watch::new(model, arena, ring) else {
        // Logged; there is nothing to watch with.
        core::future::pending().await
    };
    let mut pace = Ticker::every(PACE);
    let mut frames = [[0; AXES]; BATCH];
    loop {
        pace.next().await;
        let count = match sensor.read(&mut frames).await {
            Ok(count) => count,
            Err(fault) => {
                report(fault, sensor.faults());
                watch.gap();
                continue;
            }
        };
        for sample in frames.iter().take(count) {
            // Down, not toward zero: a quotient that is 0 twice as often as 1 is no quotient.
            let frame = sample.map(|count| {
                (i32::from(count) * MODEL_COUNTS_PER_G).div_euclid(lis3dh::COUNTS_PER_G) as i16
            });
            if let Some(verdict) = watch.push(&frame) {
                // LED1 is lit by a low level.
                led.set_level(if verdict.is_anomaly() { Level::Low } else { Level::High });
            }
        }
    }
}

/// What is wrong, once each time.
fn report(fault: Fault, faults: u32) {
    match fault {
        Fault::Bus => defmt::error!("accelerometer: bus error (fault {=u32})", faults),
        Fault::Identity { found } => {
            defmt::error!("WHO_AM_I is {=u8:#x}: neither LIS3DH nor LIS2DH12", found);
        }
        Fault::NoAcknowledge => {
            defmt::error!("nobody answers at {=u8:#x} (fault {=u32})", lis3dh::ADDRESS_LOW, faults);
        }
        Fault::Overrun => defmt::warn!("samples were lost (fault {=u32})", faults),
        Fault::Stuck => defmt::error!("the accelerometer is stuck (fault {=u32})", faults),
    }
}
