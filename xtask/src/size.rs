//! `cargo xtask size`: flash and RAM of the images.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::elf::{Image, Sizes};
use crate::firmware::{self, Content};
use crate::qemu::CORES;
use crate::{boards, image_check, recordings, setup, shell};

/// Command line of the verb.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// Print rows as JSON.
    #[arg(long)]
    json: bool,
    /// The boards' images alone.
    #[arg(long)]
    boards: bool,
}

/// What the app may take on the reference board without its blob: flash, and RAM with the stack.
const APP: (u64, u64) = (40 * 1024, 12 * 1024);
/// The stack that its `memory.x` gives it.
const STACK: u64 = 5 * 1024;

/// Builds every image and prints a row for each; RAM is without the stack.
pub fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    let mut rows = Vec::new();
    let mut add = |image: String, target: &str, read: Image| {
        let Sizes { model, .. } = read.sizes;
        rows.push((image, target.to_string(), read.sizes.flash() - model, read.sizes.ram()));
    };
    let blob = image_check::blob()?;
    if !args.boards {
        emulated(&blob, &mut add)?;
    }
    // A board's blob has a section of its own, which its rows leave out.
    for folder in boards::folders()? {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for (plain, what) in [(false, "every model"), (true, "plain models")] {
            let image = boards::image(&folder, &blob, plain)?;
            let target = image.iter().rev().nth(2).and_then(|part| part.to_str());
            let row = format!("{name}, {what}, no blob");
            add(row, target.unwrap_or_default(), Image::read(&image)?);
        }
    }
    let most = |image: &str| image.starts_with("nucleo-l4r5zi, plain").then_some(APP);
    let missed: Vec<String> = rows
        .iter()
        .filter(|(image, _, flash, ram)| {
            most(image).is_some_and(|(f, r)| *flash > f || ram + STACK > r)
        })
        .map(|(image, _, flash, ram)| format!("{image}: {flash} of flash, {ram} of RAM"))
        .collect();
    anyhow::ensure!(missed.is_empty(), "too large: {}", missed.join("; "));
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(image, target, flash, ram)| {
                json!({"image": image, "target": target, "flash_bytes": flash, "ram_bytes": ram})
            })
            .collect();
        println!("{}", json!(rows));
        return Ok(());
    }
    println!("{:<44} {:<26} {:>11} {:>9}", "image", "target", "flash bytes", "RAM bytes");
    for (image, target, flash, ram) in rows {
        println!("{image:<44} {target:<26} {flash:>11} {ram:>9}");
    }
    Ok(())
}

/// The images of the emulated cores.
fn emulated(blob: &Path, add: &mut impl FnMut(String, &str, Image)) -> Result<()> {
    let mut targets: Vec<_> = CORES.iter().map(|core| core.target).collect();
    targets.dedup();
    for target in targets {
        add("bare".into(), target, Image::read(&firmware::bare(target, blob)?)?);
    }
    let windows = shell::scratch("firmware-images")?.join("size.i16");
    std::fs::write(&windows, [])?;
    for model in recordings::models()? {
        let content = Content { name: &model.name, blob: &model.blob, windows: &windows, count: 0 };
        // M7 runs the M4's image.
        for core in CORES.iter().filter(|core| core.id != "m7") {
            let built = firmware::app(core, content)?;
            let name = format!("{} on {}", model.name, built.machine);
            add(name, core.target, Image::read(&built.elf)?);
        }
    }
    Ok(())
}
