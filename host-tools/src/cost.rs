//! What a network will cost on a core, before it is flashed: retired instructions
//! by a model fitted to the measured ones (`docs/benchmarks.md`).
//!
//! A layer costs `MACs * a + outputs * b + c`. For fully connected layers the three
//! are least squares over five measured networks, which they meet within 0.6 %;
//! convolutions and transposed convolutions are measured at two sizes and one. It
//! holds for dense weights packed for the core, 4-bit ones by what the autoencoder with
//! them took more (as convolutions where they run the same loops); the front-end, scoring and the
//! detector are not in it. Operators that were not measured have no figure.

use picovae_core::model::wire::packing;
use picovae_core::model::{LayerView, Matrix, Operator};

use crate::graph::Op;

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
}

/// Every core with measured costs.
pub static CORES: [CoreCost; 5] = [
    CoreCost {
        core: "cortex-m0plus",
        fully_connected: [2.424, 33.0, 566.0],
        convolution: [2.441, 33.2],
        transposed_output: 46.9,
        four_bit: (0.200, None),
    },
    CoreCost {
        core: "cortex-m3",
        fully_connected: [1.885, 11.6, 414.0],
        convolution: [1.920, 15.3],
        transposed_output: 30.8,
        four_bit: (-0.367, None),
    },
    CoreCost {
        core: "cortex-m4",
        fully_connected: [0.760, 10.9, 279.0],
        convolution: [0.766, 17.8],
        transposed_output: 27.7,
        four_bit: (0.187, Some(0.187)),
    },
    CoreCost {
        core: "cortex-m33",
        fully_connected: [0.760, 10.9, 280.0],
        convolution: [0.766, 17.8],
        transposed_output: 27.8,
        four_bit: (0.187, Some(0.187)),
    },
    CoreCost {
        core: "cortex-m55",
        fully_connected: [0.156, 4.44, 237.0],
        convolution: [0.135, 8.9],
        transposed_output: 12.7,
        four_bit: (0.013, Some(0.013)),
    },
];

/// A layer as the model sees it.
#[derive(Debug, Clone, Copy)]
pub struct LayerCost {
    /// [`Op::name`].
    pub op: &'static str,
    /// Multiply-accumulates of an inference.
    pub macs: usize,
    /// Elements it writes.
    pub outputs: usize,
    /// Bits of a weight.
    pub bits: u8,
}

impl LayerCost {
    /// Of a float layer, its weights in 8 bits.
    pub fn of(op: &Op) -> Self {
        Self { op: op.name(), macs: op.macs(), outputs: op.output().len(), bits: 8 }
    }

    /// Of a blob's layer.
    pub fn of_blob(view: LayerView<'_>) -> Self {
        let (op, bits) = match &view.operator {
            Operator::FullyConnected(matrix) => ("fully_connected", bits(matrix)),
            Operator::Convolution(_, matrix) => ("convolution", bits(matrix)),
            Operator::DepthwiseConvolution(_, matrix) => ("depthwise_convolution", bits(matrix)),
            Operator::TransposedConvolution(phases) => {
                ("transposed_convolution", phases.matrix(0, 0).map_or(8, |matrix| bits(&matrix)))
            }
            Operator::MaxPool(_) => ("max_pool", 8),
            Operator::AveragePool(_) => ("average_pool", 8),
            _ => ("other", 8),
        };
        Self { op, macs: view.macs(), outputs: view.output_len(), bits }
    }
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
mod tests {
    use super::*;

    /// Measured by `cargo xtask bench mcu` on M0+, M3, M4, M55.
    #[test]
    fn the_measured_networks_are_met() {
        let dense = |widths: &[usize]| -> Vec<LayerCost> {
            let layer = |pair: &[usize]| LayerCost {
                op: "fully_connected",
                macs: pair[0] * pair[1],
                outputs: pair[1],
                bits: 8,
            };
            widths.windows(2).map(layer).collect()
        };
        let ad = dense(&[640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]);
        let encoder = dense(&[784, 512, 256, 40]);
        let conv = vec![LayerCost { op: "convolution", macs: 81_920, outputs: 1_024, bits: 8 }];
        for (core, of_ad, of_encoder, of_conv) in [
            ("cortex-m0plus", 701_524.0, 1_346_122.0, 233_957.0),
            ("cortex-m3", 521_785.0, 1_034_366.0, 172_966.0),
            ("cortex-m4", 222_009.0, 422_963.0, 81_015.0),
            ("cortex-m55", 51_007.0, 88_874.0, 20_211.0),
        ] {
            let cost = CORES.iter().find(|cost| cost.core == core).unwrap();
            for (layers, measured) in [(&ad, of_ad), (&encoder, of_encoder), (&conv, of_conv)] {
                let predicted = cost.instructions(layers).unwrap() as f64;
                let error: f64 = predicted / measured - 1.0;
                assert!(error.abs() < 0.01, "{core}: {predicted} for {measured}");
            }
        }
        // The same network with 4-bit weights.
        for (core, measured) in [
            ("cortex-m0plus", 754_168.0),
            ("cortex-m3", 424_839.0),
            ("cortex-m4", 271_277.0),
            ("cortex-m55", 54_358.0),
        ] {
            let cost = CORES.iter().find(|cost| cost.core == core).unwrap();
            let four: Vec<LayerCost> = ad.iter().map(|l| LayerCost { bits: 4, ..*l }).collect();
            let error: f64 = cost.instructions(&four).unwrap() as f64 / measured - 1.0;
            assert!(error.abs() < 0.01, "{core}: {error}");
        }
        let pool = [LayerCost { op: "max_pool", macs: 0, outputs: 8, bits: 8 }];
        assert_eq!(CORES[0].instructions(&pool), None);
    }
}
