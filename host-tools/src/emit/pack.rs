//! Weight packing: row-major weights and row numbers to the bytes a target's kernel reads.
//!
//! Pure functions; the blob writer calls [`pack`], `picovae_core::model::packing`
//! is the inverse. A layer whose sums are not provably within a packing's range
//! stays row-major, which every target reads. `docs/kernels.md` draws the layouts.

// The path holds for those, too, who include this file by a path.
#[path = "four_bit.rs"]
mod four_bit;

use picovae_core::arena::align_up;
use picovae_core::model::blocks::{self, BLOCK};
use picovae_core::model::packing::{GROUP, group_len, padded_inputs};
use picovae_core::model::wire::{flags, packing};

/// One matrix before packing; `weights[outputs][inputs]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Columns.
    pub inputs: usize,
    /// Row-major weights.
    pub weights: &'a [i8],
    /// Bias a row, the input's zero point folded in.
    pub bias: &'a [i32],
    /// Q0.31 multiplier a row.
    pub multiplier: &'a [i32],
    /// Shift a row, negative to the right.
    pub shift: &'a [i8],
}

/// A packed matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// `LayerRecord::packing`.
    pub packing: u8,
    /// `LayerRecord::flags`.
    pub flags: u8,
    /// The weight section. In packings without [`has_numbers_apart`](picovae_core::model::packing::has_numbers_apart) the row numbers lie in
    /// it, and the record's `bias`, `multiplier` and `shift` are not read.
    pub bytes: Vec<u8>,
}

/// The packing a target (a Cortex name or a Rust triple) is fast with.
pub fn for_target(target: &str) -> u8 {
    let target = target.to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| target.contains(name));
    if is(&["m55", "m85", "m52"]) {
        packing::INTERLEAVED
    } else if is(&["m4", "m7", "m33", "thumbv7em", "thumbv8m.main"]) {
        packing::PAIR
    } else if is(&["m3", "thumbv7m"]) {
        packing::CHAIN
    } else if is(&["m0", "m1", "m23", "thumbv6m", "thumbv8m.base"]) {
        packing::REVERSED
    } else {
        packing::ROW_MAJOR
    }
}

/// The packing of 4-bit weights for a target whose packing of 8-bit ones is `packing`.
pub fn four_bit(packing: u8) -> u8 {
    match packing {
        packing::ROW_MAJOR | packing::NIBBLES => packing::NIBBLES,
        groups => groups | packing::FOUR_BIT,
    }
}

