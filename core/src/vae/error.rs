//! Why a model and the caller's buffers do not go together.

use core::fmt;

/// What the caller got wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VaeError {
    /// The arena does not start at a 16-byte boundary. Cure: use [`Arena`](crate::Arena).
    ArenaMisaligned,
    /// The arena is too small. Cure: give it [`Model::arena_len`] bytes.
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        got: usize,
    },
    /// The window has another number of samples than the model's `window_len * channels`.
    InputLength {
        /// Samples needed.
        needed: usize,
        /// Samples given.
        got: usize,
    },
    /// The memory to learn in is too small. Cure: give it
    /// [`Recalibration::memory_len`](crate::stream::recalibration::Recalibration::memory_len) words.
    #[cfg(feature = "recalibration")]
    LearningTooSmall {
        /// Words of 64 bits needed.
        needed: usize,
        /// Words given.
        got: usize,
    },
    /// The ring of a detector is too small. Cure: give it `window_len * channels` samples.
    RingTooSmall {
        /// Samples needed.
        needed: usize,
        /// Samples given.
        got: usize,
    },
}

impl fmt::Display for VaeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArenaMisaligned => {
                f.write_str("arena is not 16-byte aligned; use picovae_core::Arena")
            }
            Self::ArenaTooSmall { needed, got } => {
                write!(f, "arena has {got} bytes, the model needs {needed}")
            }
            Self::InputLength { needed, got } => {
                write!(f, "window has {got} samples, the model needs {needed}")
            }
            #[cfg(feature = "recalibration")]
            Self::LearningTooSmall { needed, got } => {
                write!(f, "memory to learn in has {got} words, the model needs {needed}")
            }
            Self::RingTooSmall { needed, got } => {
                write!(f, "ring has {got} samples, a window needs {needed}")
            }
        }
    }
}

impl core::error::Error for VaeError {}
