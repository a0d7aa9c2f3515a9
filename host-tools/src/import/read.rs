//! One way in for every format: the content decides, not the name.

use super::assemble::Assembled;
use super::{
    ForeignOptions, ImportError, Int8Model, Problem, TfliteContents, TfliteOptions, is_keras,
    is_own, is_tflite, is_torch, keras, onnx, parse_tflite, safetensors, torch_pickle,
};
use crate::graph::Vae;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What a model file held.
#[derive(Debug)]
#[non_exhaustive]
pub enum Imported {
    /// Float weights.
    Float {
        /// The model.
        vae: Box<Vae>,
        /// Whether the file came from elsewhere, and so knows no front-end.
        foreign: bool,
        /// What was decided where the file leaves a choice.
        notes: Vec<String>,
    },
    /// A model in int8 already, to be taken as it is.
    Int8(Box<Int8Model>),
}

/// What the files of other tools do not say, whatever their format.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Of float models.
    pub foreign: ForeignOptions,
    /// Of int8 models.
    pub tflite: TfliteOptions,
}

/// Reads a model file of any format but the blob's own.
///
/// # Errors
/// [`ImportError`] with everything that is wrong with the file.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Imported, ImportError> {
    parse(path, &bytes_of(path)?, options)
}

/// Bytes of a file, at most: a checkpoint with the state of its optimizer has a few MiB
/// where the device has hundreds of KiB.
const MAX_BYTES: u64 = 96 << 20;

/// The whole of a file that may be a model's.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, ImportError> {
    let failed = |source| ImportError::Io { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // What is no file, a pipe say, has no length beforehand.
    let long = file.metadata().is_ok_and(|data| data.len() > MAX_BYTES)
        || file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)? as u64 > MAX_BYTES;
    if !long {
        return Ok(bytes);
    }
    Err(ImportError::Problems {
        path: path.to_path_buf(),
        problems: vec![Problem::new(
            "file",
            format!("is longer than {} MiB, far more than a device's model", MAX_BYTES >> 20),
            "save the weights alone, without optimizer and data",
        )],
    })
}

/// Reads a model from memory; `path` is used in messages and for the name.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Imported, ImportError> {
    understand(path, bytes, options).map_err(ImportError::in_short)
}

fn understand(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Imported, ImportError> {
    let graph = |assembled: Assembled| {
        let Assembled { vae, notes } = assembled;
        vae.validate().map_err(|source| ImportError::Graph { path: path.to_path_buf(), source })?;
        Ok(Imported::Float { vae: Box::new(vae), foreign: true, notes })
    };
    if bytes.starts_with(&picovae_core::model::wire::MAGIC) {
        return Err(ImportError::Problems {
            path: path.to_path_buf(),
            problems: vec![Problem::new(
                "file",
                "is a blob: its weights are integers, made for one target",
                "give the float model that it was quantized from",
            )],
        });
    }
    let named =
        |extension: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    if is_torch(bytes) {
        return graph(torch_pickle::parse(path, bytes, &options.foreign)?);
    }
    if is_tflite(bytes) {
        return match parse_tflite(path, bytes, &options.tflite, &options.foreign)? {
            TfliteContents::Int8(model) => Ok(Imported::Int8(model)),
            TfliteContents::Float(vae, notes) => Ok(Imported::Float { vae, foreign: true, notes }),
        };
    }
    if is_keras(bytes) {
        return graph(keras::parse(path, bytes, &options.foreign)?);
    }
    // A safetensors file begins with the length of its header and a brace.
    if bytes.get(8) == Some(&b'{') || named("safetensors") {
        let foreign = !is_own(bytes);
        let Assembled { vae, notes } = safetensors::parse(path, bytes, &options.foreign)?;
        return Ok(Imported::Float { vae: Box::new(vae), foreign, notes });
    }
    if onnx::is_onnx(bytes) || named("onnx") {
        return graph(onnx::parse_onnx(path, bytes, &options.foreign)?);
    }
    Err(ImportError::Problems {
        path: path.to_path_buf(),
        problems: vec![Problem::new(
            "file",
            "is of no format that is read",
            "give a .safetensors, .pt, .onnx, .keras, .h5, .tflite or .pvae",
        )],
    })
}
