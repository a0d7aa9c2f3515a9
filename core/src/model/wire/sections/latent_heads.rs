//! Sections that say which known state of a machine a latent resembles.

use super::super::Span;
use super::{WORDS, fields, padded};

/// Known states as diagonal Gaussians of the latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentClusters {
    /// Classes, at least 1.
    pub classes: u16,
    /// Offset of the int16 means, `[class][latent]`, `mu_frac_bits`.
    pub mean: u32,
    /// Offset of the int16 whitening, `[class][latent]`.
    pub weights: u32,
    /// Offset of the u8 right shifts to 12 fraction bits, `[class][latent]`, at most 47.
    pub shifts: u32,
    /// Offset of the int32 constants, one a class, Q16: twice the sum of ln of the deviations.
    pub constant: u32,
    /// Names of the classes, UTF-8, a line feed between two.
    pub names: Span,
}

impl LatentClusters {
    pub(super) fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [classes, mean, weights, shifts, constant, offset, len] = fields(words)?;
        let classes = classes.try_into().ok()?;
        Some(Self { classes, mean, weights, shifts, constant, names: Span { offset, len } })
    }

    pub(super) fn words(self) -> [u32; WORDS] {
        let Span { offset, len } = self.names;
        let classes = self.classes.into();
        padded([classes, self.mean, self.weights, self.shifts, self.constant, offset, len])
    }
}

/// A linear classifier of the latent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatentClassifier {
    /// Classes, at least 1.
    pub classes: u16,
    /// Offset of the int16 weights, `[class][latent]`.
    pub weights: u32,
    /// Offset of the int32 biases, one a class, in units of 2^8 products.
    pub bias: u32,
    /// Names of the classes, UTF-8, a line feed between two.
    pub names: Span,
}

impl LatentClassifier {
    pub(super) fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [classes, weights, bias, offset, len] = fields(words)?;
        let classes = classes.try_into().ok()?;
        Some(Self { classes, weights, bias, names: Span { offset, len } })
    }

    pub(super) fn words(self) -> [u32; WORDS] {
        let Span { offset, len } = self.names;
        padded([self.classes.into(), self.weights, self.bias, offset, len])
    }
}
