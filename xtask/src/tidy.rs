//! `cargo xtask tidy`: every source file opens with `//!`, and none is too long.

use std::fs;

use anyhow::{Context, Result};

use crate::shell;

/// Lines a source file may have.
const LIMIT: usize = 400;

/// Looks at every tracked Rust file; `false` where one breaks a rule.
pub fn run() -> Result<bool> {
    let mut git = std::process::Command::new("git");
    git.current_dir(shell::root()).args(["ls-files", "-z", "*.rs"]);
    let files = shell::output(&mut git)?;
    let mut tidy = true;
    for file in files.split_terminator('\0') {
        let path = shell::root().join(file);
        if !path.is_file() {
            continue; // deleted, not yet committed
        }
        let text = fs::read_to_string(&path).with_context(|| file.to_string())?;
        let lines = text.lines().count();
        if !text.starts_with("//!") {
            tidy = false;
            println!("{file}: does not open with `//!`: say what the file is and who calls it");
        }
        if lines > LIMIT {
            tidy = false;
            println!("{file}: {lines} lines, more than {LIMIT}: split it");
        }
    }
    Ok(tidy)
}
