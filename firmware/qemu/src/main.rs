//! The picovae app on an emulated Cortex-M.
//!
//! Windows come from the file named on the semihosting command line, raw
//! little-endian `i16`; without one, from those embedded in the image. Then the
//! embedded ones run once more, frame by frame, through the detector, whose
//! first verdict must be the first window's score. With the word `stream` the file is
//! one long stream of frames for the app's two tasks (`live.rs`): events are logged as they come.
//!
//! defmt frames leave over semihosting's standard output. The exit code is
//! QEMU's: 0 good, 1 failed, 101 panic, 102 hard fault, 103 unexpected exception.
//! `cargo xtask parity` is who runs this.
#![no_std]
#![no_main]

mod clock;
mod count;
mod live;
mod recording;
mod stack;

use cortex_m::Peripherals;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use defmt_semihosting as _;
use picovae_app::{Embedded, Summary, Watch, Windows, open, run};
use picovae_core::{Arena, Model};
use semihosting::process::exit;
use static_cell::StaticCell;

use recording::{Mode, Recording, Request};

/// What `build.rs` found in the blob.
#[allow(missing_docs)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

#[entry]
fn main() -> ! {
    // `#[entry]` makes these references: main runs once.
    static mut ARENA: Arena<{ model::ARENA_LEN }> = Arena::new();
    static mut SAMPLES: [i16; model::INPUT_LEN] = [0; model::INPUT_LEN];
    static mut LEARNING: [u64; model::LEARNING_LEN] = [0; model::LEARNING_LEN];

    static mut BUFFERS: live::Buffers = live::Buffers::new();

    if let Some(peripherals) = Peripherals::take() {
        clock::start(peripherals.SYST);
    }
    let passed = all(ARENA.bytes(), SAMPLES, LEARNING, BUFFERS);
    defmt::info!("stack_bytes={=usize} stack_free={=usize}", stack::used(), stack::free());
    exit(i32::from(!passed))
}

/// Windows, then frames; `false` if anything went wrong, which is then logged.
fn all(
    arena: &'static mut [u8],
    samples: &'static mut [i16],
    learning: &'static mut [u64],
    buffers: &'static mut live::Buffers,
) -> bool {
    let (Some(model), Some((source, request))) = (opened(), requested()) else { return false };
    match (source, request.mode) {
        (None, _) => windows(model, arena, samples, &mut Embedded::new(&model::WINDOWS.0)),
        (Some(mut source), Mode::Windows) => windows(model, arena, samples, &mut source),
        (Some(mut source), Mode::Count) => count::run(model, arena, samples, &mut source),
        (Some(source), Mode::Stream) => match watch(model, arena, samples, learning) {
            Some(watch) => live::run(watch, request.stream, source, buffers),
            None => false,
        },
    }
}

// What builds something large has a stack of its own, gone when the stream runs: so the stack that is measured is a
// board's, whose model and watch are statics too.

/// The blob's model.
#[inline(never)]
fn opened() -> Option<&'static Model<'static>> {
    static MODEL: StaticCell<Model<'static>> = StaticCell::new();
    MODEL.try_init(open(&model::BLOB.0).ok()?).map(|model| &*model)
}

/// The recording, if the command line names one, and what to do with it; `None` where it cannot be opened.
#[inline(never)]
fn requested() -> Option<(Option<Recording>, Request)> {
    let mut path = [0; recording::PATH_LEN];
    let (path, request) = recording::request(&mut path);
    match path.map(Recording::open) {
        None => Some((None, request)),
        Some(Ok(source)) => Some((Some(source), request)),
        Some(Err(error)) => {
            defmt::error!("recording: {}", error);
            None
        }
    }
}

/// The detector, with memory to learn in.
#[inline(never)]
fn watch(
    model: &'static Model<'static>,
    arena: &'static mut [u8],
    samples: &'static mut [i16],
    learning: &'static mut [u64],
) -> Option<&'static mut Watch<'static, 'static>> {
    static WATCH: StaticCell<Watch<'static, 'static>> = StaticCell::new();
    WATCH.try_init(Watch::new(model, arena, samples).ok()?.learning_in(learning).ok()?)
}

/// Scores the windows of a source, then runs the embedded ones through the detector.
#[inline(never)]
fn windows<W: Windows>(
    model: &Model<'_>,
    arena: &mut [u8],
    samples: &mut [i16],
    source: &mut W,
) -> bool {
    let summary = run(model, arena, samples, source).ok();
    summary.is_some_and(|summary| stream(model, arena, samples, summary))
}

/// The embedded windows frame by frame. They begin the recording too, so the
/// first verdict is checked against the first window's score.
fn stream(model: &Model<'_>, arena: &mut [u8], ring: &mut [i16], batch: Summary) -> bool {
    let Ok(mut watch) = Watch::new(model, arena, ring) else { return false };
    let mut first = None;
    let mut frame = [0; model::CHANNELS];
    let mut filled = 0;
    for sample in Embedded::new(&model::WINDOWS.0).samples() {
        let Some(slot) = frame.get_mut(filled) else { return false };
        *slot = sample;
        filled += 1;
        if filled == model::CHANNELS {
            filled = 0;
            if let Some(verdict) = watch.push(&frame) {
                first.get_or_insert(verdict.score);
            }
        }
    }
    watch.report();
    let agrees = first.is_none() || first == batch.first;
    if !agrees {
        defmt::error!("the detector's first verdict is not the first window's score");
    }
    agrees
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(101)
}

// SAFETY: the handler never returns, and touches no state that it could have interrupted.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    exit(102)
}

#[exception]
fn SysTick() {
    clock::tick();
}

// SAFETY: the sampling task shares nothing with what it interrupts but the channel and the counters, which are
// made for that; for any other interrupt the handler never returns.
#[exception]
unsafe fn DefaultHandler(interrupt: i16) {
    if interrupt == live::Sampling::NUMBER {
        live::on_interrupt();
    } else {
        exit(103)
    }
}
