//! Windows a second of the autoencoder on this host's backend, one thread: the network alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use picovae_core::{Arena, Model, Vae, kernels};

fn main() {
    let net = bench_gen::benchmarks().remove(0);
    let blob = bench_gen::write(&net, kernels::PACKING);
    let mut aligned = vec![0u128; blob.len().div_ceil(16)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    bytes[..blob.len()].copy_from_slice(&blob);
    let model = Model::parse(&bytes[..blob.len()]).expect("a generated blob parses");
    let mut arena = Arena::<4096>::new();
    let mut vae = Vae::new(&model, arena.bytes()).expect("the arena is long enough");
    bench_gen::fill(0, vae.features_mut());
    // The best of many short spells: the machine is shared.
    let mut best = Duration::MAX;
    for _ in 0..400 {
        let start = Instant::now();
        for _ in 0..20 {
            vae.encode();
            vae.decode();
            black_box(vae.output());
        }
        best = best.min(start.elapsed() / 20);
    }
    println!("{} {} {:.0} windows/s", kernels::BACKEND, net.name, 1.0 / best.as_secs_f64());
}
