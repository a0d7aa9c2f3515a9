//! Windows a second on this host's backend, one thread: `host BATCH...`.
//!
//! What `picovae simulate` asks of the core a window: raw samples through the front-end, encoder, decoder and
//! score. A JSON row for each model and batch: windows handed over at a time. Beside the autoencoder its pruned and
//! 4-bit forms, packed for an M4, and convolutional networks, in a quarter of its time. `cargo xtask bench host` calls
//! it and sets `BENCH_MILLISECONDS`, the time for each.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_gen::{Net, Values, pack};
use picovae_core::kernels::{self, Line};
use picovae_core::{Batch, Model, Prepared, Score};

/// Windows that are run through the layers together, as `simulate` does it.
const TOGETHER: usize = 32;

fn main() {
    let milliseconds = std::env::var("BENCH_MILLISECONDS").unwrap_or("1000".into());
    let spell = Duration::from_millis(milliseconds.parse().expect("milliseconds"));
    let batches: Vec<usize> =
        std::env::args().skip(1).map(|count| count.parse().expect("a number of windows")).collect();
    measure(&bench_gen::benchmarks().remove(0), kernels::PACKING, &batches, spell);
    let board = pack::for_target("m4");
    for net in bench_gen::compressed() {
        let four_bit = net.values == Values::Nibbles;
        let packing = if four_bit { pack::four_bit(board) } else { board };
        measure(&net, packing, &batches, spell / 4);
    }
    let mut convolutions = bench_gen::convolutions();
    convolutions.truncate(3);
    convolutions.extend(bench_gen::channelwise().into_iter().take(1));
    for net in &convolutions {
        measure(net, kernels::PACKING, &batches, spell / 4);
    }
}

/// Prints the rows of a network.
fn measure(net: &Net, packing: u8, batches: &[usize], spell: Duration) {
    let blob = bench_gen::write(net, packing);
    let mut aligned = vec![0u128; blob.len().div_ceil(16)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    bytes[..blob.len()].copy_from_slice(&blob);
    let model = Model::parse(&bytes[..blob.len()]).expect("a generated blob parses");
    let mut weights = vec![Line::default(); Prepared::memory_len(&model)];
    let prepared = Prepared::new(&model, &mut weights).expect("memory for the weights");
    let engine = if kernels::BACKEND == "portable" { "picovae-portable" } else { "picovae" };
    for &count in batches {
        let windows: Vec<Vec<i16>> = (0..count as u32)
            .map(|index| {
                let mut features = vec![0i8; model.input_len()];
                bench_gen::fill(2 * index, &mut features);
                features.iter().map(|&q| i16::from(q) << 8).collect()
            })
            .collect();
        let together = count.min(TOGETHER);
        let mut scores = [Score(0); TOGETHER];
        let mut memory = vec![Line::default(); Batch::memory_len(&model, together)];
        let mut batch = Batch::new(&prepared, &mut memory, together).expect("memory for a batch");
        let repeats = 64usize.div_ceil(count);
        // The best of many short times: the machine is shared.
        let mut best = Duration::MAX;
        let end = Instant::now() + spell;
        while best == Duration::MAX || Instant::now() < end {
            let start = Instant::now();
            for _ in 0..repeats {
                for windows in windows.chunks(together) {
                    for (at, window) in windows.iter().enumerate() {
                        batch.load(at, window).expect("a window of the model's length");
                    }
                    batch.encode(windows.len());
                    batch.decode(windows.len());
                    batch.scores(black_box(&mut scores[..windows.len()]));
                }
            }
            best = best.min(start.elapsed() / (repeats * count) as u32);
        }
        let rate = 1.0 / best.as_secs_f64();
        println!(
            r#"{{"engine":"{engine}","model":"{}","batch":{count},"windows_per_second":{rate:.0}}}"#,
            net.name
        );
    }
}
