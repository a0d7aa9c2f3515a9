//! Blobs: writing them, and holding them in memory as the device would.

mod blob;
mod envelope;
mod heads;
pub mod pack;
mod repack;
mod sections;
mod threshold;
mod write;

pub use blob::{Blob, BlobError};
pub use heads::with_heads;
pub use repack::repack;
pub use threshold::with_threshold;
pub use write::{Calibrated, core_score, write};
