//! Taking neurons and channels out of a model: the surgery alone, no choice.

use ndarray::{Array, Array1, Axis, Dimension, RemoveAxis};

use crate::graph::{Geometry, Layer, Op, Vae};

/// An output channel (a neuron, where the layer is fully connected) that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// Layer that computes it, in [`Vae::layers`]' order.
    pub layer: usize,
    /// Its channel.
    pub channel: usize,
}

/// Every unit that may be removed: channels of the hidden layers, not of the heads nor of the
/// output. Layers that only pass channels on (depthwise, pools) follow the layer before them; in
/// front of any other they pass the input's channels on and keep them. Neurons that a convolution
/// reads as an image (a reshape) stay: none of them is a channel.
pub fn units(vae: &Vae) -> Vec<Unit> {
    let layers: Vec<&Layer> = vae.layers().collect();
    let first_decoder = vae.encoder.len() + 1 + usize::from(vae.logvar.is_some());
    let hidden = (0..vae.encoder.len()).chain(first_decoder..layers.len().saturating_sub(1));
    // Behind the decoder's last mixing layer, channels are the output's.
    let last_mixing = layers.iter().rposition(|layer| mixes(&layer.op)).unwrap_or(0);
    hidden
        .filter(|at| mixes(&layers[*at].op) && *at < last_mixing)
        .filter(|at| {
            let channels = layers[*at].op.output().channels;
            let reader = layers.get(at + 1).and_then(|layer| layer.op.geometry());
            reader.is_none_or(|geometry| geometry.input.channels == channels)
        })
        .flat_map(|layer| {
            let channels = layers[layer].op.output().channels;
            (0..channels).map(move |channel| Unit { layer, channel })
        })
        .collect()
}

/// Whether an operator makes channels of its own.
fn mixes(op: &Op) -> bool {
    matches!(
        op,
        Op::FullyConnected { .. } | Op::Convolution { .. } | Op::TransposedConvolution { .. }
    )
}

/// The model without `gone`. A layer keeps at least one channel: of those asked for, the first
/// ones go.
pub fn remove(vae: &Vae, gone: &[Unit]) -> Vae {
    let mut pruned = vae.clone();
    let allowed = units(vae);
    let count = vae.layers().count();
    for layer in 0..count {
        let channels = vae.layers().nth(layer).map_or(0, |layer| layer.op.output().channels);
        let mut gone: Vec<usize> = gone
            .iter()
            .filter(|unit| unit.layer == layer && allowed.contains(unit))
            .map(|unit| unit.channel)
            .collect();
        gone.truncate(channels.saturating_sub(1));
        if gone.is_empty() {
            continue;
        }
        let kept: Vec<usize> = (0..channels).filter(|channel| !gone.contains(channel)).collect();
        let before = channels;
        let mut layers: Vec<&mut Layer> = pruned.layers_mut().collect();
        let heads = vae.encoder.len()..vae.encoder.len() + 1 + usize::from(vae.logvar.is_some());
        keep_outputs(&mut layers[layer].op, &kept);
        // What reads these channels: the layers behind, up to the next that makes its own.
        let mut at = layer + 1;
        while at < count {
            if heads.contains(&at) {
                // Both heads read the encoder's end.
                for head in heads.clone() {
                    keep_inputs(&mut layers[head].op, before, &kept);
                }
                break;
            }
            let mixing = mixes(&layers[at].op);
            keep_inputs(&mut layers[at].op, before, &kept);
            if mixing {
                break;
            }
            at += 1;
        }
    }
    // Selecting columns leaves another memory layout.
    pruned.layers_mut().for_each(|layer| layer.op.standardize());
    pruned
}

fn select<D: Dimension + RemoveAxis>(array: &mut Array<f32, D>, axis: usize, kept: &[usize]) {
    *array = array.select(Axis(axis), kept);
}

fn select_bias(bias: &mut Array1<f32>, kept: &[usize]) {
    *bias = bias.select(Axis(0), kept);
}

/// Keeps these output channels.
fn keep_outputs(op: &mut Op, kept: &[usize]) {
    match op {
        Op::FullyConnected { weight, bias } => {
            select(weight, 0, kept);
            select_bias(bias, kept);
        }
        Op::Convolution { weight, bias, geometry }
        | Op::TransposedConvolution { weight, bias, geometry } => {
            select(weight, 0, kept);
            select_bias(bias, kept);
            geometry.output.channels = kept.len();
        }
        Op::DepthwiseConvolution { .. } | Op::MaxPool(_) | Op::AveragePool(_) => {}
    }
}

