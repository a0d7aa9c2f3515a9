//! What a network will cost on a core, before it is flashed: retired instructions
//! by a model fitted to the measured ones (`docs/benchmarks.md`).
//!
//! A layer costs `MACs * a + outputs * b + c`. For fully connected layers the three
//! are least squares over five measured networks, which they meet within 0.6 %;
//! convolutions and transposed convolutions are measured at two sizes and one. It
//! holds for weights packed for the core, of pruned blocks those that are left (by two autoencoders with half and three
//! quarters pruned, and one with 4-bit weights, which determine it), 4-bit ones by what the autoencoder with
//! them took more (as convolutions where they run the same loops); the front-end, scoring and the
//! detector are not in it. Operators that were not measured have no figure.

use std::borrow::Cow;

use picovae_core::model::blocks::is_sparse;
use picovae_core::model::packing::GROUP;
use picovae_core::model::wire::packing;
use picovae_core::model::{LayerView, Matrix, Operator};

use crate::blocks;
use crate::graph::{Layer, Op, Vae};
use crate::quantize::WeightBits;

/// A core's costs, in instructions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoreCost {
    /// As `--target` calls it.
    pub core: &'static str,
    fully_connected: [f64; 3],
    convolution: [f64; 2],
    /// For each output; a multiply-accumulate costs what a convolution's does.
    transposed_output: f64,
    /// What a multiply-accumulate with a 4-bit weight costs more: of fully connected
    /// layers, and of convolutions, where they have a fast path.
    four_bit: (f64, Option<f64>),
    /// A block that is left of a layer with pruned ones, with 8-bit and with 4-bit weights, and a group of four rows.
    sparse: [f64; 3],
}

/// Every core with measured costs.
pub static CORES: [CoreCost; 5] = [
    CoreCost {
        core: "cortex-m0plus",
        fully_connected: [2.424, 33.0, 566.0],
        convolution: [2.441, 33.2],
        transposed_output: 46.9,
        four_bit: (0.200, None),
        sparse: [158.1, 163.3, 45.3],
    },
    CoreCost {
        core: "cortex-m3",
        fully_connected: [1.885, 11.6, 414.0],
        convolution: [1.920, 15.3],
        transposed_output: 30.8,
        four_bit: (-0.367, None),
        sparse: [132.0, 102.9, 20.0],
    },
    CoreCost {
        core: "cortex-m4",
        fully_connected: [0.760, 10.9, 279.0],
        convolution: [0.766, 17.8],
        transposed_output: 27.7,
        four_bit: (0.187, Some(0.187)),
        sparse: [57.0, 69.9, 7.05],
    },
    CoreCost {
        core: "cortex-m33",
        fully_connected: [0.760, 10.9, 280.0],
        convolution: [0.766, 17.8],
        transposed_output: 27.8,
        four_bit: (0.187, Some(0.187)),
        sparse: [57.0, 69.9, 7.09],
    },
    CoreCost {
        core: "cortex-m55",
        fully_connected: [0.156, 4.44, 237.0],
        convolution: [0.135, 8.9],
        transposed_output: 12.7,
        four_bit: (0.013, Some(0.013)),
        sparse: [12.0, 14.64, 0.63],
    },
];

/// A layer as the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerCost {
    /// [`Op::name`].
    pub op: &'static str,
    /// Multiply-accumulates of an inference.
    pub macs: usize,
    /// Elements it writes.
    pub outputs: usize,
    /// Bits of a weight.
    pub bits: u8,
    /// What is left of a layer whose pruned blocks are left out; `None` of a dense one.
    pub sparse: Option<Sparse>,
}

/// Work of a layer with pruned blocks, an inference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sparse {
    /// Blocks that are multiplied: those that are left, once a position.
    pub blocks: usize,
    /// Groups of four rows, once a position.
    pub groups: usize,
}

impl LayerCost {
    /// Of a float layer, its weights dense and in 8 bits.
    pub fn of(op: &Op) -> Self {
        Self { op: op.name(), macs: op.macs(), outputs: op.output().len(), bits: 8, sparse: None }
    }

    /// Of every layer of a float model as it will be packed: encoder, head, decoder, for both heads are
    /// one layer of a blob.
    pub fn of_model(vae: &Vae, bits: &WeightBits) -> Vec<Self> {
        let vae = &*with_dense_heads(vae);
        let mut costs: Vec<Self> = vae
            .layers()
            .map(|layer| Self { bits: bits.of(&layer.name), ..Self::of(&layer.op) })
            .collect();
        let weights = blocks::weights(vae);
        for layer in blocks::layers(vae) {
            let Some((left, first)) = layer.left(&weights).zip(layer.blocks.first()) else {
                continue;
            };
            let at = first.layer();
            if let Some((cost, weights)) = costs.get_mut(at).zip(weights.get(at)) {
                let positions = cost.macs / weights.len().max(1);
                let (blocks, groups) = (left * positions, layer.groups * positions);
                cost.sparse = Some(Sparse { blocks, groups });
            }
        }
        if vae.logvar.is_some() {
            // It takes the bits of `mu`, with which its blocks were counted.
            let mu = vae.encoder.len();
            let logvar = costs.remove(mu + 1);
            costs[mu].macs += logvar.macs;
            costs[mu].outputs += logvar.outputs;
        }
        costs
    }

