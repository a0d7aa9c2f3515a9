//! The project that `cargo generate` makes of `template/`: every chip's text, and one built and linked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use picovae::boards::Image;
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

const FILES: [&str; 5] =
    ["Cargo.toml", ".cargo/config.toml", "build.rs", "src/main.rs", "README.md"];

/// As much of Liquid as the template has: values, and a `case` over one of them.
fn render(text: &str, values: &BTreeMap<&str, &str>) -> String {
    let mut rest = text.replace("-%}\n", "%}");
    let mut out = String::new();
    while let Some((before, case)) = rest.split_once("{% case ") {
        out.push_str(before);
        let (name, case) = case.split_once(" %}").or_else(|| case.split_once("%}")).unwrap();
        let (branches, behind) = case.split_once("{% endcase %}").unwrap();
        let (branches, otherwise) = branches.split_once("{% else %}").unwrap();
        let chosen = branches.split("{% when \"").skip(1).find_map(|branch| {
            let (value, text) = branch.split_once("\" %}").unwrap();
            (value == values[name.trim()]).then_some(text)
        });
        out.push_str(chosen.unwrap_or(otherwise));
        rest = behind.into();
    }
    out.push_str(&rest);
    for (name, value) in values {
        out = out.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!out.contains("{%") && !out.contains("{{"), "{out}");
    out
}

/// The project for a chip, and its target.
fn generate(chip: &str, folder: &Path) -> String {
    let repository = repository();
    let values = [
        ("project-name", "my-detector"),
        ("chip", chip),
        ("picovae", repository.to_str().unwrap()),
    ];
    for file in FILES {
        let text = std::fs::read_to_string(repository.join("template").join(file)).unwrap();
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, render(&text, &values.into())).unwrap();
    }
    let config = std::fs::read_to_string(folder.join(".cargo/config.toml")).unwrap();
    assert!(config.contains(&format!("--chip {chip}")), "{config}");
    let target = config.split("target = \"").nth(1).and_then(|rest| rest.split('"').next());
    target.unwrap().to_string()
}

#[test]
fn every_chip_has_a_target_and_a_memory_map() {
    let choices =
        std::fs::read_to_string(repository().join("template/cargo-generate.toml")).unwrap();
    let choices = choices.split("choices = [").nth(1).unwrap().split(']').next().unwrap();
    let chips: Vec<&str> = choices.split(", ").map(|chip| chip.trim_matches('"')).collect();
    assert!(chips.len() > 4, "{chips:?}");
    let mut targets = Vec::new();
    for chip in chips {
        let folder = TempDir::new().unwrap();
        targets.push(generate(chip, folder.path()));
        let build = std::fs::read_to_string(folder.path().join("build.rs")).unwrap();
        assert!(build.contains(&format!("\"{chip}\" => ((0x")), "no memory map of {chip}");
    }
    for target in ["thumbv6m-none-eabi", "thumbv7m-none-eabi", "thumbv7em-none-eabihf"] {
        assert!(targets.iter().any(|found| found == target), "{target}: {targets:?}");
    }
}

#[test]
fn the_project_links_around_a_blob() {
    let folder = TempDir::new().unwrap();
    let target = generate("STM32F103RETx", folder.path());
    assert_eq!(target, "thumbv7m-none-eabi");
    let repository = repository();
    let blob = repository.join("models/fan-vae/fan-vae.pvae");
    std::fs::copy(&blob, folder.path().join("model.pvae")).unwrap();
    // The versions that the firmware is tested with.
    let lock = repository.join("firmware/Cargo.lock");
    std::fs::copy(lock, folder.path().join("Cargo.lock")).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Kept from run to run; quick to build rather than small.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    cargo
        .current_dir(folder.path())
        .args(["build", "--quiet", "--release"])
        .env("CARGO_TARGET_DIR", &built)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "PICOVAE_BLOB"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let elf = built.join(&target).join("release/my-detector");
    let image = Image::of_elf(&elf, &std::fs::read(&elf).unwrap()).unwrap();
    // The vector table lies where flash begins: the stack's end of a 64 KB chip, then an entry in flash.
    let first = &image.segments[0];
    let word = |at: usize| u32::from_le_bytes(first.bytes[at..at + 4].try_into().unwrap());
    assert_eq!((first.address, word(0)), (0x0800_0000, 0x2001_0000));
    assert_eq!(Some(word(4) | 1), image.entry.map(|entry| entry | 1));
    // And the blob is in the image, 16-byte aligned.
    let blob = std::fs::read(blob).unwrap();
    let holds = image.segments.iter().any(|segment| {
        let at = segment.bytes.windows(blob.len()).position(|bytes| bytes == blob);
        at.is_some_and(|at| (segment.address as usize + at).is_multiple_of(16))
    });
    assert!(holds);
}
