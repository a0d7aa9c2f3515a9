//! Integer-only inference and anomaly scoring of variational autoencoders.
//!
//! This is the only crate of picovae that runs on the device: no allocator, no
//! floating point, no panic. The same code runs on the host, so a simulation
//! gives the very bits the board gives.
//!
//! The tour, in the order data takes:
//!
//! 1. [`Model::parse`] checks a `.pvae` blob once, completely; what it returns
//!    can no longer fail.
//! 2. [`Vae::new`] joins the model and one caller-owned buffer (an [`Arena`]).
//! 3. [`Vae::load`] runs the front-end: raw `i16` samples to int8 features.
//! 4. [`Vae::encode`], [`Vae::decode`] run the network; [`Vae::score`] is the
//!    anomaly score. [`Vae::generate`] decodes a draw from the prior.
//! 5. [`Detector`] does all of it for a stream: `push(frame)` gives a
//!    [`Verdict`] at every window's end.
//!
//! On a host, [`Prepared`] and [`Batch`] run many windows at a time, with the same bits.
//!
//! Every number here is defined in `docs/numerics.md`, every byte of the blob
//! in `docs/blob-format.md`.
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_endian = "big")]
compile_error!(
    "blobs are little-endian and are read in place: big-endian targets are not supported"
);

pub mod arena;
pub mod fixed;
pub mod frontend;
pub mod kernels;
pub mod model;
pub mod score;
pub mod stream;
pub mod trace;
pub mod vae;

pub use arena::Arena;
pub use model::{Model, ModelError};
pub use score::{Score, ScoreKind};
pub use stream::{Detector, Event, Health, State, Verdict};
pub use vae::{Batch, Prepared, Vae, VaeError};
