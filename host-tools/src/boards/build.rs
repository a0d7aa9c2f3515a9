//! Builds a board's firmware around a blob.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Board, BoardError, Checkout, Image};

/// A linked image.
#[derive(Debug, Clone)]
pub struct Built {
    /// The ELF file, where cargo left it.
    pub path: PathBuf,
    /// Its bytes.
    pub elf: Vec<u8>,
    /// What it puts into flash.
    pub image: Image,
}

/// Builds the firmware of `board` in `checkout` around the blob at `blob`. Cargo's progress is shown unless `quiet`.
///
/// # Errors
/// [`BoardError`].
pub fn build(
    board: &Board,
    checkout: &Checkout,
    blob: &Path,
    quiet: bool,
) -> Result<Built, BoardError> {
    let folder = checkout.folder(&board.name)?;
    let io = |path: &Path, source| BoardError::Io { path: path.to_path_buf(), source };
    // Cargo runs in the board's folder, where a relative path means another file.
    let blob = std::fs::canonicalize(blob).map_err(|source| io(blob, source))?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "--locked", "--message-format", "json-render-diagnostics"])
        .current_dir(&folder)
        .env("PICOVAE_BLOB", blob)
        .stdin(Stdio::null())
        .stderr(if quiet { Stdio::piped() } else { Stdio::inherit() });
    // Meant for builds of the host.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    let command = "cargo build --release --locked";
    let output = cargo.output().map_err(|_| BoardError::Missing {
        program: "cargo".into(),
        remedy: "install Rust with rustup (https://rustup.rs)",
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(BoardError::Program {
            command: format!("{command} ({})", folder.display()),
            outcome: format!("ended with {}\n{}", output.status, said.trim_end()),
            remedy: format!(
                "`region … overflowed` means that the model is too large for the chip; a target that is missing is \
                 installed by `rustup target add {}`",
                board.target
            ),
        });
    }
    let path = executable(&output.stdout).ok_or_else(|| BoardError::Program {
        command: format!("{command} ({})", folder.display()),
        outcome: "made no executable".into(),
        remedy: "the board's crate needs a [[bin]]: docs/porting.md".into(),
    })?;
    let elf = std::fs::read(&path).map_err(|source| io(&path, source))?;
    let image = Image::of_elf(&path, &elf)?;
    Ok(Built { path, elf, image })
}

/// The last executable that cargo's messages, one JSON object a line, tell of.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    let lines = messages.split(|byte| *byte == b'\n').rev();
    let mut values =
        lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    values.find_map(|value| Some(PathBuf::from(value.get("executable")?.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_that_cargo_names() {
        let messages = br#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/release/app"}
not json
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/app")));
        assert_eq!(executable(b""), None);
    }
}
