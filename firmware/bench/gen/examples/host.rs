//! Windows a second of the autoencoder on this host's backend, one thread: encoder and decoder, `host BATCH...`.
//!
//! A JSON row each; `cargo xtask bench host` calls it, once for every backend.

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
    let engine = if kernels::BACKEND == "portable" { "picovae-portable" } else { "picovae" };
    for batch in std::env::args().skip(1) {
        let batch: u32 = batch.parse().expect("a number of windows");
        let windows: Vec<Vec<i8>> = (0..batch)
            .map(|index| {
                let mut features = vec![0; model.input_len()];
                bench_gen::fill(2 * index, &mut features);
                features
            })
            .collect();
        let repeats = 64u32.div_ceil(batch);
        // The best of many short spells: the machine is shared.
        let mut best = Duration::MAX;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let start = Instant::now();
            for _ in 0..repeats {
                for window in &windows {
                    vae.features_mut().copy_from_slice(window);
                    vae.encode();
                    vae.decode();
                    black_box(vae.output());
                }
            }
            best = best.min(start.elapsed() / (repeats * batch));
        }
        let rate = 1.0 / best.as_secs_f64();
        println!(
            r#"{{"engine":"{engine}","model":"{}","batch":{batch},"windows_per_second":{rate:.0}}}"#,
            net.name
        );
    }
}
