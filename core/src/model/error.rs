//! Why a blob is refused.

use core::fmt;

/// Why [`Model::parse`](crate::Model::parse) refused a blob: always the blob's
/// fault, never the caller's (but for [`Misaligned`](Self::Misaligned)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The blob states another arena length than its layers need. Cure: write it again with this version's `picovae quantize`.
    ArenaLength {
        /// Bytes the layers need.
        needed: u32,
        /// Bytes the blob states.
        stated: u32,
    },
    /// The first four bytes are not `PVAE`. Cure: point at a `.pvae` file.
    BadMagic,
    /// Bytes changed since the blob was written. Cure: copy or flash it again.
    Checksum {
        /// CRC-32 stated in the header.
        stated: u32,
        /// CRC-32 of the bytes.
        computed: u32,
    },
    /// The description is not what the format says. Cure: write the blob again.
    Description,
    /// A front-end setting is out of range, or asks for what this build leaves out (feature
    /// `spectrum`). Cure: write the blob again, or build with the feature.
    Frontend,
    /// A number of a layer is out of its range: multiplier, shift, clamp or zero point.
    LayerNumbers {
        /// Index of the layer, encoder first.
        layer: u16,
    },
    /// A layer's sums could leave 32 bits. Cure: quantize again with smaller bias or narrower layers.
    LayerOverflow {
        /// Index of the layer, encoder first.
        layer: u16,
    },
    /// A layer's shape does not follow from the one before, or is empty.
    LayerShape {
        /// Index of the layer, encoder first.
        layer: u16,
    },
    /// Total length in the header and the slice differ: truncated, or bytes behind the end.
    Length {
        /// Bytes the header states (at least the header's own).
        stated: u32,
        /// Bytes of the slice.
        got: u32,
    },
    /// The slice does not start at a 16-byte boundary. Cure: wrap it in [`Aligned`](crate::arena::Aligned).
    Misaligned,
    /// A score setting is out of range, does not fit the model, or asks for a score that this
    /// build leaves out (feature `extra-scores`).
    Score,
    /// A section lies outside the blob, or is not aligned.
    Section,
    /// A layer's operator, packing or output is not known to this version.
    UnsupportedLayer {
        /// Index of the layer, encoder first.
        layer: u16,
    },
    /// The format version is not one this crate reads. Cure: use the picovae version that wrote it, or write it again.
    UnsupportedVersion {
        /// The version found.
        found: u16,
    },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArenaLength { needed, stated } => {
                write!(
                    f,
                    "blob states an arena of {stated} bytes but needs {needed}; write it again"
                )
            }
            Self::BadMagic => f.write_str("not a picovae blob (no PVAE at its start)"),
            Self::Checksum { stated, computed } => {
                write!(
                    f,
                    "blob is damaged: CRC-32 {computed:08x}, header says {stated:08x}; copy or flash it again"
                )
            }
            Self::Description => f.write_str("blob description is malformed; write the blob again"),
            Self::Frontend => {
                f.write_str("front-end settings are out of range or need the feature `spectrum`; write the blob again")
            }
            Self::LayerNumbers { layer } => {
                write!(f, "layer {layer}: multiplier, shift, clamp or zero point out of range")
            }
            Self::LayerOverflow { layer } => {
                write!(f, "layer {layer}: sums may leave 32 bits; quantize again")
            }
            Self::LayerShape { layer } => {
                write!(f, "layer {layer}: shape does not follow from the layer before")
            }
            Self::Length { stated, got } => {
                write!(f, "blob is {got} bytes, header says {stated}; it was truncated or extended")
            }
            Self::Misaligned => {
                f.write_str("blob is not 16-byte aligned; wrap it in picovae_core::arena::Aligned")
            }
            Self::Score => f.write_str("score settings are out of range or do not fit the model"),
            Self::Section => f.write_str("a section lies outside the blob or is not aligned"),
            Self::UnsupportedLayer { layer } => {
                write!(f, "layer {layer}: operator, packing or output kind unknown to this version")
            }
            Self::UnsupportedVersion { found } => {
                write!(
                    f,
                    "blob format version {found} is not supported (this version reads 1 to {})",
                    super::wire::VERSION
                )
            }
        }
    }
}

impl core::error::Error for ModelError {}
