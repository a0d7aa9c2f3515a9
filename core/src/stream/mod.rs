//! Streams: frames in, verdicts out.

mod detector;

pub use detector::{Detector, Verdict};
