//! Files that are replaced whole or not at all: a full disk or a kill leaves what was there before.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `parts`, one behind the other, beside `path` and puts the result in its place.
///
/// What is no regular file (a pipe, `/dev/stdout`) is written to directly; a symbolic link stays one.
///
/// # Errors
/// Whatever the file system says; what is at `path` is then as it was.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let place = match std::fs::canonicalize(path) {
        Ok(found) if !found.is_file() => {
            let mut file = File::options().write(true).open(&found)?;
            return parts.iter().try_for_each(|part| file.write_all(part));
        }
        Ok(found) if std::fs::metadata(&found)?.permissions().readonly() => {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(found) => found,
        Err(_) => path.to_path_buf(),
    };
    let beside = beside(&place);
    let written = File::create(&beside).and_then(|mut file| {
        // A file that was there keeps its permissions.
        if let Ok(old) = std::fs::metadata(&place) {
            file.set_permissions(old.permissions())?;
        }
        parts.iter().try_for_each(|part| file.write_all(part))?;
        // In place only once it is on the disk, or a power cut leaves an empty file.
        file.sync_all()?;
        std::fs::rename(&beside, &place)
    });
    if written.is_err() {
        // What could not take the place is of no use.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Always the same one: what a process killed here left is written over by the next.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("picovae-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_was_there_stays_until_the_new_one_is_whole() {
        let folder = folder("whole");
        let path = folder.join("model.pvae");
        replace(&path, &[b"old"]).unwrap();
        // Nothing can be created where the new file would be written.
        std::fs::create_dir(beside(&path)).unwrap();
        assert!(replace(&path, &[b"new"]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        std::fs::remove_dir(beside(&path)).unwrap();
        replace(&path, &[b"n", b"ew"]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(replace(&folder.join("nowhere/model.pvae"), &[b"x"]).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = folder("links");
        let (path, link) = (folder.join("a"), folder.join("b"));
        std::fs::write(&path, b"old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, &[b"new"]).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        replace(Path::new("/dev/null"), &[b"new"]).unwrap();
        assert!(!Path::new("/dev/null").is_file());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
