//! `cargo xtask build-boards`: every board crate links.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{setup, shell};

/// The board crates: each a workspace of its own.
pub fn folders() -> Result<Vec<PathBuf>> {
    let boards = shell::firmware().join("boards");
    let entries = std::fs::read_dir(&boards).with_context(|| boards.display().to_string())?;
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    Ok(folders)
}

/// Builds them one after the other.
pub fn build() -> Result<()> {
    setup::targets()?;
    for folder in folders()? {
        println!("{}", folder.display());
        shell::run(&mut shell::firmware_cargo(&folder, ["build", "--release", "--locked"]))?;
    }
    Ok(())
}
