//! Groups of four rows of 4-bit weights to the bytes a target's kernel reads; part of `pack.rs`.
//!
//! `picovae_core::model::packing` reads them back. `docs/kernels.md` draws the layouts.

use picovae_core::model::packing::GROUP;
use picovae_core::model::{blocks, wire::packing};

use super::{Group, words};

/// One group in the 4-bit form of a packing.
pub(super) fn pack(packing: u8, group: &Group, bytes: &mut Vec<u8>) {
    match blocks::base(packing) {
        packing::PAIR => pair(group, bytes),
        packing::INTERLEAVED => interleaved(group, bytes),
        packing::CHAIN => {
            words(&lane_sums(group), bytes);
            lanes(group, bytes);
            group.scales(bytes);
        }
        _ => {
            lanes(group, bytes);
            words(&lane_sums(group), bytes);
            group.scales(bytes);
        }
    }
}

/// As with 8 bits, four columns in the upper nibbles of their bytes, the next four in the lower ones; sums are 32 times as large.
fn pair(group: &Group, bytes: &mut Vec<u8>) {
    let mut sums = [0i32; GROUP];
    let mut weights = Vec::new();
    for first in (0..group.columns()).step_by(8) {
        for low in [0, 2] {
            let mut upper = [0i8; 4];
            for (at, column) in [0, 2, 1, 3].into_iter().enumerate() {
                let nibbles = |row: usize| {
                    let row = &group.weights[row];
                    (row[first + column], row[first + 4 + column] + 8)
                };
                let (high, below) = nibbles(low);
                weights.push((((high + 8) << 4) | below) as u8);
                let (high, below) = nibbles(low + 1);
                upper[at] = (high << 4) | below;
                weights.push(upper[at] as u8);
            }
            // Neighbours are two places apart.
            for (&a, &b) in upper[..2].iter().zip(&upper[2..]) {
                let product = |a: i8, b: i8| i32::from(a) * i32::from(b);
                let products = product(a, b) + product(a & 15, b & 15);
                sums[low + 1] = sums[low + 1].wrapping_sub(products);
            }
        }
    }
    for low in [0, 2] {
        let upper = 32 * group.bias[low + 1];
        sums[low] = (32 * group.bias[low]).wrapping_add(upper.wrapping_mul(256));
        sums[low + 1] = sums[low + 1].wrapping_add(upper);
    }
    words(&sums, bytes);
    bytes.extend(weights);
    words(&group.multiplier, bytes);
    words(&group.shift.map(|shift| !i32::from(shift)), bytes);
}

/// Words of two columns, `w + 8`, padding 0: rows 0 and 1 of the first in the halves, rows 2 and 3 four bits above them, the second column eight above.
fn lanes(group: &Group, bytes: &mut Vec<u8>) {
    for first in (0..group.columns()).step_by(2) {
        for low in [0, 1] {
            for column in [first, first + 1] {
                let nibble = |row: usize| match group.real[column] {
                    true => (group.weights[row][column] + 8) as u8,
                    false => 0,
                };
                bytes.push(nibble(low) | nibble(low + 2) << 4);
            }
        }
    }
}

/// `bias - 128 * sum(w + 8) + 2^10` for each column, a row.
fn lane_sums(group: &Group) -> [i32; GROUP] {
    let columns = group.real.iter().filter(|&&real| real).count() as i32;
    std::array::from_fn(|k| {
        let real = group.weights[k].iter().zip(&group.real).filter(|&(_, &real)| real);
        let unsigned: i32 = real.map(|(&w, _)| i32::from(w) + 8).sum();
        group.bias[k].wrapping_sub(unsigned * 128).wrapping_add(columns * 1024)
    })
}

/// Sixteen columns of rows 0 and 1 in the nibbles of their bytes, of rows 2 and 3, and so on; the upper rows' sums start at 16 times their bias and that of the row below.
fn interleaved(group: &Group, bytes: &mut Vec<u8>) {
    let [a, b, c, d] = group.bias;
    words(&[a, 16 * b + a, c, 16 * d + c], bytes);
    for first in (0..group.columns()).step_by(16) {
        for low in [0, 2] {
            let columns = first..first + 16;
            bytes.extend(columns.map(|column| {
                (group.weights[low + 1][column] << 4 | (group.weights[low][column] + 8)) as u8
            }));
        }
    }
    words(&group.multiplier, bytes);
    words(&group.shift.map(i32::from), bytes);
}
