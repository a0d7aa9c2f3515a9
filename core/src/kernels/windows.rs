//! Convolutions as products of a matrix and a window.
//!
//! Channels come last, so a window of a 1-D input is one run of bytes: inside the
//! input the backend reads it in place, at the edges and in 2-D it is gathered
//! first. Called by [`run`](super::run) for every backend; the products in it are
//! the backend's.

use super::{Element, fall_back, path};
use crate::arena::align_up;
use crate::fixed::Rounding;
use crate::model::{Axis, Geometry, Matrix, Output, Phases};

/// `out[l][w][o] = requantize(bias[o] + sum(weights[o][kl][kw][c] * in[l*s+kl-p][w*s+kw-p][c]))`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[length][width][channels]` | int8; taps outside hold the zero point |
/// | `matrix` | `[out_channels][kernel length][kernel width][channels]` | int8 |
/// | `out` | `[out length][out width][out_channels]` | int8 or int16 |
///
/// Scratch: one window as int8, then what a product needs. Infallible: the gate
/// proved shapes and sums. Source: Jacob et al. 2018; TFLite `CONV_2D`.
pub(super) fn convolution<T: Element>(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) {
    let strips = [Strip::new(geometry.length()), Strip::new(geometry.width())];
    positions(geometry, matrix, strips, output, rounding, input, scratch, out);
}

/// `out[t][o] = requantize(bias[o] + sum(weights[o][k][c] * in[i][c]))` over `i * stride + k - padding = t`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[length][width][channels]` | int8; inputs outside hold the zero point |
/// | `phases` | per phase `[out_channels][taps][channels]`, highest tap first | int8 |
/// | `out` | `[out length][out width][out_channels]` | int8 or int16 |
///
/// Polyphase: outputs of a phase are an ordinary convolution with that phase's taps, so
/// no inserted zero is multiplied. Scratch as [`convolution`]. Infallible, as above.
/// Source: TFLite `TRANSPOSE_CONV`; Dumoulin and Visin 2016, section 4.
pub(super) fn transposed_convolution<T: Element>(
    phases: &Phases<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) {
    let geometry = &phases.geometry();
    let (length, width) = (geometry.length(), geometry.width());
    for l in 0..length.stride {
        for w in 0..width.stride {
            let Some(matrix) = phases.matrix(l, w) else { return };
            let strips = [Strip::of_phase(length, l), Strip::of_phase(width, w)];
            positions(geometry, &matrix, strips, output, rounding, input, scratch, out);
        }
    }
}

/// Outputs along one axis that share a matrix, and where their windows begin.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// First output, and the way to the next.
    pub out: i32,
    pub out_step: i32,
    /// Outputs of the whole axis.
    pub outputs: i32,
    /// First input of the first output's window, and the way to the next one's.
    pub start: i32,
    pub start_step: i32,
    pub taps: i32,
}

impl Strip {
    /// All outputs of a convolution.
    pub fn new(axis: Axis) -> Self {
        Self {
            out: 0,
            out_step: 1,
            outputs: axis.output,
            start: -axis.padding,
            start_step: axis.stride,
            taps: axis.kernel,
        }
    }

    /// The outputs of a transposed convolution's phase, `stride` apart; their windows move on by one input.
    pub fn of_phase(axis: Axis, phase: i32) -> Self {
        let out = (phase - axis.padding).rem_euclid(axis.stride.max(1));
        Self {
            out,
            out_step: axis.stride,
            outputs: axis.output,
            start: axis.first_input(out),
            start_step: 1,
            taps: axis.taps(phase),
        }
    }
}

/// The windows of one matrix along a 1-D input; all in elements.
#[cfg_attr(not(any(kernels = "armv6m", kernels = "armv7m")), allow(dead_code))]
#[derive(Clone, Copy)]
pub(super) struct Windows {
    /// First input of the first window; before the input if negative.
    pub start: i32,
    /// From a window to the next one.
    pub step: usize,
    /// From the end of a position's outputs to the next position's.
    pub skip: usize,
    /// How many there are.
    pub count: usize,
    /// What a tap outside of the input holds.
    pub zero_point: i8,
}

