//! The file: a mark, the SHA-256 of what follows, and that in postcard. It is replaced whole or not at all.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::CheckpointError;
use crate::whole_file;

/// Changes with what is kept.
const MARK: &[u8; 16] = b"picovae-check-3\n";
const DIGEST: usize = 32;

/// What the file holds; `None` where there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CheckpointError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointError::Read { path: path.to_path_buf(), source }),
    };
    let damaged = |reason| CheckpointError::Damaged { path: path.to_path_buf(), reason };
    let marked = bytes.strip_prefix(MARK);
    let marked = marked.ok_or_else(|| damaged("not a checkpoint of this version of picovae"))?;
    let (digest, body) = marked.split_at_checked(DIGEST).ok_or_else(|| damaged("cut short"))?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(damaged("the checkpoint is damaged"));
    }
    let read = postcard::from_bytes(body);
    read.map(Some).map_err(|_| damaged("not a checkpoint of this version of picovae"))
}

/// Replaces the file.
pub(super) fn write<T: Serialize>(path: &Path, contents: &T) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Write { path: path.to_path_buf(), source };
    let body = postcard::to_allocvec(contents)
        .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
    whole_file::replace(path, &[MARK, &Sha256::digest(&body), &body]).map_err(failed)
}
