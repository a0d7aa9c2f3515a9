//! `cargo xtask image-check`: what the core must not bring into an image.
//!
//! In the bare images, which are the core and nothing else, no panic, no
//! soft-float routine and no allocator may be linked at all. In the app's image
//! the logger may panic, but no function of ours may be the one that calls.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::elf::Image;
use crate::firmware::{self, Content};
use crate::qemu::{CORES, Core};
use crate::{recordings, setup, shell};

/// Checks the images for every target; `false` where something forbidden was found.
pub fn run() -> Result<bool> {
    setup::targets()?;
    let blob = blob()?;
    // Any bytes of the right number: they are linked, not run.
    let windows = shell::scratch("firmware-images")?.join("image-check.i16");
    std::fs::write(&windows, [])?;
    let content = Content { name: "image-check", blob: &blob, windows: &windows, count: 0 };
    let mut clean = true;
    // M7 runs the M4's image.
    for core in CORES.iter().filter(|core| core.id != "m7") {
        let bare = firmware::bare(core.target, &blob)?;
        clean &= check_bare(core, &bare, &blob)?;
        clean &= check_bare(core, &bare.with_file_name("picovae-detector"), &blob)?;
        clean &= check_app(core, content)?;
    }
    Ok(clean)
}

/// The smallest blob of models/: every blob links the same code.
pub fn blob() -> Result<PathBuf> {
    let mut blobs = Vec::new();
    for model in recordings::models()? {
        blobs.push((std::fs::metadata(&model.blob)?.len(), model.blob));
    }
    blobs.into_iter().min().map(|(_, blob)| blob).context("no blob in models/")
}

fn check_bare(core: &Core, elf: &Path, blob: &Path) -> Result<bool> {
    let image = Image::read(elf)?;
    let sizes = image.sizes;
    println!(
        "{} {}: text {} rodata {} (blob {}) bss {}",
        elf.file_stem().unwrap_or_default().display(),
        core.target,
        sizes.text,
        sizes.rodata,
        std::fs::metadata(blob)?.len(),
        sizes.bss,
    );
    let mut clean = true;
    for (kind, name) in forbidden(&image) {
        clean = false;
        println!("  {kind}: {name} <- {}", image.callers(name).join(", "));
    }
    if clean {
        println!("  no panic, no soft-float, no allocator");
    }
    Ok(clean)
}

fn check_app(core: &Core, content: Content<'_>) -> Result<bool> {
    let image = Image::read(&firmware::app(core, content)?.elf)?;
    println!("app {}: text {} rodata {}", core.target, image.sizes.text, image.sizes.rodata);
    let mut clean = true;
    for (kind, name) in forbidden(&image) {
        for caller in ours(&image, name) {
            clean = false;
            println!("  {kind}: {name} <- {caller}");
        }
    }
    if clean {
        println!("  none of it called from picovae");
    }
    Ok(clean)
}

