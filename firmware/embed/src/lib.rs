//! For build scripts: puts a blob, and windows to try it on, into a firmware image.
//!
//! The blob is parsed while the firmware builds, by the code that parses it on
//! the device: a damaged blob fails the build, and the buffers can be statics
//! of exactly the size it needs. A firmware crate calls [`model`] in `build.rs`
//! and includes what that writes:
//!
//! ```ignore
//! // build.rs
//! fn main() { picovae_embed::model("../../models/fan-vae/fan-vae.pvae") }
//! // main.rs
//! mod model { include!(concat!(env!("OUT_DIR"), "/model.rs")); }
//! ```

use std::path::{Path, PathBuf};
use std::{env, fs};

use picovae_core::Model;
use picovae_core::stream::Recalibration;

/// Names the blob to embed in place of the crate's default one.
pub const BLOB_VARIABLE: &str = "PICOVAE_BLOB";
/// Names a file of raw windows to embed: little-endian `i16`, back to back.
pub const WINDOWS_VARIABLE: &str = "PICOVAE_WINDOWS";

/// Writes `$OUT_DIR/model.rs` for the blob that `PICOVAE_BLOB` names, else for
/// `default` (a path seen from the crate's folder).
///
/// It holds the statics `BLOB` and `WINDOWS` and the constants `ARENA_LEN`,
/// `INPUT_LEN`, `CHANNELS` and `LEARNING_LEN`. Ends the build with a message if the blob is
/// missing or damaged, or if `PICOVAE_WINDOWS` is not whole windows.
pub fn model(default: &str) {
    finish(try_model(default, InFlash::Constant));
}

/// As [`model`], the blob in a section of its own, `.picovae_model`, in place of `BLOB`.
///
/// A function `blob` gives what that section holds when the firmware starts: a debugger may have put another
/// blob there. `memory.x` places the section, and names its bounds `_picovae_model` and `_picovae_model_end`.
pub fn model_section(default: &str) {
    finish(try_model(default, InFlash::Section));
}

/// How a blob lies in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFlash {
    /// Among the other constants.
    Constant,
    /// Where `memory.x` says.
    Section,
}

impl InFlash {
    /// Rust that puts the blob there.
    fn rust(self, path: &Path, len: usize) -> String {
        match self {
            Self::Constant => format!(
                "/// The blob, in flash.\n\
                 pub static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!({path:?}));\n"
            ),
            Self::Section => format!(
                "#[used]\n\
                 #[unsafe(link_section = \".picovae_model\")]\n\
                 static LINKED: Aligned<[u8; {len}]> = Aligned(*include_bytes!({path:?}));\n{READ}"
            ),
        }
    }
}

/// Reads the section at run time: what is there may not be what was linked.
const READ: &str = r#"
/// The blob that lies in the section now; empty where its length cannot be one.
pub fn blob() -> &'static [u8] {
    unsafe extern "C" {
        static _picovae_model: u8;
        static _picovae_model_end: u8;
    }
    let start = &raw const _picovae_model;
    let room = (&raw const _picovae_model_end).addr() - start.addr();
    // SAFETY: memory.x gives these bounds of flash, which is mapped, larger than a blob's
    // header, and not written while the firmware runs.
    let region = unsafe { core::slice::from_raw_parts(start, room) };
    let len = region.get(8..12).and_then(|bytes| bytes.first_chunk()).copied();
    len.and_then(|len| region.get(..u32::from_le_bytes(len) as usize)).unwrap_or(&[])
}
"#;

fn finish(result: Result<(), String>) {
    if let Err(message) = result {
        // A build script's only way to fail is its exit code; cargo shows the text.
        println!("cargo::error={message}");
    }
}

fn try_model(default: &str, place: InFlash) -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={BLOB_VARIABLE}");
    println!("cargo::rerun-if-env-changed={WINDOWS_VARIABLE}");
    let blob_path = match variable(BLOB_VARIABLE) {
        Some(path) => path,
        None => manifest_dir()?.join(default),
    };
    let blob = read(&blob_path).map_err(|error| {
        format!("{error}; set {BLOB_VARIABLE} to a blob (`picovae quantize` writes one)")
    })?;
    let words = aligned(&blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])
        .map_err(|error| format!("{}: {error}", blob_path.display()))?;
    let input_len = model.window_samples();

    let windows = match variable(WINDOWS_VARIABLE) {
        Some(path) => {
            let len = read(&path)?.len();
            if len % (2 * input_len) != 0 {
                return Err(format!(
                    "{}: {len} bytes are not whole windows of {input_len} samples of 2 bytes; \
                     write it with `picovae simulate MODEL RECORDING --raw FILE`",
                    path.display()
                ));
            }
            format!("*include_bytes!({:?})", absolute(&path)?)
        }
        None => "[]".into(),
    };
    let text = format!(
        "// Written by picovae-embed.\n\
         use picovae_core::arena::Aligned;\n\
         {blob}\
         /// Raw windows to try it on, little-endian i16; may be empty.\n\
         pub static WINDOWS: &Aligned<[u8]> = &Aligned({windows});\n\
         /// Bytes of arena.\n\
         pub const ARENA_LEN: usize = {arena_len};\n\
         /// Samples a window.\n\
         pub const INPUT_LEN: usize = {input_len};\n\
         /// Samples a frame.\n\
         #[allow(dead_code)]\n\
         pub const CHANNELS: usize = {channels};\n\
         /// Words of memory to learn in.\n\
         #[allow(dead_code)]\n\
         pub const LEARNING_LEN: usize = {learning_len};\n",
        blob = place.rust(&absolute(&blob_path)?, blob.len()),
        arena_len = model.arena_len(),
        channels = model.frontend().channels,
        learning_len = Recalibration::memory_len(model.frontend().groups()),
    );
    write("model.rs", &text)
}

/// Writes `memory.x` to `$OUT_DIR` and lets the linker find it.
///
/// `flash` and `ram` are origin and length.
pub fn memory(flash: (u32, u32), ram: (u32, u32)) {
    // One region a line: tools such as flip-link read the file by lines.
    let text = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {:#010x}, LENGTH = {}\n  RAM : ORIGIN = {:#010x}, LENGTH = {}\n}}\n",
        flash.0, flash.1, ram.0, ram.1
    );
    match write("memory.x", &text) {
        Ok(()) => println!("cargo::rustc-link-search={}", env::var("OUT_DIR").unwrap_or_default()),
        Err(message) => println!("cargo::error={message}"),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn manifest_dir() -> Result<PathBuf, String> {
    variable("CARGO_MANIFEST_DIR").ok_or_else(|| "run this from a build script".into())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(name: &str, text: &str) -> Result<(), String> {
    let out = variable("OUT_DIR").ok_or("run this from a build script")?.join(name);
    fs::write(&out, text).map_err(|error| format!("{}: {error}", out.display()))
}

/// A copy that starts at a 16-byte boundary, as `Model::parse` asks.
fn aligned(bytes: &[u8]) -> Vec<u128> {
    let mut words = vec![0u128; bytes.len().div_ceil(16)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}
