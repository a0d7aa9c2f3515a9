//! TensorFlow Lite files: full-int8 ones bit for bit, float ones by way of the float graph.
//!
//! ```text
//! bytes ─► flatbuffer ─► schema ─► path ─┬─► int8 (layers, tables) ─► Int8Model
//!                                        └─► float ─► Network, as every graph format
//! ```

mod flatbuffer;
mod float;
mod heads;
mod int8;
mod layers;
mod names;
mod operator_names;
mod path;
mod schema;
mod tables;

pub use int8::Int8Model;
pub use schema::is_tflite;

use super::assemble::assemble;
use super::{ForeignOptions, ImportError, Problem};
use crate::graph::{Provenance, TOOL, Vae};
use picovae_core::fixed::Rounding;
use schema::File;
use sha2::{Digest, Sha256};
use std::path::Path;

/// What a file held.
#[derive(Debug)]
pub enum Contents {
    /// A model in float, and what was decided where the file leaves a choice.
    Float(Box<Vae>, Vec<String>),
    /// A model in int8, exact.
    Int8(Box<Int8Model>),
}

/// What an int8 file does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TfliteOptions {
    /// How the framework's fully connected layers round. The reference kernels of TensorFlow
    /// Lite (`ai-edge-litert` 2.3) round them once and everything else twice; its optimized
    /// kernels, and TensorFlow Lite Micro as it is usually built, round everything twice.
    pub fully_connected_rounding: Rounding,
}

impl Default for TfliteOptions {
    fn default() -> Self {
        Self { fully_connected_rounding: Rounding::Single }
    }
}

/// Reads a file that [`is_tflite`].
///
/// # Errors
/// [`ImportError`] with everything that is wrong.
pub fn parse_tflite(
    path: &Path,
    bytes: &[u8],
    options: &TfliteOptions,
    foreign: &ForeignOptions,
) -> Result<Contents, ImportError> {
    let problems = |problems| ImportError::Problems { path: path.to_path_buf(), problems };
    let file = File::read(bytes).map_err(|_| {
        problems(vec![Problem::new(
            "file",
            "it ends early, or an offset in it leads nowhere",
            "copy or convert it again",
        )])
    })?;
    let name = |part: Option<&std::ffi::OsStr>| {
        part.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let provenance = Provenance {
        source: name(path.file_name()),
        sha256: super::state_dict::hex(&Sha256::digest(bytes)),
        tool: TOOL.into(),
        ..Provenance::default()
    };
    if int8::is_int8(&file) {
        let found = path::find(&file).map_err(|problem| problems(vec![problem]))?;
        let model = int8::read(
            &file,
            &found,
            bytes.len(),
            options,
            foreign.latent.as_deref(),
            provenance,
            name(path.file_stem()),
        );
        return Ok(Contents::Int8(Box::new(model.map_err(problems)?)));
    }
    let float::Read { network, mut notes } = float::read(&file, bytes.len());
    let assembled = assemble(&network, foreign, &provenance.source).map_err(problems)?;
    notes.extend(assembled.notes);
    Ok(Contents::Float(Box::new(Vae { provenance, ..assembled.vae }), notes))
}
