//! The autoencoder on `embedded-nn`, int8 per channel: its kernels, called a layer at a time.
#![no_std]
#![no_main]

use core::hint::black_box;

use embedded_nn::fully_connected::fully_connected_per_channel_s8;
use embedded_nn::types::{Activation, Dims, FcParams, PerChannelQuantParams};
use peer_harness::{MACS, OUTPUTS, WIDTHS, measure, noise};

#[allow(long_running_const_eval)]
static WEIGHTS: [i8; MACS] = noise(1);
static BIAS: [i32; OUTPUTS] = [100; OUTPUTS];
static MULTIPLIER: [i32; OUTPUTS] = [1_500_000_001; OUTPUTS];
static SHIFT: [i32; OUTPUTS] = [-10; OUTPUTS];
const WIDEST: usize = 640;

/// Layers take turns between the two buffers; the output ends in the first.
fn infer<'a>(mut from: &'a mut [i8; WIDEST], mut to: &'a mut [i8; WIDEST]) {
    let (mut weights, mut done) = (0, 0);
    for pair in WIDTHS.windows(2) {
        let (inputs, outputs) = (pair[0], pair[1]);
        let zero_point = if outputs == 128 { -128 } else { 0 };
        let params = FcParams {
            input_offset: 128,
            filter_offset: 0,
            output_offset: zero_point,
            activation: Activation::new(-128, 127),
        };
        let rows = done..done + outputs;
        let quantization =
            PerChannelQuantParams::new(&MULTIPLIER[rows.clone()], &SHIFT[rows.clone()]);
        let result = fully_connected_per_channel_s8(
            &params,
            &quantization,
            &Dims::new(1, 1, 1, inputs as i32),
            &from[..inputs],
            &Dims::new(inputs as i32, 1, 1, outputs as i32),
            &WEIGHTS[weights..weights + inputs * outputs],
            Some(&BIAS[rows]),
            &Dims::new(1, 1, 1, outputs as i32),
            &mut to[..outputs],
        );
        assert!(result.is_ok());
        weights += inputs * outputs;
        done += outputs;
        core::mem::swap(&mut from, &mut to);
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut input: [i8; WIDEST] = noise(2);
    let mut other = [0; WIDEST];
    let arena = size_of_val(&input) + size_of_val(&other);
    measure(|| infer(black_box(&mut input), black_box(&mut other)), || arena)
}
