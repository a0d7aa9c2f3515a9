//! Paths of the repository, and running other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The firmware workspace.
pub fn firmware() -> PathBuf {
    root().join("firmware")
}

/// A folder below `target/` for files that commands here make, created if need be.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let path = root().join("target").join(name);
    std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}

/// Where the real data lies: `PICOVAE_DATA`, else `../shared/data`.
pub fn data() -> PathBuf {
    match std::env::var_os("PICOVAE_DATA").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => root().join("../shared/data"),
    }
}

/// Cargo, in the repository's workspace.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Cargo, in a firmware workspace: its own target folder, and none of the
/// flags or targets that this machine sets for host builds.
pub fn firmware_cargo<S: AsRef<OsStr>>(
    workspace: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = cargo(arguments);
    command.current_dir(workspace).env("CARGO_TARGET_DIR", workspace.join("target"));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command
}

/// Runs to the end; an error names the command if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", spell(command)))?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", spell(command)) }
}

/// Runs to the end and gives standard output; standard error passes through.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", spell(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", spell(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading {}", spell(command)))
}

/// The command as one would type it.
pub fn spell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
