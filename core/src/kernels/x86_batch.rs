//! Many windows on prepared weights: AVX2, four windows a weight load, no horizontal sum.
//!
//! A prepared matrix is blocks of sixteen rows; a [`Line`] of a block holds four
//! columns of each. Rows lie in the 32-bit lanes of a vector, so that a lane sums
//! its own row. Winograd's inner product halves the multiplications:
//! `(a0 + w2)(a2 + w0) + (a1 + w3)(a3 + w1)`, one `vpmaddwd`, is the four products and
//! `a0*a2 + a1*a3`, summed once a window, and `w0*w2 + w1*w3`, taken off the bias once
//! a model. Both factors are at most 2^8 and sums are formed modulo 2^32, where the
//! gate proves that the true one fits. Behind the columns of a block lie its
//! biases, multipliers and shifts.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_extract_epi32, _mm_load_si128,
    _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_load_si256,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_epi16, _mm256_min_epi16, _mm256_movemask_ps,
    _mm256_packs_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi32, _mm256_store_si256, _mm256_storeu_si256, _mm256_sub_epi32,
};

use super::has_avx2;
use super::requantize::{Scale, requantize_eight};
use crate::fixed::Rounding;
use crate::fixed::requantize::requantize;
use crate::kernels::batch::{Line, Rows};
use crate::model::{Matrix, Output, RowNumbers};

/// Rows of a block.
const ROWS: usize = 16;
/// Columns of a line.
const COLUMNS: usize = 4;
/// Lines behind the columns: biases, multipliers, shifts.
const NUMBERS: usize = 3;
/// Windows that share a weight load.
const WINDOWS: usize = 4;

/// Lines of a prepared matrix; 0 where this machine runs none.
pub(in crate::kernels) fn lines(matrix: &Matrix<'_>) -> usize {
    if has_avx2() { matrix.outputs().div_ceil(ROWS) * block(matrix) } else { 0 }
}

/// Lines of a block.
fn block(matrix: &Matrix<'_>) -> usize {
    matrix.inputs().div_ceil(COLUMNS) + NUMBERS
}

/// The row of a block that lies at `position`: so that packing two vectors of sums puts rows in order.
fn row_at(position: usize) -> usize {
    match position {
        4..8 => position + 4,
        8..12 => position - 4,
        _ => position,
    }
}

/// Writes a matrix of any packing as this file reads it.
pub(in crate::kernels) fn prepare(matrix: &Matrix<'_>, lines: &mut [Line]) {
    let steps = matrix.inputs().div_ceil(COLUMNS);
    for (index, block) in lines.chunks_exact_mut(block(matrix)).enumerate() {
        let row = |position: usize| index * ROWS + row_at(position);
        let (columns, numbers) = block.split_at_mut(steps);
        let [bias, multiplier, shift] = numbers else { return };
        // Rows that are not there: any shift to the right will do.
        let none = RowNumbers { bias: 0, multiplier: 0, shift: -1 };
        for position in 0..ROWS {
            let of_row = matrix.numbers(row(position)).unwrap_or(none);
            let mut products = 0i32;
            for (step, line) in columns.iter_mut().enumerate() {
                let weight = |column| matrix.weight(row(position), step * COLUMNS + column);
                let four = [weight(0), weight(1), weight(2), weight(3)];
                let [w0, w1, w2, w3] = four.map(i32::from);
                products = products.wrapping_add(w0 * w2 + w1 * w3);
                // Each half of the rows: two columns of all of them, then the other two.
                let start = position / 8 * 32 + position % 8 * 2;
                for (byte, weight) in [0, 1, 16, 17].into_iter().zip([2, 3, 0, 1]) {
                    line.0[start + byte] = four[weight] as u8;
                }
            }
            bias.set_word(position, of_row.bias.wrapping_sub(products));
            multiplier.set_word(position, of_row.multiplier);
            shift.set_word(position, of_row.shift.into());
        }
    }
}

/// `a0*a2 + a1*a3` over the groups of four inputs of each window.
#[target_feature(enable = "avx2")]
fn input_products(input: Rows<&[i16]>, steps: usize, products: &mut [i32]) {
    for (vector, product) in input.values.chunks_exact(input.stride).zip(products) {
        let inputs = vector.get(..steps * COLUMNS).unwrap_or(vector);
        let (whole, rest) = inputs.as_chunks::<16>();
        let mut sums = _mm256_setzero_si256();
        for four_groups in whole {
            // SAFETY: sixteen elements are there.
            let groups = unsafe { _mm256_loadu_si256(four_groups.as_ptr().cast()) };
            // Both lanes of a group get its products.
            let swapped = _mm256_shuffle_epi32(groups, 0b10_11_00_01);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(groups, swapped));
        }
        let half = _mm256_extracti128_si256(sums, 1);
        let half = _mm_add_epi32(_mm256_castsi256_si128(sums), half);
        *product = _mm_cvtsi128_si32(half).wrapping_add(_mm_extract_epi32(half, 2));
        for &[a0, a1, a2, a3] in rest.as_chunks::<COLUMNS>().0 {
            let of = |a: i16, b: i16| i32::from(a) * i32::from(b);
            *product = product.wrapping_add(of(a0, a2)).wrapping_add(of(a1, a3));
        }
    }
}

