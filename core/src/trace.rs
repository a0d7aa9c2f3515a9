//! Watching an inference: every activation, and a hash over all of them.

use crate::score::Score;

/// Sees what an inference computes, in order. Every method does nothing by default.
pub trait Trace {
    /// The int8 features of the window.
    fn features(&mut self, _features: &[i8]) {}
    /// The int8 output of layer `index` (encoder first); of a widened head, before it is widened.
    fn layer(&mut self, _index: usize, _activations: &[i8]) {}
    /// The int16 output of layer `index`: `mu` and `logvar`, or the decoder's output.
    fn head(&mut self, _index: usize, _values: &[i16]) {}
    /// The decoder's int8 input.
    fn latent(&mut self, _z: &[i8]) {}
    /// The window's score.
    fn score(&mut self, _score: Score) {}
}

/// Watches nothing, costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Trace for NoTrace {}

/// FNV-1a, 64 bits, over every activation (little-endian) and every score, in
/// the order computed: what `cargo xtask parity` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivationHash(u64);

impl ActivationHash {
    /// The hash of nothing.
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// The hash of everything seen.
    pub const fn value(&self) -> u64 {
        self.0
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl Default for ActivationHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Trace for ActivationHash {
    fn features(&mut self, features: &[i8]) {
        self.bytes(features.iter().map(|&q| q as u8));
    }
    fn layer(&mut self, _index: usize, activations: &[i8]) {
        self.bytes(activations.iter().map(|&q| q as u8));
    }
    fn head(&mut self, _index: usize, values: &[i16]) {
        self.bytes(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    fn latent(&mut self, z: &[i8]) {
        self.bytes(z.iter().map(|&q| q as u8));
    }
    fn score(&mut self, score: Score) {
        self.bytes(score.0.to_le_bytes());
    }
}
