//! Puts the descriptions of all boards of the checkout, `firmware/boards/*/board.toml`, into the library, so that an
//! installed `picovae` knows them without it.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let boards = manifest.join("../firmware/boards");
    let mut text = String::from(
        "/// Folder and `board.toml` of every board.\nstatic BUILT_IN: &[(&str, &str)] = &[\n",
    );
    for folder in folders(&boards) {
        let file = boards.join(&folder).join("board.toml");
        // A folder's own time tells of files made in it, and not of what is built below it.
        println!("cargo::rerun-if-changed={}", file.display());
        if let Ok(path) = fs::canonicalize(&file) {
            text.push_str(&format!("    ({folder:?}, include_str!({path:?})),\n"));
        }
    }
    text.push_str("];\n");
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("boards.rs"), text)
}

/// Names of the boards' folders, in order; none where the crate stands alone.
fn folders(boards: &Path) -> Vec<String> {
    let entries = fs::read_dir(boards).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("board.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
