//! Convolutions of many windows at a time on prepared weights, for hosts.
//!
//! A position of a convolution is to its matrix what a window is to a fully connected layer's: its taps are gathered
//! into a row, and [`POSITIONS`] rows, of whatever window, run through the matrix together.

use super::backend::batch as products;
use super::batch::{Line, Rows};
use super::windows::Strip;
use crate::fixed::Rounding;
use crate::model::{Geometry, LayerView, Matrix, Operator};

/// Rows that run through a matrix together.
const POSITIONS: usize = 64;

/// Calls `visit` with each matrix of a convolution, and which outputs it makes along length and width.
fn each_matrix(layer: &LayerView<'_>, mut visit: impl FnMut(&Matrix<'_>, [Strip; 2])) {
    match &layer.operator {
        Operator::Convolution(geometry, matrix) => {
            visit(matrix, [Strip::new(geometry.length()), Strip::new(geometry.width())]);
        }
        Operator::TransposedConvolution(phases) => {
            let geometry = phases.geometry();
            let (length, width) = (geometry.length(), geometry.width());
            // The gate walked them all: none is missing.
            let _ = phases.each(|[l, w], matrix| {
                visit(&matrix, [Strip::of_phase(length, l), Strip::of_phase(width, w)]);
            });
        }
        _ => {}
    }
}

/// Lines of a convolution's prepared matrices; 0 for other operators.
pub(super) fn lines(layer: &LayerView<'_>) -> usize {
    let mut lines = 0;
    each_matrix(layer, |matrix, _| lines += products::lines(matrix));
    lines
}

/// Prepares them.
pub(super) fn prepare(layer: &LayerView<'_>, lines: &mut [Line]) {
    let mut rest = lines;
    each_matrix(layer, |matrix, _| {
        let all = core::mem::take(&mut rest);
        let (own, others) = all.split_at_mut_checked(products::lines(matrix)).unwrap_or_default();
        products::prepare(matrix, own);
        rest = others;
    });
}

/// Elements of a gathered row, and of the row it becomes.
fn strides(layer: &LayerView<'_>) -> (usize, usize) {
    let (mut inputs, mut outputs) = (1, 1);
    each_matrix(layer, |matrix, _| {
        inputs = inputs.max(matrix.inputs());
        outputs = outputs.max(matrix.outputs());
    });
    let lanes = Rows::<()>::LANES;
    (inputs.next_multiple_of(lanes), outputs.next_multiple_of(lanes))
}

/// Bytes of work memory of [`run`]; 0 for other operators.
pub(super) fn work_len(layer: &LayerView<'_>) -> usize {
    if lines(layer) == 0 {
        return 0;
    }
    let (inputs, outputs) = strides(layer);
    POSITIONS * (2 * inputs + 2 * outputs + size_of::<i32>())
}

/// Runs a convolution on the vectors of all windows. Where `work` is too short nothing happens.
#[inline(never)]
pub(super) fn run(
    layer: &LayerView<'_>,
    rounding: Rounding,
    prepared: &[Line],
    input: Rows<&[i16]>,
    out: Rows<&mut [i16]>,
    work: &mut [u8],
) {
    let Some(geometry) = layer.operator.geometry() else { return };
    let (inputs, outputs) = strides(layer);
    let Some((gathered, rest)) = work.split_at_mut_checked(POSITIONS * 2 * inputs) else { return };
    let Some((made, rest)) = rest.split_at_mut_checked(POSITIONS * 2 * outputs) else { return };
    let Some(sums) = rest.get_mut(..POSITIONS * size_of::<i32>()) else { return };
    // What lies behind a row's end meets zero weights, but has to be an int8 value.
    gathered.fill(0);
    let mut rows = Gathered {
        rows: bytemuck::cast_slice_mut(gathered),
        made: bytemuck::cast_slice_mut(made),
        sums: bytemuck::cast_slice_mut(sums),
        strides: (inputs, outputs),
        to: [0; POSITIONS],
        count: 0,
    };
    let mut rest = prepared;
    each_matrix(layer, |matrix, strips| {
        let (own, others) = rest.split_at_checked(products::lines(matrix)).unwrap_or_default();
        rest = others;
        let run = |rows: &mut Gathered<'_>, values: &mut [i16]| {
            rows.multiply(matrix, layer, rounding, own, values);
        };
        let windows = input.values.chunks_exact(input.stride.max(1));
        for (window, values) in windows.enumerate() {
            let values = values.get(..geometry.input_len()).unwrap_or(values);
            each_position(strips, |start, at| {
                if rows.count == POSITIONS {
                    run(&mut rows, out.values);
                }
                let taps = strips.map(|strip| strip.taps);
                if let Some(row) = rows.push(window * out.stride + at * matrix.outputs()) {
                    gather(&geometry, values, start, taps, row);
                }
            });
        }
        run(&mut rows, out.values);
    });
}

