//! The smallest picovae firmware: the core alone in a cortex-m-rt loop.
//!
//! It calls everything a device can call, on bytes the compiler may not look
//! into, so its linked image shows what the core brings along: `cargo xtask
//! image-check` looks for panics, soft-float and an allocator in it. `detector.rs`
//! beside it is the example of how to use the core.
#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m as _;
use cortex_m_rt::entry;
use picovae_core::fixed::gaussian::Gaussian;
use picovae_core::stream::Lessons;
use picovae_core::trace::ActivationHash;
use picovae_core::{Arena, Detector, Model, Vae};

/// What `build.rs` found in the blob.
#[allow(missing_docs, dead_code)]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

#[entry]
fn main() -> ! {
    // `#[entry]` makes these references: main runs once.
    static mut ARENA: Arena<{ model::ARENA_LEN }> = Arena::new();
    static mut SAMPLES: [i16; model::INPUT_LEN] = [0; model::INPUT_LEN];
    static mut LEARNING: [u64; model::LEARNING_LEN] = [0; model::LEARNING_LEN];

    // Opaque: nothing about the blob may be decided while compiling.
    let blob = black_box(&model::BLOB.0[..]);
    if let Ok(model) = Model::parse(blob) {
        black_box(model.name());
        black_box(windows(&model, ARENA.bytes(), SAMPLES));
        black_box(frames(&model, ARENA.bytes(), SAMPLES, LEARNING));
    }
    loop {
        cortex_m::asm::wfi();
    }
}

/// One window through every verb of [`Vae`]; the sum keeps the compiler from dropping any.
fn windows(model: &Model<'_>, arena: &mut [u8], window: &[i16]) -> Option<i64> {
    let mut vae = Vae::new(model, black_box(arena)).ok()?;
    let mut hash = ActivationHash::new();
    let score = vae.score_window_traced(black_box(window), &mut hash).ok()?;
    let plain = vae.score_window(black_box(window)).ok()?;
    let mut sum = score.0.wrapping_add(plain.0).wrapping_add(hash.value() as i64);
    for score in [vae.reconstruction_error(), vae.nll(), vae.kl_divergence(), vae.negative_elbo()] {
        sum = sum.wrapping_add(score.0);
    }
    let mut noise = Gaussian::new(black_box(7));
    vae.decode_sample(&mut noise);
    sum = sum.wrapping_add(vae.nll().0);
    vae.generate(&mut noise);
    sum = vae.reconstruction().fold(sum, |sum, value| sum.wrapping_add(value.into()));
    vae.decode_latent(black_box(&[][..])).err();
    Some(sum)
}

/// Frames through a [`Detector`] that learns, is saved and restored.
fn frames(
    model: &Model<'_>,
    arena: &mut [u8],
    ring: &mut [i16],
    learning: &mut [u64],
) -> Option<bool> {
    let mut record = [0; 512];
    let mut detector = Detector::new(model, black_box(arena), ring).ok()?;
    detector = detector.learning_in(learning).ok()?;
    detector.calibrate(black_box(Lessons { normalization: 20, threshold: 20 })).err();
    let frame = [0; model::CHANNELS];
    let mut alarm = false;
    for _ in 0..black_box(2 * model::INPUT_LEN) {
        if let Some(verdict) = detector.push(black_box(&frame)) {
            alarm |= verdict.is_anomaly();
        }
    }
    let len = detector.save(&mut record).ok()?;
    detector.restore(black_box(record.get(..len)?)).ok()?;
    detector.follow(black_box(true)).err();
    black_box(detector.resemblance());
    Some(alarm)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
