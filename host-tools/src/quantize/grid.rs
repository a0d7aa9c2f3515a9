//! int8 grids, and real factors as multiplier and shift.

/// An affine int8 grid: `real = scale * (q - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Real distance of neighbors.
    pub scale: f64,
    /// The integer that stands for 0.
    pub zero_point: i8,
}

impl Grid {
    /// The grid that covers `[min, max]` and 0.
    pub fn covering(min: f64, max: f64) -> Self {
        let (min, max) = (min.min(0.0), max.max(0.0));
        // A dead activation still needs a grid; its values are all 0.
        let range = if max - min > 1e-9 { max - min } else { 1.0 };
        let scale = range / 255.0;
        let zero_point = (-128.0 - min / scale).round().clamp(-128.0, 127.0) as i8;
        Self { scale, zero_point }
    }

    /// The nearest integer to `real`, clamped to int8.
    pub fn quantize(&self, real: f64) -> i8 {
        (real / self.scale + f64::from(self.zero_point)).round().clamp(-128.0, 127.0) as i8
    }

    /// The real value of `q`.
    pub fn dequantize(&self, q: i8) -> f64 {
        self.scale * (f64::from(q) - f64::from(self.zero_point))
    }
}

/// A non-negative real factor as `multiplier * 2^(shift - 31)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplier {
    /// Q0.31 in `[2^30, 2^31)`, or 0.
    pub multiplier: i32,
    /// `-31..=15`, negative is to the right.
    pub shift: i8,
}

impl Multiplier {
    /// The nearest multiplier and shift; `None` where the factor is too large,
    /// negative or not finite. Too small a factor becomes 0.
    pub fn from_factor(factor: f64) -> Option<Self> {
        if !(factor.is_finite() && factor >= 0.0) {
            return None;
        }
        if factor == 0.0 {
            return Some(Self { multiplier: 0, shift: 0 });
        }
        let mut shift = factor.log2().floor() as i32 + 1;
        let mut mantissa = (factor * 2f64.powi(31 - shift)).round() as i64;
        // Rounding may reach 2^31; log2 may be one off next to a power of two.
        while mantissa >= 1 << 31 {
            shift += 1;
            mantissa = (factor * 2f64.powi(31 - shift)).round() as i64;
        }
        while mantissa < 1 << 30 {
            shift -= 1;
            mantissa = (factor * 2f64.powi(31 - shift)).round() as i64;
        }
        if shift < -31 {
            return Some(Self { multiplier: 0, shift: 0 });
        }
        (shift <= 15).then_some(Self { multiplier: mantissa as i32, shift: shift as i8 })
    }
}

/// A positive real factor for [`picovae_core::fixed::wide::Factor`].
pub(crate) fn wide_factor(factor: f64) -> Option<picovae_core::fixed::wide::Factor> {
    if !(factor.is_finite() && factor > 0.0) {
        return None;
    }
    let mut shift = 30 - factor.log2().floor() as i32;
    let mut mantissa = (factor * 2f64.powi(shift)).round() as u64;
    while mantissa >= 1 << 31 {
        shift -= 1;
        mantissa = (factor * 2f64.powi(shift)).round() as u64;
    }
    while mantissa < 1 << 30 {
        shift += 1;
        mantissa = (factor * 2f64.powi(shift)).round() as u64;
    }
    let shift = u8::try_from(shift).ok().filter(|shift| *shift <= 94)?;
    Some(picovae_core::fixed::wide::Factor { multiplier: mantissa as u32, shift })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_holds_zero_exactly_and_covers_its_range() {
        for (min, max) in [(-1.0, 3.0), (0.5, 4.0), (-7.0, -2.0), (0.0, 0.0), (-1e-3, 1e3)] {
            let grid = Grid::covering(min, max);
            assert_eq!(grid.quantize(0.0), grid.zero_point);
            assert!((grid.dequantize(grid.quantize(max)) - max).abs() <= grid.scale, "{grid:?}");
            assert!((grid.dequantize(grid.quantize(min)) - min).abs() <= grid.scale, "{grid:?}");
        }
    }

    #[test]
    fn factors_survive_to_31_bits() {
        for factor in [1.0, 0.5, 0.999_999_999_9, 1.0 / 3.0, 1e-6, 2.0, 1234.5, 1e-9] {
            let m = Multiplier::from_factor(factor).unwrap();
            assert!(m.multiplier >= 1 << 30);
            let back = f64::from(m.multiplier) * 2f64.powi(i32::from(m.shift) - 31);
            assert!((back / factor - 1.0).abs() < 1e-9, "{factor} {m:?}");
            let w = wide_factor(factor).unwrap();
            assert!(w.is_valid());
            let back = f64::from(w.multiplier) / 2f64.powi(w.shift.into());
            assert!((back / factor - 1.0).abs() < 1e-9, "{factor} {w:?}");
        }
        assert_eq!(Multiplier::from_factor(1e-12).unwrap().multiplier, 0);
        assert_eq!(Multiplier::from_factor(1e9), None);
        assert_eq!(Multiplier::from_factor(f64::NAN), None);
    }
}