/// Functions of ours that call `name`, directly or through functions of `core`
/// (`slice_index_fail` and its like).
///
/// The libraries around us may panic; what they inline stays in functions of
/// theirs, or in `picovae_qemu::recording` and `picovae_qemu::live`, which are the emulator's glue: the latter
/// starts embassy's executor and channel, which panic when they are started twice.
fn ours(image: &Image, name: &str) -> Vec<String> {
    let mut seen = vec![name.to_string()];
    let mut found = Vec::new();
    let mut next = 0;
    while let Some(callee) = seen.get(next).cloned() {
        for caller in image.callers(&callee) {
            let glue = ["picovae_qemu::recording", "picovae_qemu::live"];
            let glue = glue.iter().any(|glue| caller.contains(glue));
            if caller.contains("picovae_") && !glue {
                found.push(caller.to_string());
            } else if caller.starts_with("core::") && !seen.iter().any(|name| name == caller) {
                seen.push(caller.to_string());
            }
        }
        next += 1;
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Forbidden symbols of an image: what kind, and the demangled name.
fn forbidden(image: &Image) -> Vec<(&'static str, &str)> {
    let mut found: Vec<_> = image
        .symbols
        .iter()
        .filter_map(|(raw, name)| Some((kind(raw, name)?, name.as_str())))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What is forbidden about a symbol, if anything.
fn kind(raw: &str, name: &str) -> Option<&'static str> {
    if name.contains("core::panicking") || name.contains("unwrap_failed") {
        Some("panic")
    } else if is_soft_float(raw) || name.contains("compiler_builtins::float") {
        Some("soft-float")
    } else if is_allocator(raw, name) {
        Some("allocator")
    } else {
        None
    }
}

fn is_allocator(raw: &str, name: &str) -> bool {
    let libc = ["malloc", "calloc", "realloc", "free", "_sbrk"].contains(&raw);
    libc || name.contains("__rust_alloc")
        || name.contains("__rust_realloc")
        || name.contains("alloc::alloc::")
}

/// Whether a symbol is a floating-point helper of the run-time ABI or of
/// compiler-rt: `__aeabi_fadd`, `__aeabi_i2d`, `__addsf3`… Integer helpers such as
/// `__aeabi_llsl`, `__aeabi_ldivmod` and `__aeabi_uidiv` are not.
fn is_soft_float(raw: &str) -> bool {
    if let Some(helper) = raw.strip_prefix("__aeabi_") {
        // Run-time ABI for the Arm architecture, section 5.1.2.
        let arithmetic = ["add", "sub", "rsub", "mul", "div", "cmp", "neg"];
        let of_float = helper.strip_prefix(['f', 'd']).is_some_and(|rest| {
            arithmetic.iter().any(|operation| rest.starts_with(operation)) || rest.starts_with('2')
        });
        let compare = helper.starts_with("cfcmp") || helper.starts_with("cdcmp");
        let converts = helper.split_once('2').is_some_and(|(from, to)| {
            ["i", "ui", "l", "ul", "h", "f", "d"].contains(&from) && !to.is_empty()
        });
        return of_float || compare || converts;
    }
    let Some(helper) = raw.strip_prefix("__") else { return false };
    let types = ["sf", "df", "tf", "hf"];
    let operations = [
        "add", "sub", "mul", "div", "neg", "cmp", "eq", "ne", "lt", "le", "gt", "ge", "unord",
        "fix", "float", "extend", "trunc", "powi",
    ];
    operations.iter().any(|operation| {
        helper.strip_prefix(operation).is_some_and(|rest| types.iter().any(|t| rest.contains(t)))
    })
}

#[cfg(test)]
mod tests {
    use super::{is_soft_float, kind};

    #[test]
    fn float_helpers_are_told_from_integer_helpers() {
        for name in [
            "__aeabi_fadd",
            "__aeabi_dmul",
            "__aeabi_f2iz",
            "__aeabi_d2ulz",
            "__aeabi_i2f",
            "__aeabi_ul2d",
            "__aeabi_cfcmple",
            "__aeabi_dcmpeq",
            "__aeabi_f2d",
            "__aeabi_frsub",
            "__addsf3",
            "__muldf3",
            "__fixsfsi",
            "__floatunsidf",
            "__extendsfdf2",
            "__ltsf2",
        ] {
            assert!(is_soft_float(name), "{name}");
        }
        for name in [
            "__aeabi_llsl",
            "__aeabi_lmul",
            "__aeabi_ldivmod",
            "__aeabi_uidiv",
            "__aeabi_idiv",
            "__aeabi_uldivmod",
            "__aeabi_memcpy4",
            "__aeabi_memclr",
            "__aeabi_memset",
            "__aeabi_lasr",
            "__multi3",
            "__udivdi3",
            "__divti3",
            "__ashldi3",
            "__sbss",
            "__stext",
            "__edata",
            "__eh_frame",
            "__nefaults",
        ] {
            assert!(!is_soft_float(name), "{name}");
        }
    }

    #[test]
    fn panics_and_allocators_are_named() {
        assert_eq!(kind("_ZN…", "core::panicking::panic_fmt"), Some("panic"));
        assert_eq!(kind("_RNv…", "core::result::unwrap_failed"), Some("panic"));
        assert_eq!(kind("malloc", "malloc"), Some("allocator"));
        assert_eq!(kind("_ZN…", "picovae_core::kernels::run"), None);
    }
}
