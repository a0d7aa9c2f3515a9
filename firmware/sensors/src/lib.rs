//! Thin sensor drivers of the picovae boards: raw counts in, nothing else.
//!
//! Generic over `embedded-hal-async`, so that they are tested on the host.
#![no_std]
#![deny(unsafe_code)]

pub mod lis3dh;

#[cfg(test)]
mod tests;
