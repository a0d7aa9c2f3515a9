//! Layers of the reference, one formula for all that have weights: each output
//! place sees some taps, each tap an input place or padding, which holds the
//! input's zero point. A fully connected layer has one place and one tap.

use super::{Reference, double, single, word};
use picovae_core::fixed::Rounding;
use picovae_core::model::wire::{self, LayerRecord, NO_TABLE, op};

/// What one place of the output sees.
struct Window {
    /// Which of a transposed convolution's matrices; else 0.
    phase: usize,
    /// For each column group of that matrix the input's place, `None` in the padding.
    taps: Vec<Option<usize>>,
}

/// `weights[output][column]` and the numbers of its rows.
struct Matrix {
    weights: Vec<Vec<i128>>,
    bias: Vec<i128>,
    multiplier: Vec<i128>,
    shift: Vec<i128>,
}

impl Reference<'_> {
    /// What a record makes of `x`.
    pub(super) fn output(&self, record: &LayerRecord, x: &[i64]) -> Vec<i64> {
        let [.., channels] = record.in_shape.map(usize::from);
        assert_eq!(x.len(), record.in_shape.iter().map(|&n| usize::from(n)).product::<usize>());
        let windows = windows(record);
        if matches!(record.op, op::MAX_POOL | op::AVERAGE_POOL) {
            let values = windows.iter().flat_map(|window| {
                (0..channels).map(|c| {
                    let seen = window.taps.iter().flatten();
                    pooled(record.op, seen.map(|place| i128::from(x[place * channels + c])))
                })
            });
            return values.map(|value| self.narrowed(record, value)).collect();
        }
        let depthwise = record.op == op::DEPTHWISE_CONVOLUTION;
        let phases: Vec<usize> = tap_counts(record);
        let matrices = self.matrices(record, &phases, if depthwise { 1 } else { channels });
        let zero_point = i128::from(record.input_zero_point);
        let mut out = Vec::new();
        for window in &windows {
            let matrix = &matrices[window.phase];
            for (o, row) in matrix.weights.iter().enumerate() {
                let read = if depthwise { o..o + 1 } else { 0..channels };
                let inputs = window.taps.iter().flat_map(|place| {
                    read.clone().map(move |c| match place {
                        Some(place) => i128::from(x[place * channels + c]),
                        None => zero_point,
                    })
                });
                let products: i128 = row.iter().zip(inputs).map(|(w, x)| w * x).sum();
                let acc = matrix.bias[o] + products;
                assert!(acc.abs() < 1 << 31, "the host promised no overflow");
                let other = record.flags & wire::flags::OTHER_ROUNDING != 0;
                let twice = (self.description.rounding == Rounding::Double) != other;
                let round = if twice { double } else { single };
                let value = round(acc, matrix.multiplier[o], matrix.shift[o]);
                out.push(if record.output == wire::output::INT16 {
                    value.clamp(-32_768, 32_767) as i64
                } else {
                    self.narrowed(record, value + i128::from(record.output_zero_point))
                });
            }
        }
        out
    }

    /// Clamp and table.
    fn narrowed(&self, record: &LayerRecord, value: i128) -> i64 {
        let q = value.clamp(record.clamp_min.into(), record.clamp_max.into());
        if record.table == NO_TABLE {
            return q as i64;
        }
        self.i8s(record.table, 256)[(q + 128) as usize] as i64
    }

    /// One matrix a phase, each at a multiple of 16 bytes.
    fn matrices(&self, record: &LayerRecord, phases: &[usize], channels: usize) -> Vec<Matrix> {
        let outputs = usize::from(record.out_shape[2]);
        let total = outputs * phases.len();
        let bias = self.i32s(record.bias, total);
        let multiplier = self.i32s(record.multiplier, total);
        let shift = self.i8s(record.shift, total);
        let mut at = record.weights.offset as usize;
        let mut first = 0;
        let mut matrices = Vec::new();
        for taps in phases {
            let columns = taps * channels;
            let row_bytes = match record.packing {
                wire::packing::ROW_MAJOR => columns,
                wire::packing::NIBBLES => columns.div_ceil(8) * 4,
                other => panic!("the reference reads row-major blobs, not packing {other}"),
            };
            let weight = |o: usize, column: usize| -> i128 {
                let row = at + o * row_bytes;
                if record.packing == wire::packing::ROW_MAJOR {
                    return i128::from(self.payload[row + column] as i8);
                }
                // Eight columns a word: even ones in its lower half, plus 8.
                let word = word(self.payload, row + column / 8 * 4);
                let place = 16 * (column % 2) + 4 * (column % 8 / 2);
                i128::from(word >> place & 15) - 8
            };
            let rows = (0..outputs).map(|o| (0..columns).map(|c| weight(o, c)).collect());
            matrices.push(Matrix {
                weights: rows.collect(),
                bias: bias[first..first + outputs].to_vec(),
                multiplier: multiplier[first..first + outputs].to_vec(),
                shift: shift[first..first + outputs].to_vec(),
            });
            at = (at + row_bytes * outputs).div_ceil(16) * 16;
            first += outputs;
        }
        matrices
    }
}

