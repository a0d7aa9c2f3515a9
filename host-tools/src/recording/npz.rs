//! NPZ: a zip of NPY files, of which one is the recording.

use super::{Recording, RecordingError, npy};
use std::io::Read;
use std::path::Path;

/// Unpacked arrays beyond this are refused: a small file can unpack to any length.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// Reads the array called `wanted`, or the only one.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    wanted: &[String],
) -> Result<Recording, RecordingError> {
    let format = |reason: String| RecordingError::Format { path: path.to_path_buf(), reason };
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes))
        .map_err(|error| format(format!("NPZ: {error}")))?;
    let mut names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_string()))
        .collect();
    names.sort();
    let name = match (wanted, &names[..]) {
        ([], [only]) => only.clone(),
        ([one], names) if names.contains(one) => one.clone(),
        ([], names) => {
            let names = names.join(", ");
            return Err(format(format!("NPZ of {names}: name the array with --columns")));
        }
        (wanted, names) => {
            return Err(RecordingError::UnknownColumn {
                path: path.to_path_buf(),
                column: wanted.join(","),
                known: names.join(", "),
            });
        }
    };
    let file = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|error| format(format!("NPZ: {name}: {error}")))?;
    let mut array = Vec::new();
    file.take(MAX_UNPACKED_BYTES + 1)
        .read_to_end(&mut array)
        .map_err(|error| format(format!("NPZ: {name}: {error}")))?;
    if array.len() as u64 > MAX_UNPACKED_BYTES {
        return Err(format(format!("NPZ: {name} unpacks to more than 4 GiB")));
    }
    npy::read(path, &array)
}
