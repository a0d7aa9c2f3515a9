//! ONNX files, as PyTorch (both exporters) and tf2onnx write them.
//!
//! | module | what it does |
//! |---|---|
//! | `proto` | the messages, and a guard before they are decoded |
//! | `tensor`, `fold` | constants, and what the file computes from them |
//! | `reader` | walks the nodes; what it cannot read becomes a problem |
//! | `folded_batch` | frames that pass for windows |
//! | `operators` | which are read, what to use instead of others |
//! | `layers`, `elementwise`, `shapes`, `repeats`, `reductions`, `resize`, `constants` | one operator each |
//!
//! No operator is run here, and no weight permuted for the device: that is
//! [`super::assemble`]'s.

mod attributes;
mod constants;
mod elementwise;
mod fold;
mod folded_batch;
mod layers;
mod operators;
mod proto;
mod reader;
mod reductions;
mod repeats;
mod resize;
mod shapes;
mod tensor;

pub(super) use proto::is_onnx;

use super::assemble::{Assembled, assemble};
use super::{ForeignOptions, ImportError, Problem};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Reads a model from memory; `path` is used in messages, for the name, and to
/// find numbers kept in a file beside it.
///
/// # Errors
/// [`ImportError`] with everything that is wrong.
pub(super) fn parse_onnx(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Assembled, ImportError> {
    let problems = |problems| ImportError::Problems { path: path.to_path_buf(), problems };
    let model = proto::decode(bytes).map_err(|reason| {
        problems(vec![Problem::new("file", reason, "copy it again, or export the model again")])
    })?;
    let network = reader::read(model, path).map_err(problems)?;
    let file_name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
    let mut assembled = assemble(&network, options, &file_name).map_err(problems)?;
    assembled.vae.provenance.sha256 = super::state_dict::hex(&Sha256::digest(bytes));
    Ok(assembled)
}

#[cfg(test)]
mod tests;
