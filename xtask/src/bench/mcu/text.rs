//! Bytes of code that an image links, and of the assembly in it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol};

use super::Core;
use crate::shell;

/// Code of an image that does nothing but score a window.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub dense: u64,
    pub convolution: u64,
    /// Dense, with the gate: reading a blob and all its checks.
    pub gated: u64,
    /// The assembly alone.
    pub kernels: u64,
}

/// Links the footprint image three times.
pub fn text(core: &Core) -> Result<Text> {
    let bench = shell::firmware().join("bench");
    let link = |features: &[&str]| -> Result<(u64, u64)> {
        let mut build = shell::firmware_cargo(
            &bench,
            ["build", "--quiet", "--release", "--package", "bench-image", "--bin", "footprint"],
        );
        build.args(["--target", core.target]).args(features).env("BENCH_CORE", core.name);
        // Rust for size, as one would build it where flash is short; the assembly is the same.
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
        if core.kernels.is_empty() {
            build.env_remove("PICOVAE_KERNELS");
        } else {
            build.env("PICOVAE_KERNELS", core.kernels);
        }
        shell::run(build.stdout(Stdio::null()))?;
        code(&bench.join("target").join(core.target).join("release/footprint"))
    };
    let (dense, kernels) = link(&["--no-default-features"])?;
    let (convolution, _) = link(&["--no-default-features", "--features", "convolution"])?;
    let (gated, _) = link(&["--no-default-features", "--features", "gate"])?;
    Ok(Text { dense, convolution, gated, kernels })
}

/// Bytes of executable sections, and of the assembly in them.
pub fn code(elf: &Path) -> Result<(u64, u64)> {
    let bytes = std::fs::read(elf).with_context(|| format!("reading {}", elf.display()))?;
    let file = object::File::parse(&*bytes)?;
    let text = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    let size = text.map(|section| section.size()).sum();
    // Assembly states no sizes: a symbol of it reaches to the next one of any kind.
    let mut symbols: Vec<(u64, bool)> = file
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition())
        .map(|symbol| {
            (symbol.address() & !1, symbol.name().is_ok_and(|name| name.starts_with("picovae_")))
        })
        .collect();
    symbols.sort_unstable();
    let spans = symbols.iter().zip(symbols.iter().skip(1));
    let kernels = spans.filter(|((_, own), _)| *own).map(|((start, _), (end, _))| end - start);
    Ok((size, kernels.sum()))
}
