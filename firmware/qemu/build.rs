//! The machine's memory, the linker's arguments, and the blob.

use std::env;

const K: u32 = 1024;

fn main() {
    println!("cargo::rerun-if-env-changed=PICOVAE_MACHINE");
    let target = env::var("TARGET").unwrap_or_default();
    let default = match target.as_str() {
        "thumbv6m-none-eabi" => "microbit",
        "thumbv7m-none-eabi" => "mps2-an385",
        t if t.starts_with("thumbv8m") => "mps2-an505",
        _ => "mps2-an386",
    };
    let machine = env::var("PICOVAE_MACHINE").unwrap_or_else(|_| default.into());
    // RAM is what a board of the kind has, not what the emulator would give:
    // so a link that passes shows that the model fits.
    let (flash, ram, clock_hz) = match machine.as_str() {
        "microbit" => ((0x0000_0000, 256 * K), (0x2000_0000, 16 * K), 16_000_000),
        "mps2-an385" | "mps2-an386" | "mps2-an500" => {
            ((0x0000_0000, 4096 * K), (0x2000_0000, 256 * K), 25_000_000)
        }
        "mps2-an505" => ((0x1000_0000, 4096 * K), (0x3800_0000, 256 * K), 20_000_000),
        other => {
            println!(
                "cargo::error=PICOVAE_MACHINE={other} is not known; use microbit, mps2-an385, \
                 mps2-an386, mps2-an500 or mps2-an505"
            );
            return;
        }
    };
    picovae_embed::memory(flash, ram);
    let text = format!("/// Counts of SysTick a second.\npub const CLOCK_HZ: u32 = {clock_hz};\n");
    let out = env::var("OUT_DIR").unwrap_or_default();
    if let Err(error) = std::fs::write(format!("{out}/machine.rs"), text) {
        println!("cargo::error={out}/machine.rs: {error}");
    }
    println!("cargo::rerun-if-changed=stack.x");
    println!("cargo::rustc-link-search={}", env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x", "-Tstack.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    picovae_embed::model("../../models/fan-vae/fan-vae.pvae");
}
