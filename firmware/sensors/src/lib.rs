//! Sensors of the picovae boards: raw counts of published drivers in, nothing else; and what keeps
//! them sampling when something goes wrong.
//!
//! Generic over `embedded-hal-async`, so that they are tested on the host. Each family is a feature of its module's
//! name, `lis3dh` the one that is on by default.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "lis3dh")]
pub mod lis3dh;
pub mod supervise;

#[cfg(test)]
mod tests;