/// What a layer's sums become.
#[derive(Clone, Copy)]
struct End<'e> {
    rounding: Rounding,
    zero_point: i32,
    min: i16,
    max: i16,
    table: Option<&'e [i8; 256]>,
}

/// One matrix by the vectors of many windows; `false` where the buffers do not hold them.
pub(in crate::kernels) fn run(
    matrix: &Matrix<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    lines: &[Line],
    input: Rows<&[i16]>,
    out: Rows<&mut [i16]>,
    products: &mut [i32],
) -> bool {
    let end = match *output {
        Output::Int8 { zero_point, min, max, table } => {
            let (min, max) = (min.into(), max.into());
            End { rounding, zero_point: zero_point.into(), min, max, table }
        }
        // A widened layer comes here as its int8 part.
        Output::Widened { .. } => return false,
        Output::Int16 => End { rounding, zero_point: 0, min: i16::MIN, max: i16::MAX, table: None },
    };
    let steps = matrix.inputs().div_ceil(COLUMNS);
    let blocks = matrix.outputs().div_ceil(ROWS);
    let count = input.values.len() / input.stride.max(1);
    let fits = has_avx2()
        && input.stride >= steps * COLUMNS
        && out.stride >= blocks * ROWS
        && out.values.len() >= count * out.stride
        && products.len() >= count
        && lines.len() >= blocks * (steps + NUMBERS);
    if !fits {
        return false;
    }
    let lines = lines.get(..blocks * (steps + NUMBERS)).unwrap_or(&[]);
    // SAFETY: `has_avx2` said so.
    unsafe { input_products(input, steps, products) };
    // A single window shares its activation loads among two blocks instead.
    let together = if count < WINDOWS { 2 } else { 1 };
    let mut at = 0;
    while at < blocks {
        let side_by_side = if at + together <= blocks { together } else { 1 };
        let start = at * (steps + NUMBERS);
        let Some(block) = lines.get(start..start + side_by_side * (steps + NUMBERS)) else {
            return false;
        };
        let mut window = 0;
        while window < count {
            let windows = if window + WINDOWS <= count { WINDOWS } else { 1 };
            let Some(from) = input.values.get(window * input.stride..) else { return false };
            let Some(to) = out.values.get_mut(window * out.stride + at * ROWS..) else {
                return false;
            };
            let Some(products) = products.get(window..window + windows) else { return false };
            let from = Input { vectors: from.as_ptr(), stride: input.stride, products };
            let to = Rows { values: to, stride: out.stride };
            // SAFETY: AVX2 is there. `from` has `windows` vectors of at least four elements a step; `to` the sixteen
            // elements of each block in as many vectors, because `count` whole strides are there and fit all blocks.
            unsafe {
                match (windows, side_by_side) {
                    (WINDOWS, 1) => some_windows::<WINDOWS, 1>(block, steps, from, to, &end),
                    (WINDOWS, _) => some_windows::<WINDOWS, 2>(block, steps, from, to, &end),
                    (_, 1) => some_windows::<1, 1>(block, steps, from, to, &end),
                    (_, _) => some_windows::<1, 2>(block, steps, from, to, &end),
                }
            }
            window += windows;
        }
        at += side_by_side;
    }
    true
}

/// Vectors of some windows.
#[derive(Clone, Copy)]
struct Input<'i> {
    vectors: *const i16,
    /// Elements from one to the next.
    stride: usize,
    /// Of each, see [`input_products`].
    products: &'i [i32],
}

/// The sixteen outputs of each of `B` blocks, of `W` windows.
///
/// # Safety
/// AVX2; `blocks` has `B` times `steps` and [`NUMBERS`] lines; `input` has `W` windows of `4 * steps` elements; from
/// `w * stride` of `out` on there are `16 * B`, for each `w < W`.
#[target_feature(enable = "avx2")]
unsafe fn some_windows<const W: usize, const B: usize>(
    blocks: &[Line],
    steps: usize,
    input: Input<'_>,
    out: Rows<&mut [i16]>,
    end: &End<'_>,
) {
    // SAFETY: the caller's promise.
    let sums = unsafe { sums::<W, B>(blocks, steps, input) };
    for (block, lines) in blocks.chunks_exact(steps + NUMBERS).take(B).enumerate() {
        let [.., multiplier, shift] = lines else { return };
        let (multipliers, shifts) = (halves(multiplier), halves(shift));
        let Some(out_values) = out.values.get_mut(block * ROWS..) else { return };
        // Shifts to the left are not negative.
        let signs = _mm256_and_si256(shifts[0], shifts[1]);
        if _mm256_movemask_ps(_mm256_castsi256_ps(signs)) != 0xff {
            for (window, sums) in sums.iter().enumerate() {
                let start = window * out.stride;
                if let Some(out) = out_values.get_mut(start..start + ROWS) {
                    one_by_one(sums[block], multiplier, shift, end, out);
                }
            }
            continue;
        }
        let lower_scale = Scale::new(multipliers[0], shifts[0], end.rounding);
        let upper_scale = Scale::new(multipliers[1], shifts[1], end.rounding);
        let zero_point = _mm256_set1_epi32(end.zero_point);
        let (min, max) = (_mm256_set1_epi16(end.min), _mm256_set1_epi16(end.max));
        for (window, sums) in sums.iter().enumerate() {
            let [lower, upper] = sums[block];
            let lower = _mm256_add_epi32(requantize_eight(lower, &lower_scale), zero_point);
            let upper = _mm256_add_epi32(requantize_eight(upper, &upper_scale), zero_point);
            // Saturates to int16; the clamp is never wider.
            let values = _mm256_packs_epi32(lower, upper);
            let values = _mm256_min_epi16(_mm256_max_epi16(values, min), max);
            // SAFETY: the caller's promise: sixteen elements from here on.
            unsafe {
                let start = out_values.as_mut_ptr().add(window * out.stride);
                _mm256_storeu_si256(start.cast(), values);
            }
        }
        if let Some(table) = end.table {
            for window in 0..W {
                for q in out_values.iter_mut().skip(window * out.stride).take(ROWS) {
                    *q = look_up(table, *q);
                }
            }
        }
    }
}