/// Packs the matrices of one layer, all alike: one, or those of a transposed convolution's phases, which then lie at
/// multiples of 16 bytes.
///
/// In a packing of groups, blocks of four rows by sixteen columns that are all zero are left out where that makes
/// the layer smaller and faster ([`SPARSE`](packing::SPARSE)); ask for `SPARSE` itself to have it in any case. Row-major
/// where a doubled sum could leave 32 bits or a weight its 4 bits.
pub fn pack_layer(wanted: u8, matrices: &[Rows<'_>]) -> Packed {
    let shifts = || matrices.iter().flat_map(|rows| rows.shift);
    let short = shifts().all(|shift| (-31..=-1).contains(shift));
    let provable = matrices.iter().all(Rows::is_provable);
    let fits = matrices.iter().all(Rows::is_nibbles);
    let fits_groups = matrices.iter().all(Rows::is_provable_in_four_bits);
    let four_bit = wanted == packing::NIBBLES || blocks::is_four_bit(wanted);
    let packing = match blocks::dense(wanted) {
        packing::ROW_MAJOR => packing::ROW_MAJOR,
        _ if !provable || four_bit && !fits => packing::ROW_MAJOR,
        _ if four_bit && !fits_groups => packing::NIBBLES,
        packing::NIBBLES => packing::NIBBLES,
        dense if blocks::is_sparse(wanted) || is_worth_it(matrices) => dense | packing::SPARSE,
        dense => dense,
    };
    let mut bytes = Vec::new();
    for rows in matrices {
        bytes.resize(align_up(bytes.len()), 0);
        match packing {
            packing::NIBBLES => nibbles(rows, &mut bytes),
            packing if group_len(packing, 0).is_some() => dense_groups(packing, rows, &mut bytes),
            packing if blocks::is_sparse(packing) => sparse_groups(packing, rows, &mut bytes),
            _ => bytes.extend(rows.weights.iter().map(|&weight| weight as u8)),
        }
    }
    Packed { packing, flags: if short { flags::RIGHT_SHIFTS } else { 0 }, bytes }
}

/// [`pack_layer`] of a layer of one matrix.
pub fn pack(wanted: u8, rows: &Rows<'_>) -> Packed {
    pack_layer(wanted, std::slice::from_ref(rows))
}

/// Whether it pays to leave out all but `present` of `all` blocks: the others cost a tenth more in flash, a fifth in time.
pub fn pays(present: usize, all: usize) -> bool {
    5 * present <= 4 * all
}

fn is_worth_it(matrices: &[Rows<'_>]) -> bool {
    let (mut all, mut present) = (0, 0);
    for rows in matrices {
        let places = rows.inputs.div_ceil(BLOCK);
        for first in (0..rows.bias.len()).step_by(GROUP) {
            all += places;
            present += rows.present(first).len();
        }
    }
    pays(present, all)
}

impl Rows<'_> {
    /// Whether twice any sum fits 32 bits.
    fn is_provable(&self) -> bool {
        let products = self.inputs as u64 * (1 << 14);
        self.bias.iter().all(|bias| products + u64::from(bias.unsigned_abs()) < 1 << 30)
    }

    /// Whether any sum, times 32, fits 32 bits.
    fn is_provable_in_four_bits(&self) -> bool {
        let products = self.inputs as u64 * (1 << 10);
        self.bias.iter().all(|bias| products + u64::from(bias.unsigned_abs()) < 1 << 26)
    }

    /// Whether every weight has 4 bits.
    fn is_nibbles(&self) -> bool {
        self.weights.iter().all(|weight| (-8..=7).contains(weight))
    }

    /// The blocks of the four rows from `first` that are not all zero.
    fn present(&self, first: usize) -> Vec<usize> {
        let rows = self.weights.chunks_exact(self.inputs.max(1)).skip(first).take(GROUP);
        let rows: Vec<&[i8]> = rows.collect();
        let is_zero = |block: usize| {
            rows.iter().all(|row| row.iter().skip(block * BLOCK).take(BLOCK).all(|&w| w == 0))
        };
        (0..self.inputs.div_ceil(BLOCK)).filter(|&block| !is_zero(block)).collect()
    }
}

fn dense_groups(packing: u8, rows: &Rows<'_>, bytes: &mut Vec<u8>) {
    let columns: Vec<usize> = (0..padded_inputs(packing, rows.inputs)).collect();
    for first in (0..rows.bias.len()).step_by(GROUP) {
        Group::new(rows, first, columns.clone()).pack(packing, bytes);
    }
}

/// The number of blocks of each group, then the groups: as dense ones of those blocks, but a word before each block
/// says where its activations lie.
fn sparse_groups(packing: u8, rows: &Rows<'_>, bytes: &mut Vec<u8>) {
    let dense = blocks::dense(packing);
    let firsts = (0..rows.bias.len()).step_by(GROUP);
    let groups: Vec<(usize, Vec<usize>)> =
        firsts.map(|first| (first, rows.present(first))).collect();
    let start = bytes.len();
    bytes.extend(groups.iter().flat_map(|(_, present)| (present.len() as u16).to_le_bytes()));
    bytes.resize(start + blocks::table_len(rows.bias.len()), 0);
    for (first, present) in groups {
        let columns = present.iter().flat_map(|block| block * BLOCK..(block + 1) * BLOCK).collect();
        let mut packed = Vec::new();
        Group::new(rows, first, columns).pack(dense, &mut packed);
        let base = blocks::base(packing);
        let len = blocks::weights_len(packing, BLOCK);
        let (sums, rest) = packed.split_at(if base == packing::REVERSED { 0 } else { 16 });
        let (weights, numbers) = rest.split_at(present.len() * len);
        bytes.extend(sums);
        if base == packing::INTERLEAVED {
            words(&[present.len() as i32], bytes);
        }
        for (index, (block, weights)) in present.iter().zip(weights.chunks(len)).enumerate() {
            if dense == packing::REVERSED && index > 0 && index.is_multiple_of(blocks::FLUSHED) {
                words(&[blocks::FLUSH], bytes);
            }
            words(&[(block * blocks::stride(packing)) as i32], bytes);
            bytes.extend(weights);
        }
        if base != packing::INTERLEAVED {
            words(&[blocks::END], bytes);
        }
        bytes.extend(numbers);
    }
}

/// Four rows, with zeros behind the last row and column.
struct Group {
    weights: [Vec<i8>; GROUP],
    /// Whether a column is one of the matrix.
    real: Vec<bool>,
    bias: [i32; GROUP],
    multiplier: [i32; GROUP],
    shift: [i8; GROUP],
}

impl Group {
    fn new(rows: &Rows<'_>, first: usize, columns: Vec<usize>) -> Self {
        let row = |k: usize| {
            let start = (first + k) * rows.inputs;
            let row = rows.weights.get(start..start + rows.inputs).unwrap_or(&[]);
            columns.iter().map(|&column| row.get(column).copied().unwrap_or(0)).collect()
        };
        let number = |values: &[i32], k: usize| values.get(first + k).copied().unwrap_or(0);
        Self {
            weights: std::array::from_fn(row),
            real: columns.iter().map(|&column| column < rows.inputs).collect(),
            bias: std::array::from_fn(|k| number(rows.bias, k)),
            multiplier: std::array::from_fn(|k| number(rows.multiplier, k)),
            shift: std::array::from_fn(|k| rows.shift.get(first + k).copied().unwrap_or(-1)),
        }
    }

    fn pack(&self, packing: u8, bytes: &mut Vec<u8>) {
        match packing {
            _ if blocks::is_four_bit(packing) => four_bit::pack(packing, self, bytes),
            packing::PAIR => pair(self, bytes),
            packing::CHAIN => chain(self, bytes),
            packing::REVERSED => reversed(self, bytes),
            _ => interleaved(self, bytes),
        }
    }

    fn columns(&self) -> usize {
        self.weights[0].len()
    }

    /// Multipliers, then `-shift - 1` as one byte a row.
    fn scales(&self, bytes: &mut Vec<u8>) {
        words(&self.multiplier, bytes);
        bytes.extend(self.shift.iter().map(|&shift| !shift as u8));
    }
}

fn words(values: &[i32], bytes: &mut Vec<u8>) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

/// `256 * w1 + (w0 + 128)` in each half; sums start at `2*b0 + 512*b1` and `2*b1 - sum(w1 * w1')`.
fn pair(group: &Group, bytes: &mut Vec<u8>) {
    let mut sums = [0i32; GROUP];
    for low in [0, 2] {
        let (b0, b1) = (2 * group.bias[low], 2 * group.bias[low + 1]);
        let products: i32 = group.weights[low + 1]
            .chunks_exact(2)
            .map(|pair| i32::from(pair[0]) * i32::from(pair[1]))
            .sum();
        sums[low] = b0.wrapping_add(b1.wrapping_mul(256));
        sums[low + 1] = b1.wrapping_sub(products);
    }
    words(&sums, bytes);
    for first in (0..group.columns()).step_by(4) {
        for low in [0, 2] {
            for column in [first, first + 1] {
                for column in [column, column + 2] {
                    bytes.push(group.weights[low][column] as u8 ^ 0x80);
                    bytes.push(group.weights[low + 1][column] as u8);
                }
            }
        }
    }
    words(&group.multiplier, bytes);
    words(&group.shift.map(|shift| !i32::from(shift)), bytes);
}

/// A word a column, rows 0 to 2 unsigned; row k's sum starts at
/// `B[k] - sum(products of the words >> 8k)`, `B[k] = 2*b[k] + 256*B[k+1]`.
fn chain(group: &Group, bytes: &mut Vec<u8>) {
    let column = |c: usize| {
        i32::from_le_bytes(std::array::from_fn(|k| {
            group.weights[k][c] as u8 ^ if k == 3 { 0 } else { 0x80 }
        }))
    };
    let columns: Vec<i32> = (0..group.columns()).map(column).collect();
    let mut sums = [0i32; GROUP];
    let mut above = 0i32;
    for k in (0..GROUP).rev() {
        above = above.wrapping_mul(256).wrapping_add(2 * group.bias[k]);
        sums[k] = columns.chunks_exact(2).fold(above, |sum, pair| {
            sum.wrapping_sub((pair[0] >> (8 * k)).wrapping_mul(pair[1] >> (8 * k)))
        });
    }
    words(&sums, bytes);
    words(&columns, bytes);
    group.scales(bytes);
}

/// A word a column, all unsigned, padding 0; then `bias - 128 * sum(w + 128) + 2^14` for each column, a row.
fn reversed(group: &Group, bytes: &mut Vec<u8>) {
    for (column, &real) in group.real.iter().enumerate() {
        bytes.extend(
            group.weights.iter().map(|row| if real { row[column] as u8 ^ 0x80 } else { 0 }),
        );
    }
    let columns = group.real.iter().filter(|&&real| real).count() as i32;
    let sums: [i32; GROUP] = std::array::from_fn(|k| {
        let real = group.weights[k].iter().zip(&group.real).filter(|&(_, &real)| real);
        let unsigned: i32 = real.map(|(&w, _)| i32::from(w) + 128).sum();
        group.bias[k]
            .wrapping_sub(unsigned.wrapping_mul(128))
            .wrapping_add(columns.wrapping_mul(1 << 14))
    });
    words(&sums, bytes);
    group.scales(bytes);
}

/// Biases, then sixteen columns of each row in turn, then multipliers and shifts as words.
fn interleaved(group: &Group, bytes: &mut Vec<u8>) {
    words(&group.bias, bytes);
    for first in (0..group.columns()).step_by(16) {
        for row in &group.weights {
            bytes.extend(row[first..first + 16].iter().map(|&w| w as u8));
        }
    }
    words(&group.multiplier, bytes);
    words(&group.shift.map(i32::from), bytes);
}

/// Rows of `w + 8`, a word for eight columns: even columns in its lower half, from the lowest nibble on.
fn nibbles(rows: &Rows<'_>, bytes: &mut Vec<u8>) {
    for row in rows.weights.chunks_exact(rows.inputs.max(1)) {
        for eight in row.chunks(8) {
            let word = eight.iter().enumerate().fold(0u32, |word, (column, &weight)| {
                word | ((weight + 8) as u32) << (16 * (column % 2) + 4 * (column / 2))
            });
            bytes.extend(word.to_le_bytes());
        }
    }
}

/// The matrices of a transposed convolution, one a phase of the strides (width innermost), each
/// `[out][taps of the phase, highest first][channels]`, from `weights[out][kernel length][kernel width][channels]`.
///
/// The record's section holds them packed one after the other, each at a multiple of 16 bytes, and as
/// many row numbers as phases times outputs. The bias of a phase folds in the zero point times
/// the sum of that phase's weights only: taps of other phases meet inserted zeros.
///
/// Of positions instead of weights it tells where each phase's weights lie.
pub fn transposed_phases<T: Copy>(
    weights: &[T],
    kernel: [usize; 2],
    channels: usize,
    stride: [usize; 2],
) -> Vec<Vec<T>> {
    let row = kernel[0] * kernel[1] * channels;
    let phases = (0..stride[0]).flat_map(|l| (0..stride[1]).map(move |w| [l, w]));
    let taps = |axis: usize, phase: usize| (phase..kernel[axis]).step_by(stride[axis]).rev();
    phases
        .map(|[l, w]| {
            let mut phase = Vec::new();
            for row in weights.chunks_exact(row.max(1)) {
                for (a, b) in taps(0, l).flat_map(|a| taps(1, w).map(move |b| (a, b))) {
                    let start = (a * kernel[1] + b) * channels;
                    phase.extend_from_slice(&row[start..start + channels]);
                }
            }
            phase
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_hold_every_second_tap_highest_first() {
        // One output, five taps, two channels.
        let weights = [10, 11, 20, 21, 30, 31, 40, 41, 50, 51];
        let phases = transposed_phases(&weights, [5, 1], 2, [2, 1]);
        assert_eq!(phases, [vec![50, 51, 30, 31, 10, 11], vec![40, 41, 20, 21]]);
    }

    #[test]
    fn a_layer_whose_doubled_sums_could_overflow_stays_row_major() {
        let rows = Rows {
            inputs: 1,
            weights: &[1],
            bias: &[1 << 30],
            multiplier: &[1 << 30],
            shift: &[-1],
        };
        assert_eq!(pack(packing::PAIR, &rows).packing, packing::ROW_MAJOR);
        let rows = Rows { bias: &[5], ..rows };
        let packed = pack(packing::PAIR, &rows);
        assert_eq!((packed.packing, packed.bytes.len()), (packing::PAIR, 4 * 4 + 48));
    }
}
