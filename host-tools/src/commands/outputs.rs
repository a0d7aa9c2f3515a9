//! Files a verb will write, looked at before it works for minutes.

use std::path::{Path, PathBuf};

/// Why a verb does not begin.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OutputError {
    /// There is no such folder.
    #[error("{}: there is no folder {}", path.display(), folder.display())]
    #[diagnostic(help("create it, or give a path in a folder that exists"))]
    NoFolder {
        /// The file to be written.
        path: PathBuf,
        /// Where it would lie.
        folder: PathBuf,
    },
    /// One file would replace another of the same command.
    #[error("{}: both {first} and {second} of this command", path.display())]
    #[diagnostic(help("give each a file of its own"))]
    Same {
        /// The file.
        path: PathBuf,
        /// What it is given as.
        first: &'static str,
        /// And what else.
        second: &'static str,
    },
}

/// The files of a command, each with what it is to the user: `-o`, `--report`.
#[derive(Debug, Default)]
pub struct Outputs<'a> {
    files: Vec<(&'static str, &'a Path)>,
}

impl<'a> Outputs<'a> {
    /// Adds one that is written, if it is.
    pub fn and(mut self, what: &'static str, path: Option<&'a Path>) -> Self {
        self.files.extend(path.map(|path| (what, path)));
        self
    }

    /// Checks that each lies in a folder that exists, and that none is another or one of `inputs`.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn check(&self, inputs: &[&Path]) -> Result<(), OutputError> {
        let mut taken: Vec<(&'static str, PathBuf)> =
            inputs.iter().map(|path| ("an input", place(path))).collect();
        for (what, path) in &self.files {
            let folder = folder(path);
            if !folder.is_dir() {
                let (path, folder) = (path.to_path_buf(), folder.to_path_buf());
                return Err(OutputError::NoFolder { path, folder });
            }
            let here = place(path);
            // Into a pipe or /dev/null everything may go.
            let device = here.exists() && !here.is_file();
            if let Some((first, _)) = taken.iter().find(|(_, other)| *other == here && !device) {
                let path = path.to_path_buf();
                return Err(OutputError::Same { path, first, second: what });
            }
            taken.push((what, here));
        }
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The file itself, however it is written: through links, with dots.
fn place(path: &Path) -> PathBuf {
    let through = || {
        let folder = std::fs::canonicalize(folder(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    std::fs::canonicalize(path).ok().or_else(through).unwrap_or_else(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_and_files_given_twice_are_refused() {
        let folder = std::env::temp_dir();
        let (a, b) = (folder.join("picovae-a"), folder.join("./picovae-b"));
        let check = |out: &Path, checkpoint: &Path, inputs: &[&Path]| {
            let outputs = Outputs::default().and("-o", Some(out)).and("--report", None);
            outputs.and("--checkpoint", Some(checkpoint)).check(inputs)
        };
        check(&a, &b, &[Path::new("elsewhere")]).unwrap();
        let twice = check(&a, &folder.join("./picovae-a"), &[]).unwrap_err().to_string();
        assert!(twice.contains("both -o and --checkpoint"), "{twice}");
        let input = check(&a, &b, &[&b]).unwrap_err().to_string();
        assert!(input.contains("both an input and --checkpoint"), "{input}");
        let nowhere = check(&folder.join("no/such/file"), &b, &[]).unwrap_err().to_string();
        assert!(nowhere.contains("there is no folder"), "{nowhere}");
        check(Path::new("/dev/null"), Path::new("/dev/null"), &[]).unwrap();
        check(Path::new("here"), &b, &[]).unwrap();
    }
}
