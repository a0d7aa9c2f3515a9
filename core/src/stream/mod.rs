//! Streams: frames in, verdicts out.

mod decision;
mod detector;
mod health;
#[cfg(feature = "recalibration")]
pub mod recalibration;

pub use decision::{Decision, Event, Judge, State};
pub use detector::{Detector, Verdict};
pub use health::{Health, HealthChecks, NormalFeatures};
#[cfg(feature = "recalibration")]
pub use recalibration::{Lessons, Recalibration, RecalibrationError, RestoreError};
