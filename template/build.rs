//! Memory map, linker's arguments, and the blob.

const K: u32 = 1024;

fn main() {
    // Origin and length of flash and RAM, from the chip's data sheet.
    let (flash, ram) = match "{{chip}}" {
        "nRF52840_xxAA" => ((0x0000_0000, 1024 * K), (0x2000_0000, 256 * K)),
        "nRF9160_xxAA" => ((0x0000_0000, 1024 * K), (0x2000_0000, 256 * K)),
        "STM32F103RETx" => ((0x0800_0000, 512 * K), (0x2000_0000, 64 * K)),
        "STM32G0B1RETx" => ((0x0800_0000, 512 * K), (0x2000_0000, 144 * K)),
        "STM32H743ZITx" => ((0x0800_0000, 2048 * K), (0x2000_0000, 128 * K)),
        "STM32L4R5ZITx" => ((0x0800_0000, 2048 * K), (0x2000_0000, 192 * K)),
        other => panic!("the memory map of {other} is not here: add it to build.rs"),
    };
    picovae_embed::memory(flash, ram);
    for argument in ["--nmagic", "-Tlink.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Or the one that PICOVAE_BLOB names. It is checked here, by the code that checks it on the chip.
    picovae_embed::model("model.pvae");
}