/// Keeps these of the `before` channels that an operator reads.
fn keep_inputs(op: &mut Op, before: usize, kept: &[usize]) {
    let both = |geometry: &mut Geometry| {
        geometry.input.channels = kept.len();
        geometry.output.channels = kept.len();
    };
    match op {
        Op::FullyConnected { weight, .. } => {
            // Channels come last: every place has all of them.
            let columns: Vec<usize> = (0..weight.ncols())
                .filter(|column| kept.binary_search(&(column % before.max(1))).is_ok())
                .collect();
            select(weight, 1, &columns);
        }
        Op::Convolution { weight, geometry, .. }
        | Op::TransposedConvolution { weight, geometry, .. } => {
            select(weight, 3, kept);
            geometry.input.channels = kept.len();
        }
        Op::DepthwiseConvolution { weight, bias, geometry } => {
            select(weight, 0, kept);
            select_bias(bias, kept);
            both(geometry);
        }
        Op::MaxPool(geometry) | Op::AveragePool(geometry) => both(geometry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::tiny;
    use crate::graph::{Activation, Frontend};
    use crate::train::{Stream, stream};
    use ndarray::{Array2, Array3, Array4};
    use rand::RngExt;

    /// Signal 12 x 2, conv, depthwise, pool, heads; decoder with a reshape and a transposed convolution.
    fn convolutional() -> Vae {
        let mut rng = stream(21, Stream::Init);
        let mut random =
            |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let layer = |name: &str, op, activation| Layer { name: name.into(), op, activation };
        let pad = [(1, 1), (0, 0)];
        let conv =
            Geometry::convolution(crate::graph::Shape::new(12, 1, 2), 5, [3, 1], [1, 1], pad);
        let each = Geometry::convolution(conv.output, 5, [3, 1], [1, 1], pad);
        let pool = Geometry::convolution(conv.output, 5, [2, 1], [2, 1], [(0, 0); 2]);
        let back = Geometry::transposed(
            crate::graph::Shape::new(6, 1, 3),
            2,
            [4, 1],
            [2, 1],
            [(1, 1), (0, 0)],
        );
        let fc = |name: &str, out, input, values: Vec<f32>, activation| {
            let weight = Array2::from_shape_vec((out, input), values).unwrap();
            Layer::fully_connected(name, weight, Array1::from_elem(out, 0.1), activation)
        };
        let mut vae = tiny();
        vae.frontend = Frontend::identity(12, 12, 2);
        vae.encoder = vec![
            layer(
                "conv",
                Op::Convolution {
                    weight: Array4::from_shape_vec((5, 3, 1, 2), random(30)).unwrap(),
                    bias: Array1::from_vec(random(5)),
                    geometry: conv,
                },
                Activation::Relu,
            ),
            layer(
                "each",
                Op::DepthwiseConvolution {
                    weight: Array3::from_shape_vec((5, 3, 1), random(15)).unwrap(),
                    bias: Array1::from_vec(random(5)),
                    geometry: each,
                },
                Activation::Relu,
            ),
            layer("pool", Op::MaxPool(pool), Activation::Identity),
        ];
        vae.mu = fc("mu", 2, 30, random(60), Activation::Identity);
        vae.logvar = Some(fc("logvar", 2, 30, random(60), Activation::Identity));
        vae.decoder = vec![
            fc("hidden", 7, 2, random(14), Activation::Relu),
            fc("image", 18, 7, random(126), Activation::Relu),
            layer(
                "tconv",
                Op::TransposedConvolution {
                    weight: Array4::from_shape_vec((2, 4, 1, 3), random(24)).unwrap(),
                    bias: Array1::from_vec(random(2)),
                    geometry: back,
                },
                Activation::Identity,
            ),
        ];
        vae.validate().unwrap();
        vae
    }

    #[test]
    fn only_channels_of_hidden_layers_may_go() {
        let found = units(&convolutional());
        let of = |layer: usize| found.iter().filter(|unit| unit.layer == layer).count();
        // conv; not each, pool, heads, the reshaped layer, the output.
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(of), [5, 0, 0, 0, 0, 7, 0, 0]);
    }

    #[test]
    fn what_a_dead_unit_did_is_not_missed() {
        let mut vae = convolutional();
        let gone = [
            Unit { layer: 0, channel: 1 },
            Unit { layer: 0, channel: 4 },
            Unit { layer: 5, channel: 2 },
        ];
        // Make them give nothing, also through the depthwise layer behind.
        for unit in gone {
            let layer = vae.layers_mut().nth(unit.layer).unwrap();
            let (weight, bias) = layer.op.parameters_mut().unwrap();
            let row = weight.len() / bias.len();
            weight[unit.channel * row..(unit.channel + 1) * row].fill(0.0);
            bias[unit.channel] = 0.0;
        }
        let (_, bias) = vae.encoder[1].op.parameters_mut().unwrap();
        (bias[1], bias[4]) = (0.0, 0.0);
        let small = remove(&vae, &gone);
        small.validate().unwrap();
        assert_eq!(small.encoder[0].op.output().channels, 3);
        assert!(small.params() < vae.params() && small.macs() < vae.macs());
        let mut rng = stream(22, Stream::Init);
        let x = Array2::from_shape_simple_fn((4, 24), || rng.random_range(-1.0..1.0));
        let (a, b) = (vae.trace(x.view(), None), small.trace(x.view(), None));
        let near =
            |a: &Array2<f32>, b: &Array2<f32>| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&a.mu, &b.mu) && near(a.decoder.last().unwrap(), b.decoder.last().unwrap()));
    }

    #[test]
    fn a_layer_keeps_one_channel() {
        let vae = convolutional();
        let small = remove(&vae, &units(&vae));
        small.validate().unwrap();
        assert_eq!(small.encoder[0].op.output().channels, 1);
    }
}
