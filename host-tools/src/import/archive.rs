//! Zip archives (`.pt`, `.keras`) of unknown origin: what is read is bounded
//! by the file's size and a fixed allowance, whatever its directory claims.

use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Bytes that compressed entries may grow beyond the file's own size, all of
/// them together. Both frameworks store their tensors uncompressed.
const ALLOWANCE: u64 = 32 << 20;

/// Entries an archive may list.
const MAX_ENTRIES: usize = 65_536;

/// The start of every zip archive with at least one entry.
const MAGIC: &[u8] = b"PK\x03\x04";

/// A zip archive in memory.
pub(super) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    names: Vec<String>,
    left: u64,
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Whether the bytes begin like a zip archive.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
        if zip.len() > MAX_ENTRIES {
            return Err(format!("{} entries, more than {MAX_ENTRIES}", zip.len()));
        }
        let names: Result<Vec<String>, _> =
            zip.file_names().map(|name| name.map(|name| name.into_owned())).collect();
        let names = names.map_err(|e| e.to_string())?;
        Ok(Self { zip, names, left: bytes.len() as u64 + ALLOWANCE })
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads an entry; its checksum is verified.
    ///
    /// # Errors
    /// What is wrong with it, as text that names it.
    pub(super) fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let entry = self.zip.by_name(name).map_err(|e| format!("`{name}`: {e}"))?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a bomb from an entry that just fits.
        let read = entry.take(self.left + 1).read_to_end(&mut bytes);
        let read = read.map_err(|e| format!("`{name}`: {e}"))? as u64;
        self.left = self.left.checked_sub(read).ok_or_else(|| {
            format!("`{name}` unpacks to far more than the file's size: a zip bomb")
        })?;
        Ok(bytes)
    }
}
