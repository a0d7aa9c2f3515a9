//! Scaling of 64-bit sums: the last step of every score.

/// A positive real factor, `multiplier / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Factor {
    /// In `[2^30, 2^31)`.
    pub multiplier: u32,
    /// `0..=94`.
    pub shift: u8,
}

impl Factor {
    /// `sum * multiplier / 2^shift`, rounded half up, saturated to `i64::MAX`.
    ///
    /// ```
    /// use picovae_core::fixed::wide::Factor;
    /// let quarter = Factor { multiplier: 1 << 30, shift: 32 };
    /// assert_eq!(quarter.scale(1_000_002), 250_001); // 250,000.5 up
    /// ```
    pub fn scale(self, sum: u64) -> i64 {
        let shift = u32::from(self.shift).min(94);
        let product = u128::from(sum) * u128::from(self.multiplier);
        let half = (1u128 << shift) >> 1;
        let rounded = (product + half) >> shift;
        rounded.min(i64::MAX as u128) as i64
    }

    /// Whether both fields lie in their ranges.
    pub fn is_valid(self) -> bool {
        (1 << 30..1 << 31).contains(&self.multiplier) && self.shift <= 94
    }
}
