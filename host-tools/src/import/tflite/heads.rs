//! The two heads of an int8 model: its int8 values, looked up in tables of what they stand for.

use picovae_core::fixed::requantize::requantize_single;

use super::tables::FileGrid;
use crate::quantize::{Grid, IntLatent, IntLayer, IntOutput, Multiplier};

/// The output of a layer, looked up: `(real value + shift) / unit` for each int8 value.
pub(super) fn widened(layer: &IntLayer, grid: FileGrid, unit: f64, shift: f64) -> IntOutput {
    let IntOutput::Int8 { zero_point, min, max, ref table, .. } = layer.output else {
        unreachable!("layers are int8 until the heads are widened")
    };
    let entry = |index: usize| {
        let q = table.as_ref().map_or(index as i32 - 128, |table| table[index].into());
        let real = f64::from(grid.scale) * f64::from(q - grid.zero_point);
        // `as` saturates.
        ((real + shift) / unit).round() as i16
    };
    let table = Box::new(std::array::from_fn(entry));
    IntOutput::Widened { scale: unit, zero_point, min, max, table }
}

/// The latent's head: `mu` in real units with as many fraction bits as fit, such that the
/// decoder reads exactly the int8 values again.
pub(super) fn widen_latent(layer: &IntLayer, grid: FileGrid) -> (IntOutput, IntLatent) {
    let len = layer.op.output_len();
    let zero_point = grid.zero_point as i8;
    let with = |bits: u8, multiplier: Multiplier, unit: f64| {
        let grid_of_z = Grid { scale: grid.scale.into(), zero_point };
        let latent = IntLatent {
            len,
            has_logvar: false,
            mu_frac_bits: bits,
            logvar_frac_bits: 12,
            grid: grid_of_z,
            multiplier,
        };
        (widened(layer, grid, unit, 0.0), latent)
    };
    let exact = (0..=15u8).rev().find_map(|bits| {
        let unit = 2f64.powi(-i32::from(bits));
        let multiplier = Multiplier::from_factor(unit / f64::from(grid.scale))?;
        let survives = |q: i32| {
            let mu = (f64::from(grid.scale) * f64::from(q - grid.zero_point) / unit).round();
            let z = requantize_single(mu as i32, multiplier.multiplier, multiplier.shift);
            mu.abs() <= 32_767.0 && z + grid.zero_point == q
        };
        (multiplier.shift <= 0 && (-128..=127).all(survives)).then(|| with(bits, multiplier, unit))
    });
    // Beyond all units: mu counts the grid's steps.
    exact.unwrap_or_else(|| {
        with(0, Multiplier { multiplier: i32::MAX, shift: 0 }, grid.scale.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::IntOp;

    #[test]
    fn the_decoder_reads_every_latent_value_as_it_was_written() {
        let mut real_units = 0;
        for step in 0..400 {
            // Seven decades and more on either side of usual scales.
            let scale = 10f32.powf(-9.0 + 0.03 * step as f32 + 0.001);
            for zero_point in [-128, -127, -3, 0, 77, 127] {
                let grid = FileGrid { scale, zero_point };
                let layer = IntLayer {
                    name: "latent".into(),
                    op: IntOp::FullyConnected { inputs: 1, outputs: 1 },
                    bits: 8,
                    matrices: Vec::new(),
                    input_zero_point: 0,
                    rounding: picovae_core::fixed::Rounding::Double,
                    output: IntOutput::Int8 {
                        grid: Grid { scale: scale.into(), zero_point: zero_point as i8 },
                        zero_point: zero_point as i8,
                        min: -128,
                        max: 127,
                        table: None,
                    },
                };
                let (output, latent) = widen_latent(&layer, grid);
                let IntOutput::Widened { table, .. } = output else { panic!("{output:?}") };
                let Multiplier { multiplier, shift } = latent.multiplier;
                for (q, &mu) in (-128..=127).zip(table.iter()) {
                    let z = requantize_single(mu.into(), multiplier, shift);
                    assert_eq!(z + i32::from(latent.grid.zero_point), q, "{grid:?} {latent:?}");
                    if latent.multiplier.multiplier != i32::MAX {
                        let real = f64::from(mu) / 2f64.powi(latent.mu_frac_bits.into());
                        let expected = f64::from(scale) * f64::from(q - zero_point);
                        assert!((real - expected).abs() <= 0.5 * f64::from(scale), "{grid:?}");
                        real_units += 1;
                    }
                }
            }
        }
        assert!(real_units > 256 * 600, "{real_units}");
    }
}