/// All products of a matrix with the windows of two strips, length and width.
#[allow(clippy::too_many_arguments)]
fn positions<T: Element>(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    [length, width]: [Strip; 2],
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [T],
) {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    // The caller's area may go on behind the activation: what lies there is no input.
    let input = input.get(..geometry.input_len()).unwrap_or(input);
    let out = out.get_mut(..geometry.output_len()).unwrap_or_default();
    let channels = geometry.in_channels() as i32;
    let Some((patch, scratch)) = scratch.split_at_mut_checked(align_up(inputs)) else {
        return;
    };
    let patch: &mut [i8] = bytemuck::cast_slice_mut(patch);
    let mut prepared = path::prepare(matrix, output, rounding, scratch);
    let is_1d =
        geometry.width().input == 1 && width.taps == 1 && width.start == 0 && width.outputs == 1;
    let stripped = is_1d
        && prepared.as_mut().is_some_and(|prepared| {
            let positions =
                (length.outputs - length.out + length.out_step - 1) / length.out_step.max(1);
            let windows = Windows {
                start: length.start * channels,
                step: (length.start_step * channels) as usize,
                skip: (length.out_step - 1) as usize * outputs,
                count: positions.max(0) as usize,
                zero_point: geometry.zero_point(),
            };
            let out = out.get_mut(length.out as usize * outputs..).unwrap_or_default();
            prepared.strip(&windows, input, out)
        });
    let mut multiply = |window: &[i8], cell: &mut [T]| match &mut prepared {
        Some(prepared) => prepared.run(window, cell),
        None => fall_back(matrix, output, rounding, window, &mut T::buffer(cell)),
    };
    let taps = [length.taps, width.taps];
    if stripped {
    } else if is_1d {
        // 1-D: a window inside the input is one run of it.
        let (at_step, from_step) =
            (length.out_step as usize * outputs, (length.start_step * channels) as usize);
        let mut at = length.out as usize * outputs;
        // A negative start wraps to where `get` finds nothing.
        let mut from = (length.start * channels) as usize;
        let mut start = length.start;
        while let Some(cell) = out.get_mut(at..at + outputs) {
            match input.get(from..from.wrapping_add(inputs)) {
                Some(run) if path::is_readable(run) => multiply(run, cell),
                _ => {
                    gather(geometry, input, [start, 0], taps, patch);
                    multiply(patch.get(..inputs).unwrap_or(&[]), cell);
                }
            }
            (at, from, start) =
                (at + at_step, from.wrapping_add(from_step), start + length.start_step);
        }
    } else {
        let (mut l, mut start_l) = (length.out, length.start);
        while l < length.outputs {
            let (mut w, mut start_w) = (width.out, width.start);
            while w < width.outputs {
                let at = (l * width.outputs + w) as usize * outputs;
                let Some(cell) = out.get_mut(at..at + outputs) else { return };
                gather(geometry, input, [start_l, start_w], taps, patch);
                multiply(patch.get(..inputs).unwrap_or(&[]), cell);
                (w, start_w) = (w + width.out_step, start_w + width.start_step);
            }
            (l, start_l) = (l + length.out_step, start_l + length.start_step);
        }
    }
    // Transposed: the clamp and the table once for each phase's own outputs.
    let Some(prepared) = prepared else { return };
    if length.out_step == 1 && width.out_step == 1 {
        return prepared.finish(out);
    }
    for l in (length.out..length.outputs).step_by(length.out_step.max(1) as usize) {
        for w in (width.out..width.outputs).step_by(width.out_step.max(1) as usize) {
            let at = (l * width.outputs + w) as usize * outputs;
            prepared.finish(out.get_mut(at..at + outputs).unwrap_or_default());
        }
    }
}

/// Copies a window into `patch`, the zero point where it leaves the input.
#[inline(never)]
fn gather(
    geometry: &Geometry<'_>,
    input: &[i8],
    start: [i32; 2],
    taps: [i32; 2],
    patch: &mut [i8],
) {
    let channels = geometry.in_channels();
    let (length, width) = (geometry.length().input, geometry.width().input);
    let mut cells = patch.chunks_exact_mut(channels.max(1));
    for l in start[0]..start[0] + taps[0] {
        for w in start[1]..start[1] + taps[1] {
            let Some(cell) = cells.next() else { return };
            let inside = (0..length).contains(&l) && (0..width).contains(&w);
            let from = (l.max(0) * width + w.max(0)) as usize * channels;
            match input.get(from..from + channels) {
                Some(values) if inside => {
                    for (to, &value) in cell.iter_mut().zip(values) {
                        *to = value;
                    }
                }
                _ => cell.fill(geometry.zero_point()),
            }
        }
    }
}
