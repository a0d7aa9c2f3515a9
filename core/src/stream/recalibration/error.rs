//! Why learning is refused, or a saved state is.

use core::fmt;

use crate::stream::Health;

/// Why [`Detector::calibrate`](crate::Detector::calibrate) or
/// [`follow`](crate::Detector::follow) refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecalibrationError {
    /// An alarm is raised: what is heard now is not normal. Cure: wait for its end; or, if the
    /// threshold is what is wrong, `set_threshold(None)` until a window has come.
    Alarm,
    /// An alarm ended a short while ago. Cure: wait.
    HoldOff,
    /// The detector has no memory to learn in. Cure: [`Detector::learning_in`](crate::Detector::learning_in).
    NoMemory,
    /// The blob does not say where normal features lie. Cure: `picovae quantize --renormalize`.
    NoReference,
    /// The blob's normal scores have no spread: nothing to measure a threshold by.
    NoSpread,
    /// There is no threshold to measure against. Cure: `picovae quantize --false-alarm-rate`.
    NoThreshold,
    /// So few windows have no 99th percentile.
    TooFew {
        /// Windows needed.
        needed: u32,
        /// Windows asked for.
        got: u32,
    },
    /// The sensor is not to be trusted. Cure: wait until it is.
    Unhealthy(Health),
}

impl fmt::Display for RecalibrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alarm => f.write_str("an alarm is raised; wait for its end before learning"),
            Self::HoldOff => f.write_str("an alarm has just ended; wait before learning"),
            Self::NoMemory => f.write_str("no memory to learn in; use Detector::learning_in"),
            Self::NoReference => f.write_str(
                "the blob does not say where normal features lie; write it with `picovae quantize --renormalize`",
            ),
            Self::NoSpread => f.write_str("the blob's calibration scores are all alike"),
            Self::NoThreshold => f.write_str("there is no threshold to learn"),
            Self::TooFew { needed, got } => {
                write!(f, "a threshold needs at least {needed} windows, not {got}")
            }
            Self::Unhealthy(_) => f.write_str("the sensor is not to be trusted; wait"),
        }
    }
}

impl core::error::Error for RecalibrationError {}

/// Why a saved state is refused; or that a buffer is too small to save one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RestoreError {
    /// A buffer to save to is too small. Cure: [`Detector::record_len`](crate::Detector::record_len) bytes.
    BufferTooSmall {
        /// Bytes needed at most.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// Bytes changed or are missing. Cure: learn again.
    Checksum,
    /// The bytes are whole but make no sense. Cure: learn again.
    Malformed,
    /// The state belongs to another blob. Cure: learn again.
    OtherModel {
        /// CRC-32 of the blob it belongs to.
        stated: u32,
        /// CRC-32 of this blob.
        model: u32,
    },
    /// The detector has no memory to learn in. Cure: [`Detector::learning_in`](crate::Detector::learning_in).
    NoMemory,
    /// Written by another version. Cure: learn again.
    UnsupportedVersion {
        /// The version found.
        found: u8,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferTooSmall { needed, got } => {
                write!(f, "buffer has {got} bytes, the state needs up to {needed}")
            }
            Self::Checksum => f.write_str("the saved state is damaged; learn again"),
            Self::Malformed => f.write_str("the saved state makes no sense; learn again"),
            Self::OtherModel { stated, model } => {
                write!(f, "the saved state belongs to blob {stated:08x}, this is {model:08x}")
            }
            Self::NoMemory => f.write_str("no memory to restore to; use Detector::learning_in"),
            Self::UnsupportedVersion { found } => {
                write!(f, "the saved state is of version {found}; learn again")
            }
        }
    }
}

impl core::error::Error for RestoreError {}
