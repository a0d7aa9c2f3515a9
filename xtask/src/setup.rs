//! Installs what a fresh machine lacks: compilation targets and QEMU.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Every target that images are built for.
const TARGETS: [&str; 6] = [
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv7m-none-eabi",
    "thumbv8m.main-none-eabi",
    "thumbv8m.main-none-eabihf",
];

/// Targets, then QEMU.
pub fn everything() -> Result<()> {
    targets()?;
    qemu()
}

/// Adds the rustup targets that are missing.
pub fn targets() -> Result<()> {
    let line = format!("rustup target add {}", TARGETS.join(" "));
    let listed = Command::new("rustup")
        .current_dir(shell::root())
        .args(["target", "list", "--installed"])
        .output()
        .with_context(|| format!("rustup is missing; install it, then run: {line}"))?;
    let installed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let missing: Vec<_> =
        TARGETS.iter().filter(|target| !installed.lines().any(|line| line == **target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.current_dir(shell::root()).args(["target", "add"]).args(missing);
    shell::run(&mut add).with_context(|| format!("compilation targets are missing; run: {line}"))
}

/// Installs `qemu-system-arm` if it is missing and apt may be used.
pub fn qemu() -> Result<()> {
    const LINE: &str = "apt-get update && apt-get install -y qemu-system-arm";
    if answers("qemu-system-arm", "--version") {
        return Ok(());
    }
    if !is_root() || !answers("apt-get", "--version") {
        bail!("qemu-system-arm is missing; run: sudo sh -c '{LINE}' (or your system's package)");
    }
    eprintln!("installing qemu-system-arm: {LINE}");
    let mut apt = Command::new("sh");
    apt.args(["-c", LINE]).env("DEBIAN_FRONTEND", "noninteractive");
    // Standard output may be a report's: apt's chatter goes to standard error.
    apt.stdout(std::io::stderr());
    shell::run(&mut apt)?;
    if answers("qemu-system-arm", "--version") {
        return Ok(());
    }
    bail!("qemu-system-arm is still missing after: {LINE}")
}

fn answers(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
