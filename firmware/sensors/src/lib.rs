//! Sensors of the picovae boards: raw counts of published drivers in, nothing else; and what keeps
//! them sampling when something goes wrong.
//!
//! Generic over `embedded-hal-async`, so that they are tested on the host.
#![no_std]
#![deny(unsafe_code)]

pub mod lis3dh;
pub mod supervise;

#[cfg(test)]
mod tests;
