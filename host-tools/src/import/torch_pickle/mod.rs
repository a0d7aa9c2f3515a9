//! PyTorch's `.pt` and `.pth`: a `state_dict` saved by `torch.save`, alone or
//! in a checkpoint.
//!
//! Such a file is a pickle, and a pickle is a program. Nothing of it runs
//! here: [`machine`] interprets the opcodes that describe tensors,
//! [`globals`] knows the few functions they call, and everything else becomes
//! an opaque value that no weight can come from. [`checkpoint`] finds the
//! state dict in what remains, [`storage`] its numbers; the tensors then go
//! the way of every foreign state dict ([`super::state_dict`]).

mod checkpoint;
mod globals;
mod machine;
mod storage;
mod value;

use super::archive::{self, Archive};
use super::assemble::Assembled;
use super::named_tensor::NamedTensor;
use super::state_dict::{self, ForeignOptions};
use super::{ImportError, Problem};
use crate::graph::Vae;
use machine::{Unpickled, unpickle};
use std::path::Path;
use storage::Storages;

/// The first pickle of files written before PyTorch 1.6: a magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

/// Why a file is refused as a whole.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    reason: String,
    remedy: &'static str,
}

impl Refusal {
    fn new(reason: impl Into<String>, remedy: &'static str) -> Self {
        Self { reason: reason.into(), remedy }
    }

    fn damaged(reason: impl Into<String>) -> Self {
        Self::new(
            reason,
            "the file is damaged or of another kind: save it again with torch.save(model.state_dict(), path)",
        )
    }

    fn truncated() -> Self {
        Self::damaged("it ends too early")
    }
}

/// Whether the bytes are what `torch.save` or `torch.jit.save` write.
pub fn is_torch(bytes: &[u8]) -> bool {
    bytes.starts_with(LEGACY_MAGIC)
        || archive::is_zip(bytes)
            && Archive::open(bytes).is_ok_and(|archive| root(&archive).is_some())
}

/// Reads a state dict from memory; `path` is used in messages and for the name.
///
/// # Errors
/// [`ImportError`]; everything wrong with the tensors is reported at once.
pub fn parse_torch(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Vae, ImportError> {
    parse(path, bytes, options).map(|assembled| assembled.vae)
}

/// [`parse_torch`], with what its user should know.
///
/// # Errors
/// As [`parse_torch`].
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    options: &ForeignOptions,
) -> Result<Assembled, ImportError> {
    let refused = |refusal: Refusal| ImportError::Container {
        path: path.to_path_buf(),
        format: "PyTorch",
        reason: refusal.reason,
        remedy: refusal.remedy,
    };
    let result = if bytes.starts_with(LEGACY_MAGIC) {
        legacy(bytes, |list| state_dict::import(path, bytes, list, options))
    } else {
        zipped(bytes, |list| state_dict::import(path, bytes, list, options))
    };
    match result.map_err(refused)? {
        Ok(assembled) => assembled,
        Err(problems) => Err(ImportError::Problems { path: path.to_path_buf(), problems }),
    }
}

/// What became of the tensors, or what is wrong with them.
type Found<T> = Result<T, Vec<Problem>>;

/// The zip archive of PyTorch 1.6 and later.
fn zipped<T>(
    bytes: &[u8],
    then: impl FnOnce(&[NamedTensor<'_>]) -> T,
) -> Result<Found<T>, Refusal> {
    let mut archive = Archive::open(bytes).map_err(Refusal::damaged)?;
    let root = root(&archive).ok_or_else(|| {
        Refusal::damaged("a zip archive without data.pkl, which torch.save writes")
    })?;
    let named = |name: &str| archive.names().iter().any(|n| *n == format!("{root}{name}"));
    let code = format!("{root}code/");
    if named("constants.pkl") || archive.names().iter().any(|name| name.starts_with(&code)) {
        return Err(Refusal::new(
            "a TorchScript archive, whose layers are a program",
            "export the model as ONNX (torch.onnx.export), or save its weights: \
             torch.save(torch.jit.load(path).state_dict(), other_path)",
        ));
    }
    if named("byteorder") {
        let order = archive.read(&format!("{root}byteorder")).map_err(Refusal::damaged)?;
        if order.trim_ascii() != b"little" {
            return Err(Refusal::new(
                "its numbers are not little-endian",
                "save the state dict again on a little-endian machine",
            ));
        }
    }
    let pickle = archive.read(&format!("{root}data.pkl")).map_err(Refusal::damaged)?;
    let Unpickled { value, heap, .. } = unpickle(&pickle)?;
    let entries = checkpoint::state_dict(&heap, value)?;
    let storages = Storages::zipped(&heap, &entries, archive, &root);
    Ok(storages.tensors(&heap, &entries, bytes.len()).map(|list| then(&list)))
}

/// The sequence of pickles and raw storages of PyTorch before 1.6.
fn legacy<T>(
    bytes: &[u8],
    then: impl FnOnce(&[NamedTensor<'_>]) -> T,
) -> Result<Found<T>, Refusal> {
    let protocol = unpickle(&bytes[LEGACY_MAGIC.len()..])?;
    if protocol.value != value::Value::Int(1001) {
        return Err(Refusal::damaged("an unknown version of PyTorch's old format"));
    }
    let system = unpickle(protocol.rest)?;
    let little = value::Value::Text("little_endian");
    let items = system.heap.dict(system.value).unwrap_or_default();
    if items.contains(&(little, value::Value::Bool(false))) {
        return Err(Refusal::new(
            "its numbers are not little-endian",
            "save the state dict again on a little-endian machine",
        ));
    }
    let Unpickled { value, heap, rest } = unpickle(system.rest)?;
    let entries = checkpoint::state_dict(&heap, value)?;
    let keys = unpickle(rest)?;
    let storages = Storages::legacy(&heap, &keys)?;
    Ok(storages.tensors(&heap, &entries, bytes.len()).map(|list| then(&list)))
}

/// The folder of the archive, with its slash: PyTorch names it after the file.
fn root(archive: &Archive<'_>) -> Option<String> {
    let root = archive.names().iter().find_map(|name| name.strip_suffix("data.pkl"));
    root.filter(|root| root.is_empty() || root.ends_with('/')).map(str::to_string)
}

#[cfg(test)]
mod tests;
