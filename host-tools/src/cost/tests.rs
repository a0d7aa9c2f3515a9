//! Costs against what was measured, and a model's against its blob's.

use super::*;
use crate::emit::write;
use crate::graph::tests::tiny;
use crate::graph::{Activation, Frontend, Geometry};
use crate::quantize::{QuantizeOptions, lower, observe};
use crate::train::{Architecture, Convolution, student};
use ndarray::{Array1, Array2, Array4};

/// Convolutions and back, heads of 5 + 5 rows.
fn convolutional() -> Vae {
    let like = Vae { frontend: Frontend::identity(24, 24, 1), ..tiny() };
    let shape = Architecture {
        convolutions: vec!["12x5s2".parse::<Convolution>().unwrap()],
        ..Architecture::mirrored("cost", &[23], 5)
    };
    student(&like, &shape, 1).unwrap()
}

#[test]
fn a_model_costs_what_its_blob_does() {
    let mut sparse = convolutional();
    let all = blocks::layers(&sparse);
    let gone = all.iter().flat_map(|layer| &layer.blocks).step_by(2);
    blocks::empty(&mut sparse, gone);
    // Heads that are convolutions become a matrix, most of it zeros.
    let mut odd = convolutional();
    odd.encoder.truncate(1);
    let input = odd.encoder[0].op.output();
    let geometry = Geometry::convolution(input, 1, [1, 1], [3, 1], [(0, 0), (0, 0)]);
    let latent = geometry.output.len();
    let head = |name: &str| Layer {
        name: name.into(),
        op: Op::Convolution {
            weight: Array4::from_elem((1, 1, 1, input.channels), 0.1),
            bias: Array1::zeros(1),
            geometry,
        },
        activation: Activation::Identity,
    };
    (odd.mu, odd.logvar) = (head("mu"), Some(head("logvar")));
    let widths = Array2::from_elem((23, latent), 0.2);
    odd.decoder[0] =
        Layer::fully_connected(&odd.decoder[0].name, widths, Array1::zeros(23), Activation::Relu);
    for (vae, bits) in [
        (tiny(), "8"),
        (convolutional(), "8"),
        (convolutional(), "8,mu=4"),
        (sparse, "4"),
        (odd, "8"),
    ] {
        let len = vae.input_len();
        let features = Array2::from_shape_fn((2, len), |(row, _)| row as f32);
        let weight_bits: WeightBits = bits.parse().unwrap();
        let options = QuantizeOptions { weight_bits, ..QuantizeOptions::default() };
        let ranges = observe(&vae, features.view(), &options).unwrap();
        let quantized = lower(&vae, &ranges, &options).unwrap();
        let blob = write(&quantized, "cortex-m4", Default::default()).unwrap();
        let model = blob.model().unwrap();
        let layers = (0..model.layer_count()).filter_map(|at| model.layer(at));
        let of_blob: Vec<LayerCost> = layers.map(LayerCost::of_blob).collect();
        let of_model = LayerCost::of_model(&vae, &options.weight_bits);
        assert_eq!(of_model, of_blob, "{bits}");
        let cost = of_core("cortex-m4").unwrap();
        assert!(cost.instructions(&of_model).is_some());
    }
}

/// Measured by `cargo xtask bench mcu` on M0+, M3, M4, M55.
#[test]
fn the_measured_networks_are_met() {
    let dense = |widths: &[usize]| -> Vec<LayerCost> {
        let layer = |pair: &[usize]| LayerCost {
            op: "fully_connected",
            macs: pair[0] * pair[1],
            outputs: pair[1],
            bits: 8,
            sparse: None,
        };
        widths.windows(2).map(layer).collect()
    };
    let ad = dense(&[640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]);
    let encoder = dense(&[784, 512, 256, 40]);
    let conv = LayerCost { op: "convolution", macs: 81_920, ..ad[0] };
    let conv = vec![LayerCost { outputs: 1_024, ..conv }];
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
    // Half and three quarters of the blocks of every layer pruned; half of 4-bit ones.
    let pruned = |percent: usize, bits: u8| -> Vec<LayerCost> {
        let layer = |layer: &LayerCost| {
            let groups = layer.outputs.div_ceil(4);
            let all = groups * (layer.macs / layer.outputs).div_ceil(16);
            let blocks = all - all * percent / 100;
            LayerCost { bits, sparse: Some(Sparse { blocks, groups }), ..*layer }
        };
        ad.iter().map(layer).collect()
    };
    for (core, half, quarter, four) in [
        ("cortex-m0plus", 407_325.0, 243_554.0, 418_221.0),
        ("cortex-m3", 305_396.0, 168_644.0, 245_158.0),
        ("cortex-m4", 142_065.0, 83_013.0, 168_729.0),
        ("cortex-m33", 142_091.0, 83_039.0, 168_755.0),
        ("cortex-m55", 34_920.0, 22_488.0, 40_396.0),
    ] {
        let cost = CORES.iter().find(|cost| cost.core == core).unwrap();
        for (layers, measured) in
            [(pruned(50, 8), half), (pruned(75, 8), quarter), (pruned(50, 4), four)]
        {
            let predicted = cost.instructions(&layers).unwrap() as f64;
            let error: f64 = predicted / measured - 1.0;
            assert!(error.abs() < 0.002, "{core}: {predicted} for {measured}");
        }
    }
    let pool = [LayerCost { op: "max_pool", macs: 0, ..ad[0] }];
    assert_eq!(CORES[0].instructions(&pool), None);
}
