//! `cargo xtask build-boards`: every board crate links, and UF2 files hold all of an image.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cli::Cli;
use crate::{image_check, setup, shell, uf2};

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

/// One for all boards: what several of them need is built once.
fn target_folder() -> PathBuf {
    shell::firmware().join("boards/target")
}

/// Cargo in a board's folder.
pub fn cargo<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = shell::firmware_cargo(folder, arguments);
    command.env("CARGO_TARGET_DIR", target_folder());
    command
}

/// Images with other sensors, where a board has such features.
pub const FURTHER: &str = "--all-features";

/// Builds them one after the other.
pub fn build() -> Result<()> {
    setup::targets()?;
    let (cli, blob) = (Cli::build()?, image_check::blob()?);
    for folder in folders()? {
        let start = Instant::now();
        // Where there is a UF2 file to be made, the host tool builds.
        let uf2 = uf2::check(&folder, &target_folder(), &blob, &cli)?;
        if uf2.is_none() {
            shell::run(cargo(&folder, ["build", "--quiet", "--release", "--locked"]).arg(FURTHER))?;
        }
        let whole =
            uf2.map_or(String::new(), |len| format!(", its UF2 file holds all of it, {len} bytes"));
        println!("{} links{whole} ({:.0} s)", folder.display(), start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Builds one board's image; `plain` without what only some blobs need.
pub fn image(folder: &Path, blob: &Path, plain: bool) -> Result<PathBuf> {
    let mut build = cargo(folder, ["build", "--quiet", "--release", "--locked"]);
    if plain {
        build.arg("--no-default-features");
    }
    shell::run(build.env("PICOVAE_BLOB", blob))?;
    let name = folder.file_name().and_then(|name| name.to_str()).context("a plain folder name")?;
    let linked = format!("release/picovae-{name}");
    // Below the target that the board's configuration names.
    let targets = std::fs::read_dir(target_folder())?.flatten().map(|entry| entry.path());
    let mut found = targets.map(|target| target.join(&linked)).filter(|path| path.is_file());
    found.next().with_context(|| format!("{name} was not built"))
}
