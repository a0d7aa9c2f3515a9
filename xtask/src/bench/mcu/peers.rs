//! The autoencoder on other Rust engines, from their published crates: `firmware/bench/device-peers`.
//!
//! Each is built as it is fastest: opt-level 3, the core's own `target-cpu`, hardware floats where the core has
//! them. One that does not build or run for a core is skipped, loudly.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::text::code;
use super::{Core, Row, counted};
use crate::shell;

const ENGINES: [&str; 3] = ["burn", "embedded-nn", "microflow"];

/// For a core: target, `target-cpu`, first bytes of flash and RAM of its machine.
fn build_for(core: &str) -> Option<(&'static str, &'static str, u32, u32)> {
    Some(match core {
        "m0" => ("thumbv6m-none-eabi", "cortex-m0plus", 0, 0x2000_0000),
        "m3" => ("thumbv7m-none-eabi", "cortex-m3", 0, 0x2000_0000),
        "m4" => ("thumbv7em-none-eabihf", "cortex-m4", 0, 0x2000_0000),
        "m7" => ("thumbv7em-none-eabihf", "cortex-m7", 0, 0x2000_0000),
        "m33" => ("thumbv8m.main-none-eabihf", "cortex-m33", 0x1000_0000, 0x3800_0000),
        "m55" => ("thumbv8m.main-none-eabihf", "cortex-m55", 0, 0x2100_0000),
        _ => return None,
    })
}

/// A row for each engine that runs on the core.
pub fn rows(core: &Core) -> Vec<Row> {
    let mut rows = Vec::new();
    for engine in ENGINES {
        match row(core, engine) {
            Ok(row) => rows.push(row),
            Err(error) => eprintln!("SKIPPED {engine} on {}: {error:#}", core.name),
        }
    }
    rows
}

fn row(core: &Core, engine: &str) -> Result<Row> {
    let small = build(core, engine, true)?;
    let (text_bytes, _) = code(&small)?;
    let image = build(core, engine, false)?;
    let mut runner = shell::firmware_cargo(
        &shell::firmware().join("bench"),
        ["run", "--quiet", "--release", "--package", "bench-runner", "--", "--json", core.name],
    );
    runner.arg(format!("--engine={engine}")).arg(format!("--image={}", image.display()));
    let row = counted(&mut runner)?.pop().context("no row")?;
    Ok(Row {
        engine: row.engine,
        core: core.name,
        model: row.model,
        macs: row.macs,
        instructions: row.instructions,
        cycles_model: core.has_cycles.then_some(row.cycles_model),
        text_bytes,
        arena_bytes: row.arena_bytes,
        stack_bytes: row.stack_bytes,
    })
}

/// The image that counts, or the one whose code is measured: for size, with nothing but the engine.
fn build(core: &Core, engine: &str, footprint: bool) -> Result<PathBuf> {
    let (target, cpu, flash, ram) = build_for(core.name).context("no such core")?;
    let workspace = shell::firmware().join("bench/device-peers");
    let scripts = workspace.join("target/memory").join(core.name);
    write_memory(&scripts, core.name, flash, ram)?;
    let package = format!("peer-{engine}");
    let mut command = shell::firmware_cargo(
        &workspace,
        ["build", "--quiet", "--release", "--locked", "--package", &package, "--target", target],
    );
    command.env(
        "RUSTFLAGS",
        format!(
            "-C target-cpu={cpu} -C link-arg=-L{} -C link-arg=--nmagic -C link-arg=-Tlink.x",
            scripts.display()
        ),
    );
    if footprint {
        command.args(["--features", "footprint"]).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
    }
    shell::run(&mut command)?;
    Ok(workspace.join("target").join(target).join("release").join(package))
}

/// The map of the core's machine.
fn write_memory(folder: &Path, core: &str, flash: u32, ram: u32) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let len = if core == "m55" { "512K" } else { "4M" };
    let text = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = {len}\n  RAM : ORIGIN = {ram:#x}, LENGTH = 2M\n}}\n"
    );
    let path = folder.join("memory.x");
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}
