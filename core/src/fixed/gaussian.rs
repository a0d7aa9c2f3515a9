//! A seeded integer generator of standard normal numbers, the same on every target.
//!
//! xoshiro128++ (Blackman and Vigna 2021) gives 32 bits; one bit is the sign,
//! the leading zeros of the rest choose an octave of the tail probability, and
//! a table of eight segments an octave is interpolated. 32-bit operations only.

use super::tables::GAUSSIAN;

/// Fraction bits of [`Gaussian::sample_q13`].
pub const SAMPLE_FRAC_BITS: u32 = 13;

/// A stream of standard normal numbers in Q13, within 4.9 sigma.
///
/// ```
/// use picovae_core::fixed::gaussian::Gaussian;
/// let (mut a, mut b) = (Gaussian::new(7), Gaussian::new(7));
/// assert_eq!(a.sample_q13(), b.sample_q13());
/// ```
#[derive(Clone, Debug)]
pub struct Gaussian {
    state: [u32; 4],
}

impl Gaussian {
    /// A generator seeded by `seed`; equal seeds give equal streams.
    pub fn new(seed: u32) -> Self {
        let mut word = seed;
        let mut next = || {
            // splitmix32: never leaves all four words zero.
            word = word.wrapping_add(0x9e37_79b9);
            let mut z = word;
            z = (z ^ (z >> 16)).wrapping_mul(0x21f0_aaad);
            z = (z ^ (z >> 15)).wrapping_mul(0x735a_2d97);
            z ^ (z >> 15)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// The next 32 uniform bits.
    pub fn next_u32(&mut self) -> u32 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(7).wrapping_add(a);
        let c1 = c ^ a;
        let d1 = d ^ b;
        self.state = [a ^ d1, b ^ c1, c1 ^ (b << 9), d1.rotate_left(11)];
        result
    }

    /// The next standard normal number, Q13, in `[-40_200, 40_200]`.
    pub fn sample_q13(&mut self) -> i32 {
        let bits = self.next_u32();
        let magnitude = i32::from(quantile_q13(bits & 0x7fff_ffff));
        if bits >> 31 == 0 { magnitude } else { -magnitude }
    }
}

/// The z whose upper tail is `u / 2^32`, for `u` below 2^31.
fn quantile_q13(u: u32) -> u16 {
    // Bit 30 set is octave 0; below 2^11 the table ends.
    let u = u.clamp(1 << 11, (1 << 31) - 1);
    let octave = u.leading_zeros() - 1;
    // The leading one leaves; three segment bits and 16 bits between them follow.
    let normalized = (u << octave) & 0x3fff_ffff;
    let segment = (normalized >> 27) as usize;
    let fraction = (normalized >> 11) & 0xffff;
    let row = GAUSSIAN.get(octave as usize);
    let at = |i: usize| row.and_then(|r| r.get(i)).copied().map_or(0, u32::from);
    let (near, far) = (at(segment), at(segment + 1));
    // Falls from `near` to `far` as u grows.
    (near - (((near.saturating_sub(far)) * fraction + 0x8000) >> 16)) as u16
}
