//! Which blocks of weights go: the choice alone, round by round.

use rand::RngExt;

use super::importance::{Criterion, slopes};
use crate::blocks::{self, Block};
use crate::graph::Vae;
use crate::recording::WindowSet;
use crate::train::{Stream, stream};

/// The least important blocks, `share` of all, those already empty among them: global across layers, each layer's
/// importances divided by their Euclidean length, as of units. Every block costs the same.
pub(super) fn choose(
    vae: &Vae,
    data: &WindowSet<'_>,
    criterion: Criterion,
    share: f64,
    windows: usize,
    seed: u64,
) -> Vec<Block> {
    let layers = blocks::layers(vae);
    let weights = blocks::weights(vae);
    let all: usize = layers.iter().map(|layer| layer.blocks.len()).sum();
    let mut ranked: Vec<(f64, usize, &Block)> = Vec::with_capacity(all);
    let importances = importances(vae, &layers, data, criterion, windows, seed);
    for (at, (layer, importances)) in layers.iter().zip(importances).enumerate() {
        let length = importances.iter().map(|i| i * i).sum::<f64>().sqrt();
        for (block, importance) in layer.blocks.iter().zip(importances) {
            // What is empty goes before all else.
            let gone = block.is_empty(&weights);
            ranked.push((if gone { -1.0 } else { importance / length.max(1e-300) }, at, block));
        }
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = (share * all as f64).round() as usize;
    // A layer without a block would give the same whatever it reads.
    let mut left: Vec<usize> = layers.iter().map(|layer| layer.blocks.len()).collect();
    let mut spared = |at: usize| {
        left[at] = left[at].saturating_sub(1);
        left[at] == 0
    };
    let ranked = ranked.into_iter().filter(|(_, at, _)| !spared(*at));
    ranked.take(count).map(|(_, _, block)| block.clone()).collect()
}

/// How much each block matters, layer by layer.
fn importances(
    vae: &Vae,
    layers: &[blocks::BlockLayer],
    data: &WindowSet<'_>,
    criterion: Criterion,
    windows: usize,
    seed: u64,
) -> Vec<Vec<f64>> {
    let weights = blocks::weights(vae);
    let each = |of: &mut dyn FnMut(&Block) -> f64| -> Vec<Vec<f64>> {
        layers.iter().map(|layer| layer.blocks.iter().map(&mut *of).collect()).collect()
    };
    match criterion {
        // Summed over batches, as of units: squares of what the loss would change without the block.
        Criterion::Taylor => {
            let mut sums = each(&mut |_| 0.0);
            slopes(vae, data, windows, seed, |gradient| {
                let slopes: Vec<&[f32]> =
                    gradient.layers.iter().map(|layer| layer.weight.as_slice()).collect();
                for (layer, sums) in layers.iter().zip(&mut sums) {
                    for (block, sum) in layer.blocks.iter().zip(sums) {
                        let pairs = block.values(&weights).zip(block.values(&slopes));
                        let change: f64 = pairs.map(|(w, g)| f64::from(w) * f64::from(g)).sum();
                        *sum += change * change;
                    }
                }
            });
            sums
        }
        Criterion::Random => {
            let mut rng = stream(seed, Stream::Init);
            each(&mut |_| rng.random())
        }
        // A block has no activation of its own: `prune` refuses that.
        Criterion::Magnitude | Criterion::Activation => each(&mut |block| {
            block.values(&weights).map(|w| f64::from(w).powi(2)).sum::<f64>().sqrt()
        }),
    }
}
