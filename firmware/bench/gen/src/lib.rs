//! Random networks as blobs, and what the portable kernels make of them.
//!
//! Called by the bench image's build script (for the target's packing) and by
//! the tests here (for the host's own backend): one conformance suite for all.

#[cfg(test)]
mod batches;
mod blob;
mod cases;
mod naive;
#[path = "../../../../host-tools/src/emit/pack.rs"]
pub mod pack;
mod reference;

pub use blob::{Kind, Layer, Net, Values, write};
pub use cases::{
    article, benchmarks, channelwise, compressed, conformance, convolutions, nibbles, sparse,
    sparse_nibbles,
};
pub use reference::{FEATURES, fill, hash};

/// Every packing; with pruned blocks left out; of 4-bit weights (where they are); both.
#[cfg(test)]
const PACKINGS: [u8; 18] =
    [0, 1, 2, 3, 4, 5, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24, 0x31, 0x32, 0x33, 0x34];

/// Those that `net` does not merely get row-major weights in, and that others have not shown already.
#[cfg(test)]
fn packings(net: &Net) -> impl Iterator<Item = u8> {
    let four_bit = net.values == Values::Nibbles;
    PACKINGS
        .into_iter()
        .filter(move |&packing| packing == 0 || four_bit == (packing == 5 || packing & 0x20 != 0))
}

/// xorshift64*: the cases are the same everywhere, for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream by seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// `low..=high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + i64::from(self.bits()) % (high - low + 1)
    }
}