/// Greatest value, or mean rounded half away from zero.
fn pooled(op: u8, seen: impl Iterator<Item = i128>) -> i128 {
    let values: Vec<i128> = seen.collect();
    if op == op::MAX_POOL {
        return *values.iter().max().unwrap();
    }
    let (sum, count) = (values.iter().sum::<i128>(), values.len() as i128);
    (2 * sum.abs() + count) / (2 * count) * sum.signum()
}

/// Taps of a phase along an axis, highest first; of another operator all, lowest first.
fn taps_of(record: &LayerRecord, axis: usize, phase: usize) -> Vec<usize> {
    let (kernel, stride) = (usize::from(record.kernel[axis]), usize::from(record.stride[axis]));
    if record.op == op::TRANSPOSED_CONVOLUTION {
        return (0..kernel).filter(|tap| tap % stride == phase).rev().collect();
    }
    (0..kernel).collect()
}

/// Taps of every matrix.
fn tap_counts(record: &LayerRecord) -> Vec<usize> {
    if record.op != op::TRANSPOSED_CONVOLUTION {
        return vec![usize::from(record.kernel[0]) * usize::from(record.kernel[1])];
    }
    let [length, width] = record.stride.map(usize::from);
    let phases = (0..length).flat_map(|l| (0..width).map(move |w| (l, w)));
    phases.map(|(l, w)| taps_of(record, 0, l).len() * taps_of(record, 1, w).len()).collect()
}

/// Every output place in order.
fn windows(record: &LayerRecord) -> Vec<Window> {
    // What tap `tap` of output `at` reads along an axis.
    let input = |axis: usize, at: usize, tap: usize| -> Option<usize> {
        let (stride, padding) = (i64::from(record.stride[axis]), i64::from(record.padding[axis]));
        let (at, tap) = (at as i64, tap as i64);
        let from = if record.op == op::TRANSPOSED_CONVOLUTION {
            // `from * stride + tap - padding = at`; the phase makes this exact.
            (at + padding - tap).div_euclid(stride)
        } else {
            at * stride + tap - padding
        };
        usize::try_from(from).ok().filter(|from| *from < usize::from(record.in_shape[axis]))
    };
    let phase = |axis: usize, at: usize| {
        let (stride, padding) =
            (usize::from(record.stride[axis]), usize::from(record.padding[axis]));
        if record.op == op::TRANSPOSED_CONVOLUTION { (at + padding) % stride } else { 0 }
    };
    let [_, in_width, _] = record.in_shape.map(usize::from);
    let [length, width, _] = record.out_shape.map(usize::from);
    let mut windows = Vec::new();
    for l in 0..length {
        for w in 0..width {
            let phases = [phase(0, l), phase(1, w)];
            let mut taps = Vec::new();
            for i in taps_of(record, 0, phases[0]) {
                for j in taps_of(record, 1, phases[1]) {
                    let place = input(0, l, i).zip(input(1, w, j));
                    taps.push(place.map(|(l, w)| l * in_width + w));
                }
            }
            let phase = phases[0] * usize::from(record.stride[1]) + phases[1];
            windows.push(Window { phase, taps });
        }
    }
    windows
}
