//! The autoencoder on `microflow`, int8 per tensor, as its macro compiles the model.
#![no_std]
#![no_main]

use core::hint::black_box;

use peer_harness::{measure, noise};

mod model {
    #![allow(clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/autoencoder.rs"));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let input: [i8; 640] = noise(2);
    let input = nalgebra::SMatrix::from_fn(|_, column| input[column]);
    measure(
        || {
            black_box(model::Autoencoder::predict_quantized(black_box(input)));
        },
        // Every tensor lies on the stack.
        || 0,
    )
}
