//! Architecture search under hard budgets of flash, RAM and time.
//!
//! ```text
//! space ─► candidate ─► needs (the core's planner) ─► trial: train, quantize, judge ─► study
//!   ▲                                                                                   │
//!   └───────────── schedule: children of the best, longer training for the best ◄───────┘
//! ```
//! Workers are processes, on one machine or many; the study is a database they share.

pub mod budget;
pub mod candidate;
pub mod figures;
mod inherit;
pub mod pareto;
pub mod schedule;
pub mod space;
pub mod study;
pub mod trial;
pub mod worker;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Limit};
pub use candidate::Candidate;
pub use figures::Figures;
pub use schedule::{Job, Rules};
pub use space::Space;
pub use study::{State, Study, StudyError, Trial};
pub use trial::{Task, Trained, TrialError};
pub use worker::{Best, SearchError, best, work};
