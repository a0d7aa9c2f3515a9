//! `cargo xtask size`: flash and RAM of the images.

use anyhow::Result;
use serde_json::json;

use crate::elf::Image;
use crate::firmware::{self, Content};
use crate::qemu::CORES;
use crate::{image_check, recordings, setup, shell};

/// Command line of the verb.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Args {
    /// Print rows as JSON.
    #[arg(long)]
    json: bool,
}

/// Builds every image and prints a row for each; RAM is without the stack.
pub fn run(args: &Args) -> Result<()> {
    setup::targets()?;
    let mut rows = Vec::new();
    let mut add = |image: String, target: &str, read: Image| {
        rows.push((image, target.to_string(), read.sizes.flash(), read.sizes.ram()));
    };
    let blob = image_check::blob()?;
    let mut targets: Vec<_> = CORES.iter().map(|core| core.target).collect();
    targets.dedup();
    for target in targets {
        add("bare".into(), target, Image::read(&firmware::bare(target, &blob)?)?);
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
    println!("{:<32} {:<26} {:>11} {:>9}", "image", "target", "flash bytes", "RAM bytes");
    for (image, target, flash, ram) in rows {
        println!("{image:<32} {target:<26} {flash:>11} {ram:>9}");
    }
    Ok(())
}
