//! Builds firmware images.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::qemu::Core;
use crate::shell;

/// Windows embedded in an image, at most: they are tried through the detector.
const EMBEDDED_WINDOWS: u64 = 4;

/// What goes into an image.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Name of the model, for file names.
    pub name: &'a str,
    /// The blob.
    pub blob: &'a Path,
    /// Raw windows; the first few are embedded.
    pub windows: &'a Path,
    /// How many they are.
    pub count: u64,
}

/// A linked image and the machine it is for.
#[derive(Clone, Debug)]
pub struct Image {
    /// The ELF file.
    pub elf: PathBuf,
    /// QEMU's name of the machine.
    pub machine: &'static str,
    /// Whether a machine before it was too small.
    pub fell_back: bool,
}

/// Builds the QEMU app for `core`, on the first of its machines that has the room.
pub fn app(core: &Core, content: Content<'_>) -> Result<Image> {
    let folder = shell::scratch("firmware-images")?;
    let embedded = folder.join(format!("{}-embedded.i16", content.name));
    embed(content, &embedded)?;
    let mut too_large = String::new();
    for (index, machine) in core.machines.iter().enumerate() {
        let mut build = shell::firmware_cargo(
            &shell::firmware(),
            ["build", "--quiet", "--release", "--package", "picovae-qemu", "--target", core.target],
        );
        build
            .env("PICOVAE_BLOB", content.blob)
            .env("PICOVAE_WINDOWS", &embedded)
            .env("PICOVAE_MACHINE", memory_of(machine))
            .env("DEFMT_LOG", "debug");
        let output = build.stdin(Stdio::null()).output().context("starting cargo")?;
        if output.status.success() {
            let elf = folder.join(format!("{}-{}.elf", content.name, core.id));
            let built =
                shell::firmware().join("target").join(core.target).join("release/picovae-qemu");
            fs::copy(&built, &elf).with_context(|| format!("copying {}", built.display()))?;
            return Ok(Image { elf, machine, fell_back: index > 0 });
        }
        too_large = String::from_utf8_lossy(&output.stderr).into_owned();
        if !is_too_large(&too_large) {
            bail!("{} failed:\n{too_large}", shell::spell(&build));
        }
    }
    bail!("{} fits none of {:?}:\n{too_large}", content.name, core.machines)
}

/// The machine whose memory map `machine` shares: cargo then finds the M4's image
/// again when it is asked for the M7's.
fn memory_of(machine: &str) -> &str {
    match machine {
        "mps2-an385" | "mps2-an500" => "mps2-an386",
        other => other,
    }
}

/// Whether the linker failed for want of flash, RAM or stack (`qemu/stack.x`).
fn is_too_large(message: &str) -> bool {
    ["will not fit in region", "overflowed by", "ERROR(picovae)"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// Copies the first few windows; leaves an equal file alone, so that cargo does too.
fn embed(content: Content<'_>, path: &Path) -> Result<()> {
    let bytes = fs::read(content.windows)
        .with_context(|| format!("reading {}", content.windows.display()))?;
    let window = bytes.len() as u64 / content.count.max(1);
    let first = bytes.get(..(window * EMBEDDED_WINDOWS.min(content.count)) as usize);
    let first = first.context("more windows than bytes")?;
    if fs::read(path).is_ok_and(|old| old == first) {
        return Ok(());
    }
    fs::write(path, first).with_context(|| format!("writing {}", path.display()))
}

/// Builds the bare images for `target` with `blob`; gives the ELF's path of the one that calls all of the core
/// (`picovae-detector` lies beside it).
pub fn bare(target: &str, blob: &Path) -> Result<PathBuf> {
    let mut build = shell::firmware_cargo(
        &shell::firmware(),
        ["build", "--quiet", "--release", "--package", "picovae-bare", "--target", target],
    );
    build.env("PICOVAE_BLOB", blob).env_remove("PICOVAE_WINDOWS");
    shell::run(&mut build)?;
    Ok(shell::firmware().join("target").join(target).join("release/picovae-bare"))
}
