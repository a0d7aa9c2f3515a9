//! Fixed-point arithmetic: the numbers of `docs/numerics.md`, nothing else.

pub mod exp;
pub mod gaussian;
pub mod log2;
pub mod requantize;
pub mod tables;
pub mod wide;
pub mod wide_division;

pub use requantize::Rounding;
