//! Streams: frames in, verdicts out.

mod decision;
mod detector;
mod health;

pub use decision::{Decision, Event, Judge, State};
pub use detector::{Detector, Verdict};
pub use health::{Health, HealthChecks};
