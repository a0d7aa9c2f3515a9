//! What every peer's image shares: the autoencoder's shape and weights, and how an inference is measured.
//!
//! MLPerf Tiny's autoencoder, 640-128x4-8-128x4-640, a ReLU behind every layer of 128. Weights are drawn; none of
//! the peers' instructions depend on them.
#![no_std]

use core::panic::PanicInfo;

use cortex_m as _;

#[allow(dead_code)]
#[path = "../../../image/src/measure.rs"]
mod measure;

/// Elements of the input and of every layer's output.
pub const WIDTHS: [usize; 11] = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
/// Weights of all layers, and multiplications of an inference.
pub const MACS: usize = macs();
/// Outputs of all layers.
pub const OUTPUTS: usize = 8 * 128 + 8 + 640;
/// Stack that is painted; `microflow` passes tensors by value.
#[cfg(not(feature = "footprint"))]
const PAINTED: usize = 48 * 1024;

const fn macs() -> usize {
    let (mut sum, mut layer) = (0, 1);
    while layer < WIDTHS.len() {
        sum += WIDTHS[layer - 1] * WIDTHS[layer];
        layer += 1;
    }
    sum
}

/// Drawn bytes, `-128..=127`.
pub const fn noise<const N: usize>(seed: u32) -> [i8; N] {
    let mut bytes = [0; N];
    let (mut state, mut index) = (seed | 1, 0);
    while index < N {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[index] = (state >> 16) as i8;
        index += 1;
    }
    bytes
}

/// Runs one inference, counted, and prints the row that `bench-runner` reads: `arena` is asked for its bytes behind it.
#[cfg(not(feature = "footprint"))]
pub fn measure(infer: impl FnOnce(), arena: impl FnOnce() -> usize) -> ! {
    let stack = measure::stack_of::<PAINTED>(|| counted(infer));
    semihosting::println!("net ad {MACS} {} {stack}", arena());
    semihosting::process::exit(0)
}

/// Links the inference and nothing else.
#[cfg(feature = "footprint")]
pub fn measure(infer: impl FnOnce(), _: impl FnOnce() -> usize) -> ! {
    infer();
    loop {
        cortex_m::asm::wfi();
    }
}

/// What is counted; never inlined, so that a profile finds it at one place.
#[cfg(not(feature = "footprint"))]
#[inline(never)]
fn counted(infer: impl FnOnce()) {
    measure::mark();
    infer();
    measure::mark();
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    #[cfg(not(feature = "footprint"))]
    {
        semihosting::println!("{_info}");
        semihosting::process::exit(101)
    }
    #[cfg(feature = "footprint")]
    loop {}
}
