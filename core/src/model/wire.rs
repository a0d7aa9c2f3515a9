//! The blob's bytes: header, postcard description, layer records.
//!
//! The only file that knows the format; `docs/blob-format.md` is its text. The
//! host writes exactly these types, the device reads them in place.

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

use crate::fixed::{Rounding, wide::Factor};
use crate::score::ScoreKind;

/// First four bytes of every blob.
pub const MAGIC: [u8; 4] = *b"PVAE";
/// The newest format version; 1 is read as well.
pub const VERSION: u16 = 2;
/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 32;

/// CRC-32/ISO-HDLC (zlib's), over the whole blob but its own four bytes.
pub fn checksum(blob: &[u8]) -> u32 {
    crc32(&[blob.get(..12).unwrap_or(&[]), blob.get(16..).unwrap_or(&[])])
}

/// CRC-32/ISO-HDLC of parts, one behind the other.
pub(crate) fn crc32(parts: &[&[u8]]) -> u32 {
    const CRC: crc::Crc<u32, crc::Table<1>> =
        crc::Crc::<u32, crc::Table<1>>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// The fixed header, little-endian, at the blob's start.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// 1, or [`VERSION`] where there are [sections] or a newer score.
    pub version: u16,
    /// Zero.
    pub reserved: u16,
    /// Bytes of the whole blob.
    pub total_len: u32,
    /// [`checksum`] of the blob.
    pub crc32: u32,
    /// Bytes of the description that follows the header.
    pub description_len: u32,
    /// The [`sections::SectionRecord`]s in the payload, 4-byte aligned; empty in version 1.
    pub sections: Span,
    /// Zero.
    pub padding: [u8; 4],
}

/// A run of bytes, counted from the payload's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, Serialize, Deserialize)]
#[repr(C)]
pub struct Span {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

impl Span {
    /// The bytes in `payload`, `None` if the span leaves it.
    pub fn of<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.offset as usize;
        payload.get(start..start.checked_add(self.len as usize)?)
    }
}

/// One layer, 64 bytes in the payload, read in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct LayerRecord {
    /// Operator: [`op`].
    pub op: u8,
    /// Weight layout: [`packing`].
    pub packing: u8,
    /// What the layer writes: [`output`].
    pub output: u8,
    /// What the host has proven: [`flags`].
    pub flags: u8,
    /// Zero point of the input (0 where the input is the latent).
    pub input_zero_point: i8,
    /// Zero point of the requantized output, before any table.
    pub output_zero_point: i8,
    /// Least requantized output (a fused ReLU raises it).
    pub clamp_min: i8,
    /// Greatest requantized output (a fused ReLU6 lowers it).
    pub clamp_max: i8,
    /// Input shape: length, width, channels. Fully connected: `[1, 1, inputs]`.
    pub in_shape: [u16; 3],
    /// Output shape: length, width, channels. Fully connected: `[1, 1, outputs]`.
    pub out_shape: [u16; 3],
    /// Kernel length and width; `[1, 1]` for fully connected.
    pub kernel: [u8; 2],
    /// Stride; `[1, 1]` for fully connected.
    pub stride: [u8; 2],
    /// Padding at the start; `[0, 0]` for fully connected.
    pub padding: [u8; 2],
    /// Zero.
    pub reserved1: u16,
    /// Weights, 16-byte aligned.
    pub weights: Span,
    /// Offset of the int32 biases, one an output channel.
    pub bias: u32,
    /// Offset of the int32 multipliers, one an output channel.
    pub multiplier: u32,
    /// Offset of the int8 shifts, one an output channel.
    pub shift: u32,
    /// Offset of the 256-entry table (int8; int16 with [`output::WIDENED`]), or [`NO_TABLE`].
    pub table: u32,
    /// Scale of the output as IEEE-754 bits: for people and the host, never used by the core.
    pub scale_bits: u32,
    /// Name of the layer, UTF-8.
    pub name: Span,
}

/// [`LayerRecord::table`] of a layer without a table.
pub const NO_TABLE: u32 = u32::MAX;

/// Values of [`LayerRecord::op`].
pub mod op {
    /// `output = weights * input + bias`.
    pub const FULLY_CONNECTED: u8 = 0;
    /// Convolution, 1-D (width 1) or 2-D; one matrix row an output channel.
    pub const CONVOLUTION: u8 = 1;
    /// Transposed convolution: a matrix for each phase, each at a multiple of 16 bytes.
    pub const TRANSPOSED_CONVOLUTION: u8 = 2;
    /// Convolution of each channel by itself; row-major, `weights[channel][tap]`.
    pub const DEPTHWISE_CONVOLUTION: u8 = 3;
    /// Greatest value of a window; no weights.
    pub const MAX_POOL: u8 = 4;
    /// Mean value of a window; no weights.
    pub const AVERAGE_POOL: u8 = 5;
}

