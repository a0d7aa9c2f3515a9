//! Blobs: writing them, and holding them in memory as the device would.

mod blob;
pub mod pack;
mod sections;
mod write;

pub use blob::{Blob, BlobError};
pub use write::{Calibrated, core_score, write};
