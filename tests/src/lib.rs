//! What the tests share: an independent reference of the arithmetic, random models, hostile files, and
//! baselines of detection.
//!
//! The tests themselves live in `tests/tests/`.

pub mod baselines;
pub mod cli;
pub mod hostile;
pub mod random_convolutions;
pub mod random_model;
pub mod reference;
