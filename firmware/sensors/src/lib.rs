//! Sensors of the picovae boards and others: raw counts of published drivers in, nothing else; and what keeps
//! them sampling when something goes wrong. Where no driver is fit, the module says why, and accesses registers itself.
//!
//! Generic over `embedded-hal-async`, so that they are tested on the host. Each family is a feature of its module's
//! name, `lis3dh` the one that is on by default.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "adxl34x")]
pub mod adxl34x;
#[cfg(feature = "lis3dh")]
pub mod lis3dh;
#[cfg(feature = "lsm6ds")]
pub mod lsm6ds;
#[cfg(feature = "mpu6050")]
pub mod mpu6050;
#[cfg(any(feature = "adxl34x", feature = "mpu6050"))]
mod registers;
pub mod supervise;

#[cfg(test)]
mod tests;
