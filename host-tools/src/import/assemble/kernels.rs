//! Kernels rewritten: groups and dilation spelled out, an upsampling absorbed.

use crate::graph::{Geometry, Op, Shape};
use crate::import::network::Window;
use ndarray::{Array1, Array4};

/// The weight as `[out][kernel length][kernel width][in]`, groups filled up with zeros and
/// dilated taps apart; of a depthwise convolution `in` is 1.
pub(super) fn spread(
    weight: &Array4<f32>,
    groups: usize,
    transposed: bool,
    depthwise: bool,
    (out, columns): (usize, usize),
    taps: [usize; 2],
    window: &Window,
) -> Array4<f32> {
    let mut full = Array4::zeros((out, taps[0], taps[1], columns));
    let (rows, _, _, depth) = weight.dim();
    for ((o, i, j, c), w) in weight.indexed_iter() {
        let (to_out, to_in) = if depthwise {
            (o, 0)
        } else if transposed {
            // `o` counts within the group of input `c`.
            (c / (depth / groups.max(1)).max(1) * rows + o, c)
        } else {
            (o, o / (rows / groups.max(1)).max(1) * depth + c)
        };
        full[[to_out, i * window.dilation[0], j * window.dilation[1], to_in]] = *w;
    }
    full
}

/// A convolution behind an upsampling by `factors` as one transposed
/// convolution of what is before both: `y[t] = sum_a w[a] x[(t + a - p) div f]`,
/// so tap `i = t - l*f + k-1-p` sums the `a` with `0 <= i-(k-1)+a < f`.
pub(super) fn absorb(
    weight: &Array4<f32>,
    bias: &Array1<f32>,
    behind: &Geometry,
    factors: [usize; 2],
) -> Option<Op> {
    let kernel = behind.kernel;
    if behind.stride != [1; 2] {
        return None;
    }
    let taps = [0, 1].map(|axis| kernel[axis] + factors[axis] - 1);
    let padding = [
        (kernel[0] - 1).checked_sub(behind.padding[0])?,
        (kernel[1] - 1).checked_sub(behind.padding[1])?,
    ];
    let (out, _, _, input) = weight.dim();
    let mut sums = Array4::zeros((out, taps[0], taps[1], input));
    let reach = |axis: usize, tap: usize| {
        let kernel = kernel[axis];
        (0..kernel).filter(move |a| (kernel - 1..kernel - 1 + factors[axis]).contains(&(tap + a)))
    };
    for i in 0..taps[0] {
        for j in 0..taps[1] {
            for a in reach(0, i) {
                for b in reach(1, j) {
                    let from = weight.slice(ndarray::s![.., a, b, ..]);
                    let mut to = sums.slice_mut(ndarray::s![.., i, j, ..]);
                    to += &from;
                }
            }
        }
    }
    let input = Shape {
        length: behind.input.length / factors[0],
        width: behind.input.width / factors[1],
        ..behind.input
    };
    let geometry =
        Geometry { input, output: behind.output, kernel: taps, stride: factors, padding };
    Some(Op::TransposedConvolution { weight: sums, bias: bias.clone(), geometry })
}

/// Whether the last window ends in the padding.
pub(super) fn reaches_beyond(geometry: &Geometry) -> bool {
    let beyond = |output: usize, axis: usize, input: usize| {
        output.saturating_sub(1) * geometry.stride[axis] + geometry.kernel[axis]
            > input + geometry.padding[axis]
    };
    beyond(geometry.output.length, 0, geometry.input.length)
        || beyond(geometry.output.width, 1, geometry.input.width)
}
