//! What a device links for encoder, decoder and score: never run, only measured.
//!
//! `cargo xtask bench mcu` reads the size of its code. Blob and window are opaque, so nothing is decided while
//! compiling. Without the feature `gate` the model comes from nowhere: inference and score alone.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m as _;
use picovae_core::{Arena, Model, Vae};

#[cfg(feature = "gate")]
fn with_model(run: impl FnOnce(&Model<'_>)) {
    if let Ok(model) = Model::parse(black_box(&[])) {
        run(&model);
    }
}

#[cfg(not(feature = "gate"))]
fn with_model(run: impl FnOnce(&Model<'_>)) {
    let model: *const Model<'static> = black_box(core::ptr::dangling());
    // SAFETY: linked, never run.
    run(unsafe { &*model });
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut arena = Arena::<4096>::new();
    with_model(|model| {
        if let Ok(mut vae) = Vae::new(model, arena.bytes()) {
            let features: &[i8] = black_box(&[]);
            vae.features_mut().iter_mut().zip(features).for_each(|(to, &value)| *to = value);
            vae.encode();
            vae.decode();
            black_box(vae.score());
        }
    });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
