//! Depthwise convolutions and pools: every channel by itself.
//!
//! Channels come last, so the taps of a channel lie `channels` apart and those of four channels side by side.
//! Rust for every backend: which taps lie inside the input is found once a position, and four channels share the
//! way there. Called by [`run`](super::run).

#![allow(unsafe_code)]

use super::{OutputBuffer, write};
use crate::fixed::Rounding;
use crate::fixed::requantize::requantize_right;
use crate::model::wire::packing;
use crate::model::{Axis, Geometry, Matrix, Output, RowNumbers};

/// Channels that are summed side by side.
const SIDE_BY_SIDE: usize = 4;

/// The taps of a window inside the input, along one axis.
#[derive(Clone, Copy)]
struct Inside {
    /// The first of them.
    tap: usize,
    /// How many.
    taps: usize,
    /// The input it meets.
    input: usize,
}

impl Inside {
    /// Of output `at`.
    fn new(axis: Axis, at: i32) -> Self {
        let start = axis.start(at);
        let first = (-start).max(0);
        let taps = axis.kernel.min(axis.input - start) - first;
        Self { tap: first as usize, taps: taps.max(0) as usize, input: (start + first) as usize }
    }
}

/// A window: rows of taps inside the input, and how far apart the inputs are that they meet.
#[derive(Clone, Copy)]
struct Window {
    rows: Inside,
    row: Inside,
    /// Taps of a whole row of the kernel.
    kernel_row: usize,
    /// Elements from a row of the input to the next one.
    row_len: usize,
    channels: usize,
}

impl Window {
    /// Element of the input that channel 0 of the first tap meets.
    fn start(&self) -> usize {
        self.rows.input * self.row_len + self.row.input * self.channels
    }

    /// Calls `tap` with the number of each tap inside and the element that channel 0 of it meets.
    #[inline(always)]
    fn each(&self, mut tap: impl FnMut(usize, usize)) {
        let mut start = self.start();
        for row in self.rows.tap..self.rows.tap + self.rows.taps {
            let (first, mut at) = (row * self.kernel_row + self.row.tap, start);
            for index in first..first + self.row.taps {
                tap(index, at);
                at += self.channels;
            }
            start += self.row_len;
        }
    }
}

/// The axes from row to row, and along a row. A 1-D input is a single row of a 2-D one: the same bytes, longer runs.
fn axes(geometry: &Geometry<'_>) -> [Axis; 2] {
    let (length, width) = (geometry.length(), geometry.width());
    let is_1d = width.input == 1 && width.kernel == 1 && width.output == 1 && width.padding == 0;
    if is_1d { [width, length] } else { [length, width] }
}

/// Calls `visit` with the window of every output position, in order.
#[inline(always)]
fn each_window(geometry: &Geometry<'_>, mut visit: impl FnMut(Window)) {
    let channels = geometry.in_channels();
    let [down, along] = axes(geometry);
    for l in 0..down.output {
        let rows = Inside::new(down, l);
        for w in 0..along.output {
            visit(Window {
                rows,
                row: Inside::new(along, w),
                kernel_row: along.kernel as usize,
                row_len: along.input as usize * channels,
                channels,
            });
        }
    }
}

/// `out[l][w][c] = requantize(bias[c] + sum(weights[c][k] * in[l*s+k-p][..][c]))`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[length][width][channels]` | int8; taps outside hold the zero point |
/// | `matrix` | `[channels][kernel length][kernel width]` | int8 |
/// | `out` | `[out length][out width][channels]` | int8 or int16 |
///
/// No scratch. Infallible: the gate proved shapes and sums. Source: TFLite `DEPTHWISE_CONV_2D`, multiplier 1.
pub(super) fn depthwise_convolution(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    let mut done = 0;
    if matrix.packing() == packing::ROW_MAJOR {
        while four_channels(geometry, matrix, output, rounding, input, done, out).is_some() {
            done += SIDE_BY_SIDE;
        }
    }
    one_by_one(geometry, matrix, output, rounding, input, done, out);
}

/// All positions of `channel` and the three behind it, row-major; `None` where there are no four.
#[inline(never)]
fn four_channels(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    channel: usize,
    out: &mut OutputBuffer<'_>,
) -> Option<()> {
    let taps = matrix.inputs();
    let weights = matrix.weights().get(channel * taps..(channel + SIDE_BY_SIDE) * taps)?;
    let mut numbers = [RowNumbers::default(); SIDE_BY_SIDE];
    let mut of_all = [0; SIDE_BY_SIDE];
    add_products(&mut of_all, &ONES, 0, weights, taps, taps);
    for (at, numbers) in numbers.iter_mut().enumerate() {
        *numbers = matrix.numbers_apart(channel + at)?;
    }
    let zero_point = i32::from(geometry.zero_point());
    let mut index = channel;
    each_window(geometry, |window| {
        let (mut sums, mut inside) = ([0; SIDE_BY_SIDE], [0; SIDE_BY_SIDE]);
        let is_whole = window.rows.taps * window.row.taps == taps;
        let mut start = window.start() + channel;
        let mut tap = window.rows.tap * window.kernel_row + window.row.tap;
        for _ in 0..window.rows.taps {
            let values = input.get(start..).unwrap_or(&[]);
            let weights = weights.get(tap..).unwrap_or(&[]);
            add_products(&mut sums, values, window.channels, weights, taps, window.row.taps);
            if !is_whole {
                add_products(&mut inside, &ONES, 0, weights, taps, window.row.taps);
            }
            (start, tap) = (start + window.row_len, tap + window.kernel_row);
        }
        if !is_whole {
            // Taps outside hold the zero point.
            for ((sum, all), inside) in sums.iter_mut().zip(of_all).zip(inside) {
                *sum += (all - inside) * zero_point;
            }
        }
        write_four(output, rounding, &numbers, &sums, index, out);
        index += window.channels;
    });
    Some(())
}

