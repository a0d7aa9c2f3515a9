//! Keras models: `.keras` archives (Keras 2.12 and later) and legacy `.h5` files.
//!
//! | module | what it does |
//! |---|---|
//! | `store` | the HDF5 file with the weights |
//! | `config` | the JSON that says which layer is called on what |
//! | `model` | calls layers in order, nested models in place |
//! | `layers`, `windowed` | one Keras layer as nodes of the network |
//!
//! The result is a [`super::network::Network`]; what is encoder and what
//! decoder is told by [`super::assemble`].

mod config;
mod halves;
mod layers;
mod model;
mod store;
mod windowed;

use super::archive::{self, Archive};
use super::assemble::{Assembled, assemble};
use super::state_dict::hex;
use super::{ForeignOptions, ImportError};
use crate::graph::Vae;
use config::Layer;
use model::Reader;
use sha2::{Digest, Sha256};
use std::path::Path;
use store::Store;

/// The start of every HDF5 file that Keras writes.
const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Names in a `.keras` archive.
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.weights.h5";

/// Bytes of the JSON that describes a model: a thousand layers take less than one MiB.
const MAX_CONFIG: usize = 4 << 20;

/// Why a layer, or a file as a whole, is refused.
#[derive(Debug)]
struct Refused {
    reason: String,
    remedy: String,
    /// What it reads was refused: nothing more need be said.
    behind: bool,
}

impl Refused {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into(), behind: false }
    }

    fn behind() -> Self {
        Self { behind: true, ..Self::new("reads a layer that is not read", "see that layer") }
    }
}

/// Whether the bytes are a `.keras` archive or an HDF5 file.
pub fn is_keras(bytes: &[u8]) -> bool {
    bytes.starts_with(HDF5_MAGIC)
        || archive::is_zip(bytes)
            && Archive::open(bytes).is_ok_and(|a| {
                [CONFIG, WEIGHTS].iter().all(|name| a.names().iter().any(|n| n == name))
            })
}

/// Reads a model from memory; `path` is used in messages and for the name.
///
/// # Errors
/// [`ImportError`]; everything wrong with the layers is reported at once.
pub fn parse_keras(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Vae, ImportError> {
    parse(path, bytes, options).map(|assembled| assembled.vae)
}

/// [`parse_keras`], with what its user should know.
///
/// # Errors
/// As [`parse_keras`].
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Assembled, ImportError> {
    let refused = |reason: String, remedy: &'static str| ImportError::Container {
        path: path.to_path_buf(),
        format: "Keras",
        reason,
        remedy,
    };
    let again = "copy it again, or save it again with model.save(path)";
    let (store, json) = if bytes.starts_with(HDF5_MAGIC) {
        let (store, json) =
            Store::legacy(bytes.to_vec()).map_err(|reason| refused(reason, again))?;
        let json = json.ok_or_else(|| {
            refused(
                "it holds weights without the model they belong to".into(),
                "save the whole model with model.save(path), not its weights alone",
            )
        })?;
        (store, json.into_bytes())
    } else {
        let mut archive = Archive::open(bytes).map_err(|reason| refused(reason, again))?;
        let json = archive.read(CONFIG).map_err(|reason| refused(reason, again))?;
        let weights = archive.read(WEIGHTS).map_err(|reason| refused(reason, again))?;
        (Store::mirrored(weights).map_err(|reason| refused(reason, again))?, json)
    };
    if json.len() > MAX_CONFIG {
        return Err(refused(format!("its configuration has {} bytes", json.len()), again));
    }
    let json: serde_json::Value = serde_json::from_slice(&json)
        .map_err(|e| refused(format!("its configuration is no JSON: {e}"), again))?;
    let root = Layer::of(&json)
        .ok_or_else(|| refused("its configuration describes no model".into(), again))?;
    if !root.is_model() {
        return Err(refused(
            format!("a model of the class `{}`, whose layers are in its code only", root.class),
            "join its parts as a functional model, \
             keras.Model(inputs, decoder(encoder(inputs))), and save that",
        ));
    }
    let mut reader = Reader::new(store);
    reader.read(root);
    let (network, mut notes) = reader.finish();
    let file_name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
    let mut assembled = assemble(&network, options, &file_name)
        .map_err(|problems| ImportError::Problems { path: path.to_path_buf(), problems })?;
    assembled.vae.provenance.sha256 = hex(&Sha256::digest(bytes));
    let graph = |source| ImportError::Graph { path: path.to_path_buf(), source };
    assembled.vae.validate().map_err(graph)?;
    notes.append(&mut assembled.notes);
    assembled.notes = notes;
    Ok(assembled)
}

#[cfg(test)]
mod tests;
