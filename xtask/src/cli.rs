//! Calls the `picovae` command line, as a user would.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::shell;

/// The built binary.
#[derive(Debug)]
pub struct Cli {
    binary: PathBuf,
}

impl Cli {
    /// Builds it, if need be, and finds it wherever cargo puts it.
    pub fn build() -> Result<Self> {
        let mut build = shell::cargo(["build", "--quiet", "--package", "picovae"]);
        build.args(["--bin", "picovae", "--message-format", "json-render-diagnostics"]);
        let messages = shell::output(&mut build)?;
        let binary = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .next_back()
            .context("cargo named no executable for picovae")?;
        Ok(Self { binary })
    }

    /// Runs a verb; its output goes to standard error.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<()> {
        shell::output(&mut self.command(arguments)).map(|text| eprint!("{text}"))
    }

    /// As [`run`](Self::run), what cargo builds for it below `target`.
    pub fn run_in<S: AsRef<OsStr>>(
        &self,
        target: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<()> {
        let mut command = self.command(arguments);
        command.env("CARGO_TARGET_DIR", target);
        shell::output(&mut command).map(|text| eprint!("{text}"))
    }

    /// Runs a verb with `--json` and reads what it prints.
    pub fn json<T: DeserializeOwned, S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<T> {
        let mut command = self.command(arguments);
        command.arg("--json");
        let text = shell::output(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", shell::spell(&command)))
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.binary);
        command.current_dir(shell::root()).args(arguments);
        command
    }
}
