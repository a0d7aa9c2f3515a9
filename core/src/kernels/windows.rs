//! Convolutions and pools as products of a matrix and a window.
//!
//! Channels come last, so a window of a 1-D input is one run of bytes: inside the
//! input the backend reads it in place, at the edges and in 2-D it is gathered
//! first. Called by [`run`](super::run) for every backend; the products in it are
//! the backend's.

use super::{OutputBuffer, path, product};
use crate::arena::align_up;
use crate::fixed::Rounding;
use crate::model::{Geometry, Matrix, Output, Phases};

/// Where a window begins and how many taps it has.
#[derive(Clone, Copy)]
struct Window {
    start: [i32; 2],
    taps: [i32; 2],
}

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
pub(super) fn convolution(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let (length, width) = (geometry.length(), geometry.width());
    let taps = [length.kernel, width.kernel];
    let mut cells = Cells { output, rounding, geometry, input, scratch, out, at: 0 };
    for l in 0..length.output {
        for w in 0..width.output {
            cells.write(matrix, Window { start: [length.start(l), width.start(w)], taps });
        }
    }
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
pub(super) fn transposed_convolution(
    phases: &Phases<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut OutputBuffer<'_>,
) {
    let geometry = &phases.geometry();
    let (length, width) = (geometry.length(), geometry.width());
    let mut cells = Cells { output, rounding, geometry, input, scratch, out, at: 0 };
    for l in 0..length.output {
        let (phase_l, start_l) = length.phase(l);
        for w in 0..width.output {
            let (phase_w, start_w) = width.phase(w);
            let Some(matrix) = phases.matrix(phase_l, phase_w) else {
                return;
            };
            let taps = [length.taps(phase_l), width.taps(phase_w)];
            cells.write(&matrix, Window { start: [start_l, start_w], taps });
        }
    }
}

/// The outputs of one position after the other.
struct Cells<'k, 'b> {
    output: &'k Output<'k>,
    rounding: Rounding,
    geometry: &'k Geometry<'k>,
    input: &'k [i8],
    scratch: &'k mut [u8],
    out: &'k mut OutputBuffer<'b>,
    at: usize,
}

impl Cells<'_, '_> {
    #[inline]
    fn write(&mut self, matrix: &Matrix<'_>, window: Window) {
        let (at, end) = (self.at, self.at + matrix.outputs());
        self.at = end;
        let mut cell = match self.out {
            OutputBuffer::Int8(out) => {
                let Some(out) = out.get_mut(at..end) else { return };
                OutputBuffer::Int8(out)
            }
            OutputBuffer::Int16(out) => {
                let Some(out) = out.get_mut(at..end) else { return };
                OutputBuffer::Int16(out)
            }
        };
        if let Some(run) = in_place(self.geometry, self.input, window)
            && path::is_readable(run)
        {
            product(matrix, self.output, self.rounding, run, self.scratch, &mut cell);
            return;
        }
        let Some((patch, rest)) = self.scratch.split_at_mut_checked(align_up(matrix.inputs()))
        else {
            return;
        };
        let patch: &mut [i8] = bytemuck::cast_slice_mut(patch);
        gather(self.geometry, self.input, window, patch);
        let patch = patch.get(..matrix.inputs()).unwrap_or(&[]);
        product(matrix, self.output, self.rounding, patch, rest, &mut cell);
    }
}

/// The window as one run of the input, if it is one.
#[inline]
fn in_place<'i>(geometry: &Geometry<'_>, input: &'i [i8], window: Window) -> Option<&'i [i8]> {
    if geometry.width().input != 1 || window.taps[1] != 1 || window.start[1] != 0 {
        return None;
    }
    let start = usize::try_from(window.start[0]).ok()?;
    let channels = geometry.in_channels();
    let len = window.taps[0] as usize;
    input.get(start * channels..(start + len) * channels)
}

/// Copies a window into `patch`, the zero point where it leaves the input.
fn gather(geometry: &Geometry<'_>, input: &[i8], window: Window, patch: &mut [i8]) {
    let channels = geometry.in_channels();
    let (length, width) = (geometry.length().input, geometry.width().input);
    let mut cells = patch.chunks_exact_mut(channels.max(1));
    for l in window.start[0]..window.start[0] + window.taps[0] {
        for w in window.start[1]..window.start[1] + window.taps[1] {
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

/// Calls `tap(tap index, input index of channel 0)` for the taps of a window inside the input.
fn taps_inside(geometry: &Geometry<'_>, l: i32, w: i32, mut tap: impl FnMut(usize, usize)) {
    let (length, width) = (geometry.length(), geometry.width());
    let mut index = 0;
    for l in length.start(l)..length.start(l) + length.kernel {
        for w in width.start(w)..width.start(w) + width.kernel {
            if (0..length.input).contains(&l) && (0..width.input).contains(&w) {
                tap(index, (l * width.input + w) as usize * geometry.in_channels());
            }
            index += 1;
        }
    }
}

/// `out[l][w][c] = requantize(bias[c] + sum(weights[c][k] * (in[l*s+k-p][..][c] - zero point)) + ...)`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[length][width][channels]` | int8; taps outside hold the zero point |
/// | `matrix` | `[channels][kernel length][kernel width]` | int8 |
/// | `out` | `[out length][out width][channels]` | int8 or int16 |
///
/// No scratch. Infallible, as [`convolution`]. Source: TFLite `DEPTHWISE_CONV_2D`, multiplier 1.
pub(super) fn depthwise_convolution(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    let zero_point = i32::from(geometry.zero_point());
    let mut index = 0;
    for l in 0..geometry.length().output {
        for w in 0..geometry.width().output {
            for channel in 0..matrix.outputs() {
                let Some(numbers) = matrix.numbers(channel) else { return };
                // As if all taps held the zero point; each tap inside then corrects its part.
                let outside: i32 =
                    (0..matrix.inputs()).map(|k| i32::from(matrix.weight(channel, k))).sum();
                let mut acc = numbers.bias.wrapping_add(outside.wrapping_mul(zero_point));
                taps_inside(geometry, l, w, |k, at| {
                    let value = input.get(at + channel).copied().map_or(0, i32::from) - zero_point;
                    acc = acc.wrapping_add(i32::from(matrix.weight(channel, k)) * value);
                });
                super::write(output, rounding, numbers, acc, index, out);
                index += 1;
            }
        }
    }
}

/// `out[l][w][c] = max(in[window][c])`, clamped; taps outside do not count. Source: TFLite `MAX_POOL_2D`.
pub(super) fn max_pool(
    geometry: &Geometry<'_>,
    output: &Output<'_>,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    pool(geometry, output, input, out, i32::from(i8::MIN), i32::max, |value, _| value);
}

/// `out[l][w][c] = sum(in[window][c]) / taps inside`, half away from zero, clamped. Source: TFLite `AVERAGE_POOL_2D`.
pub(super) fn average_pool(
    geometry: &Geometry<'_>,
    output: &Output<'_>,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    pool(
        geometry,
        output,
        input,
        out,
        0,
        |a, b| a + b,
        |sum, count| {
            let half = if sum < 0 { -(count / 2) } else { count / 2 };
            (sum + half).checked_div(count).unwrap_or(0)
        },
    );
}

fn pool(
    geometry: &Geometry<'_>,
    output: &Output<'_>,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
    start: i32,
    join: fn(i32, i32) -> i32,
    end: fn(i32, i32) -> i32,
) {
    let (OutputBuffer::Int8(out), &Output::Int8 { min, max, table, .. }) = (out, output) else {
        return;
    };
    let channels = geometry.in_channels();
    let mut cells = out.iter_mut();
    for l in 0..geometry.length().output {
        for w in 0..geometry.width().output {
            for channel in 0..channels {
                let (mut value, mut count) = (start, 0);
                taps_inside(geometry, l, w, |_, at| {
                    value = join(value, input.get(at + channel).copied().map_or(0, i32::from));
                    count += 1;
                });
                let q = end(value, count).min(max.into()).max(min.into());
                let Some(out) = cells.next() else { return };
                *out = match table {
                    Some(table) => table.get((q + 128) as usize).copied().unwrap_or(0),
                    None => q as i8,
                };
            }
        }
    }
}
