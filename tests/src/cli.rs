//! The built `picovae` command.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Path of the command, built once in this test run's profile.
pub fn picovae() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--package", "picovae", "--bin", "picovae"])
            .args(["--message-format", "json-render-diagnostics"])
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", stderr(&output));
        let messages = String::from_utf8_lossy(&output.stdout);
        // The last message that names an executable; no JSON parser for one field.
        let line = messages.lines().rev().find(|line| line.contains("\"executable\":\""));
        let path = line.and_then(|line| line.split("\"executable\":\"").nth(1)?.split('"').next());
        PathBuf::from(path.expect("cargo names the executable"))
    })
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
