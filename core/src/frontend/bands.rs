//! Bins gathered into bands.

/// How the powers of bins become the powers of bands.
#[derive(Clone, Copy, Debug)]
pub enum Bands<'a> {
    /// Band `b` is the sum of the bins `edges[b]..edges[b + 1]`.
    Sums {
        /// Ascending bins, one more than bands.
        edges: &'a [u16],
    },
    /// Triangles that overlap by half: band `b` rises over the bins
    /// `edges[b]..edges[b + 1]` and falls over the next ones, where band `b + 1` rises.
    Triangles {
        /// Ascending bins, two more than bands.
        edges: &'a [u16],
        /// From bin `edges[0]` on, the share of the rising band, Q15, at most 2^15.
        weights: &'a [u16],
    },
}

impl Bands<'_> {
    /// Bands.
    pub fn len(&self) -> usize {
        match self {
            Self::Sums { edges } => edges.len().saturating_sub(1),
            Self::Triangles { edges, .. } => edges.len().saturating_sub(2),
        }
    }

    /// Whether there is no band at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `band(index, power)` for every band in order. No share is counted
    /// twice, so no sum exceeds that of all bins.
    pub(super) fn gather(&self, bin: impl Fn(usize) -> u64, mut band: impl FnMut(usize, u64)) {
        match *self {
            Self::Sums { edges } => {
                for (index, edge) in edges.windows(2).enumerate() {
                    let &[from, to] = edge else { return };
                    band(index, (from..to).fold(0, |sum: u64, k| sum.wrapping_add(bin(k.into()))));
                }
            }
            Self::Triangles { edges, weights } => {
                let mut weights = weights.iter();
                let mut falling = 0u64;
                for (index, edge) in edges.windows(2).enumerate() {
                    let &[from, to] = edge else { return };
                    let (mut ended, mut rising) = (falling, 0u64);
                    for (k, &weight) in (from..to).zip(&mut weights) {
                        let power = bin(k.into());
                        let share = share_q15(power, weight);
                        rising = rising.wrapping_add(share);
                        ended = ended.wrapping_add(power.wrapping_sub(share));
                    }
                    if let Some(index) = index.checked_sub(1) {
                        band(index, ended);
                    }
                    falling = rising;
                }
            }
        }
    }
}

/// `power * weight / 2^15` towards zero, the product exact; `weight <= 2^15`.
fn share_q15(power: u64, weight: u16) -> u64 {
    let (high, low) = (power >> 15, (power & 0x7fff) as u32);
    high.wrapping_mul(weight.into()).wrapping_add(u64::from((low * u32::from(weight)) >> 15))
}