    /// Of a blob's layer.
    pub fn of_blob(view: LayerView<'_>) -> Self {
        let (op, matrices) = match &view.operator {
            Operator::FullyConnected(matrix) => ("fully_connected", vec![*matrix]),
            Operator::Convolution(_, matrix) => ("convolution", vec![*matrix]),
            Operator::DepthwiseConvolution(_, matrix) => ("depthwise_convolution", vec![*matrix]),
            Operator::TransposedConvolution(phases) => {
                let [length, width] = phases.geometry().stride();
                let all = (0..length).flat_map(|l| (0..width).map(move |w| (l, w)));
                let phases = all.filter_map(|(l, w)| phases.matrix(l, w)).collect();
                ("transposed_convolution", phases)
            }
            Operator::MaxPool(_) => ("max_pool", Vec::new()),
            Operator::AveragePool(_) => ("average_pool", Vec::new()),
            _ => ("other", Vec::new()),
        };
        let (macs, outputs) = (view.macs(), view.output_len());
        let weights: usize = matrices.iter().map(|matrix| matrix.inputs() * matrix.outputs()).sum();
        let positions = macs / weights.max(1);
        let parts: Option<Vec<Sparse>> = matrices.iter().map(sparse).collect();
        let sparse = parts.filter(|parts| !parts.is_empty()).map(|parts| Sparse {
            blocks: positions * parts.iter().map(|part| part.blocks).sum::<usize>(),
            groups: positions * parts.iter().map(|part| part.groups).sum::<usize>(),
        });
        Self { op, macs, outputs, bits: matrices.first().map_or(8, bits), sparse }
    }
}

/// The model with fully connected heads: whatever they are, the device has a matrix of them.
fn with_dense_heads(vae: &Vae) -> Cow<'_, Vae> {
    let is_dense = |head: &Layer| matches!(head.op, Op::FullyConnected { .. });
    if is_dense(&vae.mu) && vae.logvar.iter().all(is_dense) {
        return Cow::Borrowed(vae);
    }
    let dense = |head: &Layer| {
        let (weight, bias) = head.dense();
        Layer::fully_connected(&head.name, weight, bias, head.activation)
    };
    let (mu, logvar) = (dense(&vae.mu), vae.logvar.as_ref().map(dense));
    Cow::Owned(Vae { mu, logvar, ..vae.clone() })
}

/// Blocks and groups of a matrix whose pruned blocks are left out.
fn sparse(matrix: &Matrix<'_>) -> Option<Sparse> {
    let groups = matrix.outputs().div_ceil(GROUP);
    // The section starts with the number of blocks of each group.
    let counts = matrix.weights().chunks_exact(2).take(groups);
    let blocks = counts.map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))).sum();
    is_sparse(matrix.packing()).then_some(Sparse { blocks, groups })
}

/// Bits of a matrix's weights.
fn bits(matrix: &Matrix<'_>) -> u8 {
    let packing = matrix.packing();
    if packing == packing::NIBBLES || packing & packing::FOUR_BIT != 0 { 4 } else { 8 }
}

/// The costs of the core that `--target` calls so; what runs the same code costs the same.
pub fn of_core(target: &str) -> Option<&'static CoreCost> {
    let core = match target {
        "cortex-m0" => "cortex-m0plus",
        "cortex-m7" => "cortex-m4",
        other => other,
    };
    CORES.iter().find(|cost| cost.core == core)
}

impl CoreCost {
    /// Instructions of one inference; `None` where an operator was not measured.
    pub fn instructions(&self, layers: &[LayerCost]) -> Option<u64> {
        let cost = |layer: &LayerCost| {
            let (macs, outputs) = (layer.macs as f64, layer.outputs as f64);
            let four_bit = layer.bits == 4;
            let windowed = if four_bit { self.four_bit.1 } else { Some(0.0) };
            if let Some(Sparse { blocks, groups }) = layer.sparse {
                let [eight, four, group] = self.sparse;
                let products = if four_bit { four } else { eight } * blocks as f64;
                let products = products + group * groups as f64;
                return match layer.op {
                    "fully_connected" => {
                        let [_, b, c] = self.fully_connected;
                        Some(products + b * outputs + c)
                    }
                    // Convolutions run the same loops where those of 4-bit weights do.
                    "convolution" => {
                        self.four_bit.1.map(|_| products + self.convolution[1] * outputs)
                    }
                    "transposed_convolution" => {
                        self.four_bit.1.map(|_| products + self.transposed_output * outputs)
                    }
                    _ => None,
                };
            }
            match layer.op {
                "fully_connected" => {
                    let [a, b, c] = self.fully_connected;
                    let more = if four_bit { self.four_bit.0 } else { 0.0 };
                    Some((a + more) * macs + b * outputs + c)
                }
                "convolution" => {
                    Some((self.convolution[0] + windowed?) * macs + self.convolution[1] * outputs)
                }
                "transposed_convolution" => Some(
                    (self.convolution[0] + windowed?) * macs + self.transposed_output * outputs,
                ),
                _ => None,
            }
        };
        let sum: f64 = layers.iter().map(cost).sum::<Option<f64>>()?;
        Some(sum.round() as u64)
    }
}

#[cfg(test)]
mod tests;
