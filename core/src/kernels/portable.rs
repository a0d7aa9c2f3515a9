//! The readable specification of every kernel; safe Rust, any core, any packing.

use super::{OutputBuffer, write};
use crate::fixed::Rounding;
use crate::model::packing::has_numbers_apart;
use crate::model::wire::packing;
use crate::model::{Matrix, Output};

#[cfg(kernels = "portable")]
pub(super) const NAME: &str = "portable";
#[cfg(kernels = "portable")]
pub(super) const PACKING: u8 = packing::ROW_MAJOR;

/// Everything is left to the functions below.
#[cfg(kernels = "portable")]
pub(super) fn product(
    _: &Matrix<'_>,
    _: &Output<'_>,
    _: Rounding,
    _: &[i8],
    _: &mut [u8],
    _: &mut OutputBuffer<'_>,
) -> bool {
    false
}

/// `out[o] = requantize(bias[o] + sum_i(weights[o][i] * input[i]))`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[inputs]` | int8, zero point folded into the bias |
/// | `weights` | `[outputs][inputs]`, any packing | int8 |
/// | `bias`, `multiplier` | `[outputs]` | int32 |
/// | `shift` | `[outputs]` | int8 |
/// | `out` | `[outputs]` | int8 or int16 |
///
/// Nothing is written where the packing is another target's and `every-packing` is off. `inputs * outputs` MACs, no scratch. Infallible, because `parse` proved that
/// `|bias| + inputs * 2^14` fits i32. Source: Jacob et al. 2018, section 2.
pub fn fully_connected(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    out: &mut OutputBuffer<'_>,
) {
    // Without every packing, rows in groups are the backend's alone, whose buffers the arena aligns; but for a
    // transposed convolution's phase without taps.
    let is_apart = has_numbers_apart(matrix.packing());
    let has_groups =
        cfg!(feature = "every-packing") || cfg!(feature = "convolution") && matrix.inputs() == 0;
    for row in 0..matrix.outputs() {
        let numbers = match is_apart {
            true => matrix.numbers_apart(row),
            false if has_groups => matrix.numbers(row),
            false => None,
        };
        let Some(numbers) = numbers else { return };
        let acc = numbers.bias.wrapping_add(dot(matrix, row, input));
        write(output, rounding, numbers, acc, row, out);
    }
}

/// `sum_i(weights[row][i] * input[i])`.
fn dot(matrix: &Matrix<'_>, row: usize, input: &[i8]) -> i32 {
    let inputs = matrix.inputs();
    let product = |weight: i8, &activation: &i8| i32::from(weight) * i32::from(activation);
    if matrix.packing() == packing::ROW_MAJOR {
        let weights = matrix.weights().get(row * inputs..(row + 1) * inputs).unwrap_or(&[]);
        return weights.iter().zip(input).map(|(&w, a)| product(w as i8, a)).sum();
    }
    if !cfg!(feature = "every-packing") {
        return 0;
    }
    if matrix.packing() == packing::NIBBLES {
        return nibbles(matrix, row, input);
    }
    matrix.dot_by_blocks(row, input)
}

/// The same over 4-bit weights, a word of eight columns at a time.
fn nibbles(matrix: &Matrix<'_>, row: usize, input: &[i8]) -> i32 {
    let bytes = matrix.inputs().div_ceil(8) * 4;
    let words = matrix.weights().get(row * bytes..(row + 1) * bytes).unwrap_or(&[]);
    let input = input.get(..matrix.inputs()).unwrap_or(input);
    let mut sum = 0;
    for (word, eight) in words.chunks_exact(4).zip(input.chunks(8)) {
        let word = word.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
        for (column, &activation) in eight.iter().enumerate() {
            let nibble = word >> (16 * (column % 2) + 4 * (column / 2)) & 15;
            sum += (nibble as i32 - 8) * i32::from(activation);
        }
    }
    sum
}