/// Eight and eight words of a line.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(line: &Line) -> [__m256i; 2] {
    let start: *const __m256i = line.0.as_ptr().cast();
    // SAFETY: a line is 64 bytes, aligned to as many.
    unsafe { [_mm256_load_si256(start), _mm256_load_si256(start.add(1))] }
}

/// Biases and products of the rows of `B` blocks over the inputs of `W` windows.
///
/// # Safety
/// AVX2; `blocks` has `B` times `steps` and [`NUMBERS`] lines; `input` has `W` windows of `4 * steps` elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums<const W: usize, const B: usize>(
    blocks: &[Line],
    steps: usize,
    input: Input<'_>,
) -> [[[__m256i; 2]; B]; W] {
    let mut sums = [[[_mm256_setzero_si256(); 2]; B]; W];
    for block in 0..B {
        // SAFETY: the caller's promise: the biases are the line behind the columns.
        let bias = halves(unsafe { &*blocks.as_ptr().add(block * (steps + NUMBERS) + steps) });
        for (sums, &products) in sums.iter_mut().zip(input.products) {
            sums[block] = bias.map(|bias| _mm256_sub_epi32(bias, _mm256_set1_epi32(products)));
        }
    }
    for step in 0..steps {
        let mut weights = [[[_mm256_setzero_si256(); 2]; 2]; B];
        for (block, weights) in weights.iter_mut().enumerate() {
            // SAFETY: the caller's promise: `step < steps`. A line is four vectors of 16 bytes.
            let vectors = unsafe {
                let line: *const Line = blocks.as_ptr().add(block * (steps + NUMBERS) + step);
                let vectors: *const __m128i = line.cast();
                [vectors, vectors.add(1), vectors.add(2), vectors.add(3)]
                    .map(|vector| _mm256_cvtepi8_epi16(_mm_load_si128(vector)))
            };
            *weights = [[vectors[0], vectors[1]], [vectors[2], vectors[3]]];
        }
        for (window, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise: four elements for this step, two a read.
            let (first, second) = unsafe {
                let start = input.vectors.add(window * input.stride + step * COLUMNS);
                let pairs: *const i32 = start.cast();
                (pairs.read_unaligned(), pairs.add(1).read_unaligned())
            };
            let (first, second) = (_mm256_set1_epi32(first), _mm256_set1_epi32(second));
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                for (sum, &[last, before]) in sums.iter_mut().zip(weights) {
                    let factors = (_mm256_add_epi16(first, last), _mm256_add_epi16(second, before));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(factors.0, factors.1));
                }
            }
        }
    }
    sums
}

/// The normative end of sixteen sums, for shifts that the short form does not cover.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
fn one_by_one(sums: [__m256i; 2], multiplier: &Line, shift: &Line, end: &End<'_>, out: &mut [i16]) {
    let mut words = Line::default();
    let start: *mut __m256i = words.0.as_mut_ptr().cast();
    // SAFETY: a line takes two vectors and is aligned.
    unsafe {
        _mm256_store_si256(start, sums[0]);
        _mm256_store_si256(start.add(1), sums[1]);
    }
    for position in 0..ROWS {
        let acc = words.word(position);
        let shift = shift.word(position) as i8;
        let value = requantize(acc, multiplier.word(position), shift, end.rounding);
        let value = value.saturating_add(end.zero_point);
        let q = value.min(end.max.into()).max(end.min.into()) as i16;
        if let Some(out) = out.get_mut(row_at(position)) {
            *out = end.table.map_or(q, |table| look_up(table, q));
        }
    }
}

/// `table[q + 128]`.
fn look_up(table: &[i8; 256], q: i16) -> i16 {
    table.get((q + 128) as usize).copied().unwrap_or(0).into()
}
