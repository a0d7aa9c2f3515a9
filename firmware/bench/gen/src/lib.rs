//! Random networks as blobs, and what the portable kernels make of them.
//!
//! Called by the bench image's build script (for the target's packing) and by
//! the tests here (for the host's own backend): one conformance suite for all.

mod blob;
mod cases;
mod naive;
#[path = "../../../../host-tools/src/emit/pack.rs"]
pub mod pack;
mod reference;

pub use blob::{Kind, Layer, Net, Values, write};
pub use cases::{
    article, benchmarks, compressed, conformance, convolutions, nibbles, sparse, sparse_nibbles,
};
pub use reference::{FEATURES, fill, hash};

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
