//! Shapes of nodes, and problems reported once.

use super::*;
use crate::graph::Activation;
use ndarray::{Array1, Array2, Array4, ArrayD, IxDyn};

fn node(kind: Kind) -> Node {
    Node::new("layer", "Op", kind)
}

fn start(layout: Layout, shape: &[usize]) -> (Network, Value) {
    let mut network = Network::new(layout);
    let x = network.add(node(Kind::Input { shape: shape.to_vec() }), &[]);
    (network, x)
}

fn convolution(out: usize, kernel: [usize; 2], input: usize, window: Window) -> Kind {
    let weight = Array4::zeros((out, kernel[0], kernel[1], input));
    Kind::Convolution { weight, bias: None, window, groups: 1 }
}

#[test]
fn windowed_shapes_follow_the_layout() {
    let stride = |padding| Window { stride: [2, 2], padding, ..Window::default() };
    let (mut first, x) = start(Layout::ChannelsFirst, &[1, 28, 28]);
    let y =
        first.add(node(convolution(8, [3, 3], 1, stride(Padding::Explicit([(1, 1); 2])))), &[x]);
    assert_eq!(first.shape(y), Some(&[8, 14, 14][..]));
    let (mut last, x) = start(Layout::ChannelsLast, &[28, 28, 1]);
    let y = last.add(node(convolution(8, [3, 3], 1, stride(Padding::Same))), &[x]);
    assert_eq!(last.shape(y), Some(&[14, 14, 8][..]));
    let weight = Array4::zeros((4, 3, 3, 8));
    let back = Kind::TransposedConvolution {
        weight,
        bias: None,
        window: stride(Padding::Same),
        output_padding: [0; 2],
        groups: 1,
    };
    let z = last.add(node(back), &[y]);
    assert_eq!(last.shape(z), Some(&[28, 28, 4][..]));
    // Six places, windows of three every two: the last one is rounded away, or not.
    for (ceil, length) in [(false, 2), (true, 3)] {
        let (mut network, x) = start(Layout::ChannelsFirst, &[2, 6]);
        let window = Window { stride: [2, 1], ..Window::default() };
        let pool = Kind::Pool { pool: Pool::Max, kernel: [3, 1], window, ceil };
        let y = network.add(node(pool), &[x]);
        assert_eq!(network.shape(y), Some(&[2, length][..]));
    }
}

#[test]
fn constants_may_have_a_batch_of_one() {
    let (mut network, x) = start(Layout::ChannelsFirst, &[3, 4]);
    let shift = ArrayD::zeros(IxDyn(&[1, 3, 1]));
    let shift = network.add(node(Kind::Constant(shift)), &[]);
    let y = network.add(node(Kind::Add), &[x, shift]);
    assert_eq!(network.shape(y), Some(&[3, 4][..]));
}

#[test]
fn each_problem_is_reported_once() {
    let (mut network, x) = start(Layout::ChannelsFirst, &[5]);
    let weight = Array2::zeros((3, 4));
    let short = Kind::FullyConnected { weight, bias: Some(Array1::zeros(3)) };
    let y = network.add(node(short), &[x]);
    let y = network.add(node(Kind::Activation(Activation::Relu)), &[y]);
    let y = network.add(node(Kind::unsupported("attention is not read", "use a Linear")), &[y]);
    network.add(node(Kind::Exp), &[y]);
    let reasons: Vec<_> = network.problems().iter().map(|p| p.reason.as_str()).collect();
    assert_eq!(reasons, ["reads 4 values, but is given [5]", "attention is not read"]);
}

#[test]
fn absurd_sizes_are_refused() {
    let (mut network, x) = start(Layout::ChannelsFirst, &[1, 2]);
    let y = network.add(node(Kind::Upsample { factors: vec![1, usize::MAX] }), &[x]);
    assert_eq!(network.shape(y), None);
    let y = network.add(node(Kind::Pad { padding: vec![(0, 0), (isize::MAX, isize::MAX)] }), &[x]);
    assert_eq!(network.shape(y), None);
    let window = Window { stride: [usize::MAX, 1], ..Window::default() };
    let y = network.add(node(convolution(1, [2, 1], 1, window)), &[x]);
    assert_eq!(network.shape(y), None);
    assert_eq!(network.problems().len(), 3);
}
