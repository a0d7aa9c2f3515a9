//! The autoencoder on `burn`, f32, on its flex backend without std.
#![no_std]
#![no_main]

extern crate alloc;

mod heap;

use alloc::vec::Vec;
use core::hint::black_box;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use peer_harness::{WIDTHS, measure, noise};

fn values<const N: usize>(len: usize) -> Vec<f32> {
    let drawn: [i8; N] = noise(1);
    (0..len).map(|index| f32::from(drawn[index % N]) / 1024.0).collect()
}

fn layer(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let weight = TensorData::new(values::<1021>(inputs * outputs), [inputs, outputs]);
    let bias = TensorData::new(values::<61>(outputs), [outputs]);
    Linear {
        weight: Param::from_tensor(Tensor::from_data(weight, device)),
        bias: Some(Param::from_tensor(Tensor::from_data(bias, device))),
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    heap::init();
    let device = Device::default();
    let layers: Vec<Linear> =
        WIDTHS.windows(2).map(|pair| layer(pair[0], pair[1], &device)).collect();
    let input = TensorData::new(values::<640>(640), [1, 640]);
    let input: Tensor<2> = Tensor::from_data(input, &device);
    measure(
        || {
            let mut x = black_box(input);
            for (layer, pair) in layers.iter().zip(WIDTHS.windows(2)) {
                x = layer.forward(x);
                if pair[1] == 128 {
                    x = relu(x);
                }
            }
            black_box(x);
        },
        heap::peak,
    )
}