/// Values of [`LayerRecord::packing`].
pub mod packing {
    /// `weights[output][input]`, one int8 each.
    pub const ROW_MAJOR: u8 = 0;
    /// `armv7em`: row pairs in the halves of a word, for SMLAD.
    pub const PAIR: u8 = 1;
    /// `armv7m`: four rows of a column in a word, for shifted operands.
    pub const CHAIN: u8 = 2;
    /// `armv6m`: four unsigned rows of a column in a word, for REV.
    pub const REVERSED: u8 = 3;
    /// `mve`: sixteen columns of four rows in turn.
    pub const INTERLEAVED: u8 = 4;
    /// Any target: rows of 4-bit weights, -8 to 7, a word for eight columns.
    pub const NIBBLES: u8 = 5;
    /// Beside one of those with groups of rows (1 to 4): blocks of four rows by sixteen columns that are all zero
    /// are left out.
    pub const SPARSE: u8 = 0x10;
    /// Beside one of those with groups of rows (1 to 4): weights of 4 bits, -8 to 7.
    pub const FOUR_BIT: u8 = 0x20;
}

/// Bits of [`LayerRecord::flags`]; the gate checks each against the numbers.
pub mod flags {
    /// Every shift is in `-31..=-1`: the short requantization is exact.
    pub const RIGHT_SHIFTS: u8 = 1;
    /// The layer rounds in the way that the description does not name: TensorFlow Lite's fully
    /// connected layers round once where its convolutions round twice.
    pub const OTHER_ROUNDING: u8 = 2;
}

/// Values of [`LayerRecord::output`].
pub mod output {
    /// int8, clamped, then through the table if there is one.
    pub const INT8: u8 = 0;
    /// int16, saturated: a head.
    pub const INT16: u8 = 1;
    /// int8, clamped, then through a table of 256 int16: a head that is int8 in another
    /// framework, or has an activation.
    pub const WIDENED: u8 = 2;
}

pub mod sections;

/// Everything about a model but its layers and weights; postcard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// Where it came from.
    #[serde(borrow)]
    pub provenance: Provenance<'a>,
    /// Target the weights were packed for, for people.
    pub target: &'a str,
    /// Rounding of every requantization.
    pub rounding: Rounding,
    /// From raw samples to features.
    pub frontend: Frontend,
    /// The [`LayerRecord`]s, encoder first, 4-byte aligned.
    pub layers: Span,
    /// How many of them are the encoder's.
    pub encoder_len: u16,
    /// Between encoder and decoder.
    pub latent: Latent,
    /// Likelihood of the decoder's output.
    pub likelihood: Likelihood,
    /// The score that [`Vae::score`](crate::Vae::score) gives.
    pub score: ScoreKind,
    /// From the squared differences of the reconstruction to their mean in Q32.
    pub mean_square: Factor,
    /// Threshold in the score's Q format; `None` where none was calibrated.
    pub threshold: Option<i64>,
    /// Scores of the calibration windows.
    pub calibration: Calibration,
    /// Bytes of arena the model needs.
    pub arena_len: u32,
}

/// Where a model came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance<'a> {
    /// File the model was quantized from.
    pub source: &'a str,
    /// SHA-256 of that file, hexadecimal.
    pub source_sha256: &'a str,
    /// Tool and version that wrote the blob.
    pub tool: &'a str,
}

/// Front-end settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontend {
    /// Frames a window.
    pub window_len: u16,
    /// Frames from one window's start to the next one's.
    pub hop: u16,
    /// Channels a frame.
    pub channels: u16,
    /// Subtract each channel's mean over the window.
    pub remove_mean: bool,
    /// Real values of one raw count, IEEE-754 bits, one a channel; for the host and people.
    pub lsb: u32,
    /// int32 offsets, one a group of features ([`Frontend::groups`](crate::frontend::Frontend::groups)).
    pub offset: u32,
    /// int32 multipliers, one a group.
    pub multiplier: u32,
    /// int8 shifts, one a group.
    pub shift: u32,
    /// Zero point of the features.
    pub zero_point: i8,
    /// Scale of the features, IEEE-754 bits; for the host and people.
    pub scale_bits: u32,
}

/// The latent, between encoder and decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latent {
    /// Latent dimensions.
    pub len: u16,
    /// Whether the encoder's head also gives `logvar` (behind `mu`).
    pub has_logvar: bool,
    /// Fraction bits of `mu`, `0..=15`.
    pub mu_frac_bits: u8,
    /// Fraction bits of `logvar`, `11..=15`: within the range of the exponential.
    pub logvar_frac_bits: u8,
    /// From `mu` to the decoder's int8 input.
    pub z_multiplier: i32,
    /// From `mu` to the decoder's int8 input.
    pub z_shift: i8,
    /// Zero point of the decoder's int8 input.
    pub z_zero_point: i8,
}

/// What the decoder's int16 output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Likelihood {
    /// Logits in Q8; features are `u / 255` with `u = q + 128`.
    Bernoulli,
    /// The mean, on the features' grid with six fraction bits.
    Gaussian {
        /// Offset of the u16 precisions, one a feature.
        precision: u32,
        /// From the precision-weighted squares to nats in Q16.
        factor: Factor,
        /// `1/2 * sum(ln 2 pi - ln precision)` in nats, Q16.
        constant: i64,
    },
}

/// Scores of the windows a model was calibrated on, in the score's Q format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// Windows scored.
    pub windows: u32,
    /// Least score.
    pub min: i64,
    /// Median score.
    pub median: i64,
    /// 99th percentile.
    pub p99: i64,
    /// Greatest score.
    pub max: i64,
}