/// Calls `visit` with the first input, along length and width, of each output of two strips, and that output's number.
fn each_position([length, width]: [Strip; 2], mut visit: impl FnMut([i32; 2], usize)) {
    let (mut l, mut start_l) = (length.out, length.start);
    while l < length.outputs {
        let (mut w, mut start_w) = (width.out, width.start);
        while w < width.outputs {
            visit([start_l, start_w], (l * width.outputs + w) as usize);
            (w, start_w) = (w + width.out_step, start_w + width.start_step);
        }
        (l, start_l) = (l + length.out_step, start_l + length.start_step);
    }
}

/// Windows of positions on their way through a matrix.
struct Gathered<'w> {
    rows: &'w mut [i16],
    made: &'w mut [i16],
    sums: &'w mut [i32],
    /// Elements from one row to the next, gathered and made.
    strides: (usize, usize),
    /// Where the outputs of each go.
    to: [usize; POSITIONS],
    count: usize,
}

impl Gathered<'_> {
    /// The row of one more position, whose outputs go to element `to`.
    fn push(&mut self, to: usize) -> Option<&mut [i16]> {
        *self.to.get_mut(self.count)? = to;
        let start = self.count * self.strides.0;
        self.count += 1;
        self.rows.get_mut(start..start + self.strides.0)
    }

    /// Multiplies what was gathered, and puts the outputs where they belong.
    fn multiply(
        &mut self,
        matrix: &Matrix<'_>,
        layer: &LayerView<'_>,
        rounding: Rounding,
        lines: &[Line],
        out: &mut [i16],
    ) {
        let count = core::mem::take(&mut self.count);
        let from = self.rows.get(..count * self.strides.0).unwrap_or(&[]);
        let from = Rows { values: from, stride: self.strides.0 };
        let to = Rows { values: &mut *self.made, stride: self.strides.1 };
        products::run(matrix, &layer.output, rounding, lines, from, to, self.sums);
        for (row, &to) in self.made.chunks_exact(self.strides.1).zip(self.to.iter().take(count)) {
            let outputs = matrix.outputs();
            if let (Some(row), Some(out)) = (row.get(..outputs), out.get_mut(to..to + outputs)) {
                out.copy_from_slice(row);
            }
        }
    }
}

/// Copies a window into `row`, the zero point where it leaves the input.
fn gather(
    geometry: &Geometry<'_>,
    input: &[i16],
    start: [i32; 2],
    taps: [i32; 2],
    row: &mut [i16],
) {
    let channels = geometry.in_channels();
    let (length, width) = (geometry.length().input, geometry.width().input);
    // The part of a row of taps that lies inside.
    let first = start[1].max(0);
    let last = (start[1] + taps[1]).min(width);
    let lead = (first - start[1]) as usize * channels;
    let run = (last - first).max(0) as usize * channels;
    let zero_point = i16::from(geometry.zero_point());
    let rows = row.chunks_exact_mut((taps[1] as usize * channels).max(1));
    for (l, cells) in (start[0]..start[0] + taps[0]).zip(rows) {
        let from = (l.max(0) * width + first) as usize * channels;
        let values = if (0..length).contains(&l) { input.get(from..from + run) } else { None };
        let place = cells.get_mut(lead..lead + run);
        let (Some(values), Some(place)) = (values, place) else {
            cells.fill(zero_point);
            continue;
        };
        place.copy_from_slice(values);
        if run < cells.len() {
            cells.get_mut(..lead).unwrap_or_default().fill(zero_point);
            cells.get_mut(lead + run..).unwrap_or_default().fill(zero_point);
        }
    }
}
