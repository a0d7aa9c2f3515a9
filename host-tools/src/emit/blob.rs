//! A blob in memory, aligned as the core wants it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use picovae_core::{Model, ModelError};

use crate::whole_file;

/// Bytes of a blob that are read, at most.
const MAX_BYTES: u64 = 64 << 20;

/// Why a blob cannot be used. Names the file.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum BlobError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    #[diagnostic(help("check the path and its permissions"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The core refuses the blob.
    #[error("{path}: {source}", path = path.display())]
    #[diagnostic(help("{}", remedy(source)))]
    Model {
        /// The file, or the model's name.
        path: PathBuf,
        /// Why.
        source: ModelError,
    },
    /// The description does not serialize.
    #[error("model `{name}` does not serialize: {reason}")]
    #[diagnostic(help("shorten the model's name or provenance"))]
    Serialize {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
}

fn remedy(error: &ModelError) -> &'static str {
    match error {
        ModelError::BadMagic => "this is not a .pvae blob; make one with `picovae quantize`",
        ModelError::Checksum { .. } | ModelError::Length { .. } => {
            "the file was damaged or cut: copy it again, or write it again with `picovae quantize`"
        }
        ModelError::UnsupportedVersion { .. } => {
            "use the picovae version that wrote it, or write it again with `picovae quantize`"
        }
        _ => "write it again with `picovae quantize`",
    }
}

/// A blob at a 16-byte boundary.
#[derive(Debug, Clone)]
pub struct Blob {
    words: Vec<u128>,
    len: usize,
    path: PathBuf,
}

impl Blob {
    /// Copies bytes; `path` names them in errors.
    pub fn from_bytes(bytes: &[u8], path: impl Into<PathBuf>) -> Self {
        let mut words = vec![0u128; bytes.len().div_ceil(16)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, len: bytes.len(), path: path.into() }
    }

    /// Reads a file; does not parse it.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn read(path: &Path) -> Result<Self, BlobError> {
        let failed = |source| BlobError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        // Far more than the flash of any microcontroller; longer files are cut, and no blobs.
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Self::from_bytes(&bytes, path))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn save(&self, path: &Path) -> Result<(), BlobError> {
        whole_file::replace(path, &[self.bytes()])
            .map_err(|source| BlobError::Io { path: path.to_path_buf(), source })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// Parses the blob with the core.
    ///
    /// # Errors
    /// [`BlobError::Model`] names the file and the remedy.
    pub fn model(&self) -> Result<Model<'_>, BlobError> {
        Model::parse(self.bytes())
            .map_err(|source| BlobError::Model { path: self.path.clone(), source })
    }
}
