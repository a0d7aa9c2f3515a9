//! Blocks of four rows by sixteen columns, of a float model's weights as kernels will read them.
//!
//! A block that is all zero costs neither flash nor time where a layer has enough of them
//! ([`pack_layer`](crate::emit::pack::pack_layer)). [`prune`](crate::compress::prune) empties blocks, training
//! keeps them empty ([`Mask`]), [`cost`](crate::cost) counts those that are left.

use picovae_core::model::blocks::BLOCK;
use picovae_core::model::packing::GROUP;

use crate::emit::pack::{pays, transposed_phases};
use crate::graph::{Op, Vae};

/// Neighbouring weights of a layer, in order of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    layer: usize,
    start: usize,
    len: usize,
}

/// One block; at the edges of a matrix it may be smaller than the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    runs: Vec<Run>,
}

/// A layer of the device: the weights of a layer, or of both heads together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockLayer {
    /// Its blocks, those of the first four rows first, the phases of a transposed convolution one after the other.
    pub blocks: Vec<Block>,
    /// Groups of four rows.
    pub groups: usize,
}

impl Block {
    /// The layer it lies in, in [`Vae::layers`]' order; the first of two, where both heads have rows of it.
    pub fn layer(&self) -> usize {
        self.runs.first().map_or(0, |run| run.layer)
    }

    /// Of values stored as the layers' weights are, those of the block.
    pub fn values<'v>(&self, layers: &[&'v [f32]]) -> impl Iterator<Item = f32> + use<'v> {
        let of = |run: &Run| layers.get(run.layer)?.get(run.start..run.start + run.len);
        let slices: Vec<&'v [f32]> = self.runs.iter().filter_map(of).collect();
        slices.into_iter().flatten().copied()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self, layers: &[&[f32]]) -> bool {
        self.values(layers).all(|weight| weight == 0.0)
    }
}

/// The weights of every layer, as [`Block::values`] takes them.
pub fn weights(vae: &Vae) -> Vec<&[f32]> {
    vae.layers().map(|layer| layer.op.weight()).collect()
}

/// Every layer whose blocks kernels can leave out. Depthwise convolutions and pools have none; heads that are not
/// fully connected become dense on the device, so theirs are not told either.
pub fn layers(vae: &Vae) -> Vec<BlockLayer> {
    let heads = vae.encoder.len()..vae.encoder.len() + 1 + usize::from(vae.logvar.is_some());
    let dense = |op: &Op| matches!(op, Op::FullyConnected { .. });
    let mut head_rows = Vec::new();
    let mut all = Vec::new();
    for (at, layer) in vae.layers().enumerate() {
        let rows = |positions: Vec<usize>, rows: usize| -> Vec<Vec<Run>> {
            let columns = (positions.len() / rows.max(1)).max(1);
            positions.chunks(columns).map(|row| of_row(at, row)).collect()
        };
        let outputs = layer.op.output().channels;
        let positions: Vec<usize> = (0..layer.op.weight().len()).collect();
        match &layer.op {
            op if heads.contains(&at) => {
                if dense(op) {
                    head_rows.extend(rows(positions, outputs));
                }
                if at + 1 == heads.end {
                    all.push(BlockLayer::default().and(&std::mem::take(&mut head_rows)));
                }
            }
            Op::FullyConnected { .. } | Op::Convolution { .. } => {
                all.push(BlockLayer::default().and(&rows(positions, outputs)));
            }
            Op::TransposedConvolution { geometry, .. } => {
                let channels = geometry.input.channels;
                let phases =
                    transposed_phases(&positions, geometry.kernel, channels, geometry.stride);
                // A phase without taps has no weights.
                let phases = phases.into_iter().filter(|phase| !phase.is_empty());
                let whole = BlockLayer::default();
                all.push(phases.fold(whole, |layer, phase| layer.and(&rows(phase, outputs))));
            }
            Op::DepthwiseConvolution { .. } | Op::MaxPool(_) | Op::AveragePool(_) => {}
        }
    }
    all.retain(|layer| !layer.blocks.is_empty());
    all
}

/// A row cut into the runs of its blocks, one entry a run; where a block's weights are apart, several.
fn of_row(layer: usize, row: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (column, &place) in row.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if column % BLOCK != 0 && run.start + run.len == place => run.len += 1,
            _ => runs.push(Run { layer, start: place, len: 1 }),
        }
    }
    runs
}

impl BlockLayer {
    /// With the rows of a matrix more.
    fn and(self, rows: &[Vec<Run>]) -> Self {
        let Self { mut blocks, groups } = self;
        for group in rows.chunks(GROUP) {
            let columns = group.iter().map(|row| row.iter().map(|run| run.len).sum::<usize>());
            let across = columns.max().unwrap_or(0).div_ceil(BLOCK);
            let first = blocks.len();
            blocks.extend((0..across).map(|_| Block { runs: Vec::new() }));
            for row in group {
                let mut column = 0;
                for run in row {
                    blocks[first + column / BLOCK].runs.push(*run);
                    column += run.len;
                }
            }
        }
        Self { blocks, groups: groups + rows.len().div_ceil(GROUP) }
    }

    /// Blocks that are left, if leaving the others out pays: the device's packing drops them then.
    pub fn left(&self, layers: &[&[f32]]) -> Option<usize> {
        let left = self.blocks.iter().filter(|block| !block.is_empty(layers)).count();
        pays(left, self.blocks.len()).then_some(left)
    }
}

