//! Squared differences of features and reconstruction.

/// Fraction bits of a reconstruction on the features' grid.
pub const GRID_FRAC_BITS: u32 = 6;

/// Sum of squared differences, in units of `(scale / 64)^2`; exact.
///
/// | argument | shape | format |
/// |---|---|---|
/// | `features` | `[n]` | int8 |
/// | `reconstruction` | `[n]` | int16, the same grid with six fraction bits |
///
/// ```
/// use picovae_core::score::reconstruction_error::sum_of_squares;
/// assert_eq!(sum_of_squares([(1, 64), (-2, -64)].into_iter()), 64 * 64);
/// ```
pub fn sum_of_squares(pairs: impl Iterator<Item = (i8, i16)>) -> u64 {
    pairs.map(|(x, y)| u64::from(difference(x, y))).sum()
}

/// `(64 x - y)^2`: at most 40,960 squared, so it fits u32.
#[inline]
pub(crate) fn difference(x: i8, y: i16) -> u32 {
    let difference = (i32::from(x) << GRID_FRAC_BITS) - i32::from(y);
    difference.unsigned_abs() * difference.unsigned_abs()
}
