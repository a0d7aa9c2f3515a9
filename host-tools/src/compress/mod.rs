//! Passes that make a trained model smaller.
//!
//! | pass | what it does |
//! |---|---|
//! | [`prune`] | removes whole neurons and channels, empties blocks of weights, the least important first, and fine-tunes |
//! | [`distill`] | teaches a small model what a large one knows |
//! | [`Sensitivities`] | 4-bit weights where the model minds least |
//!
//! Quantization is a pass of its own ([`quantize`](crate::quantize)).

mod chain;
mod chain_report;
mod distill;
mod importance;
mod mixed_bits;
mod nearest;
mod prune;
mod prune_blocks;
mod rank;
mod remove;
mod run;
mod student;
mod yardstick;

pub use chain::{CompressConfig, CompressError, Compressed, compress};
pub use chain_report::{Chain, ChainReport};
pub use distill::{DistillConfig, distill};
pub use importance::{Criterion, importance};
pub use mixed_bits::{MixedBitsError, Sensitivities, Sensitivity};
pub use prune::{PruneConfig, PruneError, PruneReport, PruneRound, prune, shrink};
pub use rank::{RankError, Ranked, Ranking, rank};
pub use remove::{Unit, remove, units};
pub use yardstick::{Quality, Yardstick, YardstickError};
