//! Batches of windows against single ones: every network of the suite, every packing, sizes around the four
//! windows of a weight load.

use picovae_core::kernels::Line;
use picovae_core::trace::ActivationHash;
use picovae_core::{Arena, Batch, Model, Prepared, Score, Vae};

use crate::{Net, fill};

/// Features, activations and score of every window, as `Vae` gives them and as a batch does.
fn check(net: &Net, packing: u8, windows: usize) {
    let blob = crate::write(net, packing);
    let mut aligned = vec![0u128; blob.len().div_ceil(16)];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
    bytes[..blob.len()].copy_from_slice(&blob);
    let model = Model::parse(&bytes[..blob.len()]).expect("a generated blob parses");
    let mut arena = Arena::<16384>::new();
    let mut vae = Vae::new(&model, arena.bytes()).expect("the arena is long enough");
    let mut weights = vec![Line::default(); Prepared::memory_len(&model)];
    let prepared = Prepared::new(&model, &mut weights).expect("memory for the weights");
    let mut memory = vec![Line::default(); Batch::memory_len(&model, windows)];
    let mut batch = Batch::new(&prepared, &mut memory, windows).expect("memory for the windows");
    // Twice, in the second round fewer: nothing of the first may be left over.
    for count in [windows, windows.div_ceil(2)] {
        let seed = |at: usize| (at + 3 * count) as u32;
        for at in 0..count {
            fill(seed(at), batch.features_mut(at));
        }
        batch.encode(count);
        batch.decode(count);
        let mut scores = vec![Score(0); count];
        batch.scores(&mut scores);
        for (at, &of_batch) in scores.iter().enumerate() {
            fill(seed(at), vae.features_mut());
            let (mut one, mut many) = (ActivationHash::new(), ActivationHash::new());
            let score = vae.score_loaded(&mut one);
            batch.replay(at, of_batch, &mut many);
            let name = format!("{} packing {packing}, {at} of {count}", net.name);
            assert_eq!(of_batch, score, "{name}");
            assert_eq!(batch.window(at).output(), vae.output(), "{name}");
            assert_eq!(many, one, "{name}");
        }
    }
}

#[test]
fn a_batch_gives_the_bits_of_single_windows() {
    let nets = [
        crate::conformance(),
        crate::benchmarks(),
        crate::convolutions(),
        crate::channelwise(),
        crate::nibbles(),
        crate::sparse(),
        crate::sparse_nibbles(),
    ];
    for (index, net) in nets.concat().iter().enumerate() {
        for packing in crate::packings(net) {
            let windows = if packing == 0 { 1 + index % 9 } else { 5 };
            check(net, packing, windows);
        }
    }
}

/// Long rows, all weights and inputs extreme: the sums are the greatest there are.
#[test]
fn long_rows_of_extremes_do_not_overflow() {
    for (index, inputs) in [479, 480, 481, 484, 960, 1933, 4097].into_iter().enumerate() {
        let mut net = crate::article();
        net.values = crate::Values::Extreme;
        net.seed = index as u64;
        net.inputs = inputs;
        net.decoder[2].outputs = inputs;
        check(&net, 0, 6);
    }
}
