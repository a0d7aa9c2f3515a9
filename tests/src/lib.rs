//! What the tests share: an independent reference of the arithmetic, and random models.
//!
//! The tests themselves live in `tests/tests/`.

pub mod cli;
pub mod random_convolutions;
pub mod random_model;
pub mod reference;