/// Empties blocks.
pub fn empty<'b>(vae: &mut Vae, blocks: impl IntoIterator<Item = &'b Block>) {
    Mask::of_blocks(blocks).apply(vae);
}

/// Blocks of a model, and those of them that are empty.
pub fn count(vae: &Vae) -> (usize, usize) {
    let layers = weights(vae);
    let all = self::layers(vae);
    let blocks = || all.iter().flat_map(|layer| &layer.blocks);
    (blocks().count(), blocks().filter(|block| block.is_empty(&layers)).count())
}

/// What stays zero in training.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    /// Sorted by layer.
    runs: Vec<Run>,
}

impl Mask {
    /// The empty blocks of a model that says that they are pruned; of any other, none.
    pub fn of(vae: &Vae) -> Self {
        if !vae.pruned_blocks {
            return Self::default();
        }
        let layers = weights(vae);
        let all = self::layers(vae);
        let blocks = all.iter().flat_map(|layer| &layer.blocks);
        Self::of_blocks(blocks.filter(|block| block.is_empty(&layers)))
    }

    fn of_blocks<'b>(blocks: impl IntoIterator<Item = &'b Block>) -> Self {
        let mut runs: Vec<Run> = blocks.into_iter().flat_map(|block| block.runs.clone()).collect();
        runs.sort_by_key(|run| (run.layer, run.start));
        Self { runs }
    }

    /// Zeroes it.
    pub fn apply(&self, vae: &mut Vae) {
        if self.runs.is_empty() {
            return;
        }
        let mut runs = self.runs.iter().peekable();
        for (at, layer) in vae.layers_mut().enumerate() {
            let weights = layer.op.parameters_mut().map(|(weights, _)| weights);
            let weights = weights.unwrap_or_default();
            while let Some(run) = runs.next_if(|run| run.layer == at) {
                if let Some(weights) = weights.get_mut(run.start..run.start + run.len) {
                    weights.fill(0.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::write;
    use crate::quantize::{QuantizeOptions, lower, observe};
    use crate::train::{Architecture, Convolution, student};
    use ndarray::Array2;

    /// Convolutions, transposed ones with strides, heads of 5 + 5 rows, odd widths.
    fn network() -> Vae {
        let like = crate::graph::Frontend::identity(24, 24, 1);
        let mut teacher = crate::graph::tests::tiny();
        teacher.frontend = like;
        let conv = |text: &str| text.parse::<Convolution>().unwrap();
        let shape = Architecture {
            convolutions: vec![conv("12x5s2"), conv("18x3s2")],
            ..Architecture::mirrored("blocks", &[23], 5)
        };
        student(&teacher, &shape, 1).unwrap()
    }

    #[test]
    fn every_weight_lies_in_one_block() {
        let vae = network();
        let mut seen: Vec<Vec<u32>> = weights(&vae).iter().map(|w| vec![0; w.len()]).collect();
        for block in super::layers(&vae).iter().flat_map(|layer| &layer.blocks) {
            let mut size = 0;
            for run in &block.runs {
                seen[run.layer][run.start..run.start + run.len].iter_mut().for_each(|n| *n += 1);
                size += run.len;
            }
            assert!((1..=GROUP * BLOCK).contains(&size), "{size}");
        }
        assert!(seen.iter().flatten().all(|n| *n == 1));
    }

    /// Blocks are what the writer leaves out: their number in the blob's sections is the number left here.
    #[test]
    fn the_blob_leaves_the_same_blocks_out() {
        let mut vae = network();
        let all = super::layers(&vae);
        let blocks = || all.iter().flat_map(|layer| &layer.blocks);
        let gone: Vec<Block> = blocks().step_by(2).cloned().collect();
        empty(&mut vae, &gone);
        assert_eq!(count(&vae), (blocks().count(), gone.len()));
        vae.pruned_blocks = true;
        let mut moved = vae.clone();
        for layer in moved.layers_mut() {
            if let Some((weights, _)) = layer.op.parameters_mut() {
                weights.iter_mut().for_each(|w| *w += 1.0);
            }
        }
        Mask::of(&vae).apply(&mut moved);
        assert_eq!(count(&moved).1, gone.len());

        let features = Array2::from_shape_fn((3, 24), |(row, at)| (row * at) as f32 / 24.0);
        let options = QuantizeOptions::default();
        let ranges = observe(&vae, features.view(), &options).unwrap();
        let quantized = lower(&vae, &ranges, &options).unwrap();
        let blob = write(&quantized, "cortex-m4", Default::default()).unwrap();
        let model = blob.model().unwrap();
        let of_blob: Vec<_> = (0..model.layer_count())
            .filter_map(|at| model.layer(at))
            .map(crate::cost::LayerCost::of_blob)
            .collect();
        let of_float = crate::cost::LayerCost::of_model(&vae, &options.weight_bits);
        let sum = |costs: &[crate::cost::LayerCost]| {
            let sparse = costs.iter().filter_map(|cost| cost.sparse);
            sparse.fold((0, 0), |sum, s| (sum.0 + s.blocks, sum.1 + s.groups))
        };
        assert!(sum(&of_blob).0 > 0);
        assert_eq!(sum(&of_blob), sum(&of_float));
    }
}