/// Summed with, they give the sums of weights.
const ONES: [i8; SIDE_BY_SIDE] = [1; SIDE_BY_SIDE];

/// `sums[c] += sum_k(weights[c * row + k] * values[k * step + c])` over `taps`; nothing where those are not all there.
// A call of its own: its loop needs all registers.
#[inline(never)]
fn add_products(
    sums: &mut [i32; SIDE_BY_SIDE],
    values: &[i8],
    step: usize,
    weights: &[u8],
    row: usize,
    taps: usize,
) {
    let Some(last) = taps.checked_sub(1) else { return };
    if values.len() < last * step + SIDE_BY_SIDE || weights.len() < 3 * row + taps {
        return;
    }
    let [mut s0, mut s1, mut s2, mut s3] = *sums;
    let (mut value, mut weight) = (values.as_ptr(), weights.as_ptr().cast::<i8>());
    for _ in 0..taps {
        // SAFETY: for every tap `k < taps`, `weights` has an element at `k + 3 * row`, `values` four at `k * step`.
        // The pointers are one tap beyond at most behind the last, and then not read.
        unsafe {
            s0 += i32::from(*weight) * i32::from(*value);
            s1 += i32::from(*weight.add(row)) * i32::from(*value.add(1));
            s2 += i32::from(*weight.add(2 * row)) * i32::from(*value.add(2));
            s3 += i32::from(*weight.add(3 * row)) * i32::from(*value.add(3));
        }
        (value, weight) = (value.wrapping_add(step), weight.wrapping_add(1));
    }
    *sums = [s0, s1, s2, s3];
}

/// Writes output `index` and the three behind it.
#[inline(never)]
fn write_four(
    output: &Output<'_>,
    rounding: Rounding,
    numbers: &[RowNumbers; SIDE_BY_SIDE],
    sums: &[i32; SIDE_BY_SIDE],
    index: usize,
    out: &mut OutputBuffer<'_>,
) {
    let plain = match (&mut *out, *output) {
        (OutputBuffer::Int8(out), Output::Int8 { zero_point, min, max, table: None }) => {
            out.get_mut(index..index + SIDE_BY_SIDE).map(|out| (out, zero_point, min, max))
        }
        _ => None,
    };
    let are_right = numbers.iter().all(|numbers| numbers.shift < 0);
    let (Some((out, zero_point, min, max)), true) = (plain, are_right) else {
        for ((at, &sum), &numbers) in (index..).zip(sums).zip(numbers) {
            write(output, rounding, numbers, numbers.bias.wrapping_add(sum), at, out);
        }
        return;
    };
    let (zero_point, min, max) = (i32::from(zero_point), i32::from(min), i32::from(max));
    for ((out, &sum), numbers) in out.iter_mut().zip(sums).zip(numbers) {
        let acc = numbers.bias.wrapping_add(sum);
        let value = requantize_right(acc, numbers.multiplier, numbers.shift, rounding);
        *out = value.saturating_add(zero_point).min(max).max(min) as i8;
    }
}

/// The channels from `first` on, in any packing.
fn one_by_one(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    first: usize,
    out: &mut OutputBuffer<'_>,
) {
    let mut index = 0;
    each_window(geometry, |window| {
        for channel in first..matrix.outputs() {
            let Some(numbers) = matrix.numbers(channel) else { return };
            let sum = one_channel(geometry, matrix, &window, input, channel);
            let acc = numbers.bias.wrapping_add(sum);
            write(output, rounding, numbers, acc, index + channel, out);
        }
        index += matrix.outputs();
    });
}

/// The sum of one channel over any window and packing.
fn one_channel(
    geometry: &Geometry<'_>,
    matrix: &Matrix<'_>,
    window: &Window,
    input: &[i8],
    channel: usize,
) -> i32 {
    let zero_point = i32::from(geometry.zero_point());
    // As if all taps held the zero point; each tap inside then corrects its part.
    let all: i32 = (0..matrix.inputs()).map(|k| i32::from(matrix.weight(channel, k))).sum();
    let mut sum = all * zero_point;
    window.each(|tap, at| {
        let value = input.get(at + channel).copied().map_or(0, i32::from) - zero_point;
        sum += i32::from(matrix.weight(channel, tap)) * value;
    });
    sum
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

#[inline(always)]
fn pool(
    geometry: &Geometry<'_>,
    output: &Output<'_>,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
    start: i32,
    join: impl Fn(i32, i32) -> i32,
    end: impl Fn(i32, i32) -> i32,
) {
    let (OutputBuffer::Int8(out), &Output::Int8 { min, max, table, .. }) = (out, output) else {
        return;
    };
    let mut cells = out.iter_mut();
    each_window(geometry, |window| {
        let count = (window.rows.taps * window.row.taps) as i32;
        for channel in 0..window.channels {
            let mut value = start;
            window.each(|_, at| {
                value = join(value, input.get(at + channel).copied().map_or(0, i32::from));
            });
            let q = end(value, count).min(max.into()).max(min.into());
            let Some(out) = cells.next() else { return };
            *out = match table {
                Some(table) => table.get((q + 128) as usize).copied().unwrap_or(0),
                None => q as i8,
            };
        }
    });
}
