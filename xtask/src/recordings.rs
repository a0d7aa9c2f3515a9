//! Which recording each model is run on: `models.toml`, read here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cli::Cli;
use crate::shell;

/// A model's entry in `models.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Windows to run, at least, by default.
    pub windows: u64,
    /// Real data, below the data folder.
    pub recordings: Vec<PathBuf>,
    /// Whether `picovae synth` may stand in.
    #[serde(default)]
    pub synthetic: bool,
}

/// A model of this repository with its blob.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name: the folder's.
    pub name: String,
    /// The blob.
    pub blob: PathBuf,
}

/// Every `models/<name>/<name>.pvae`, by name.
pub fn models() -> Result<Vec<Model>> {
    let folder = shell::root().join("models");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let blob = path.join(format!("{name}.pvae"));
        if blob.is_file() {
            found.push(Model { name: name.into(), blob });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The table of `models.toml`.
pub fn table() -> Result<BTreeMap<String, Entry>> {
    toml::from_str(include_str!("../models.toml")).context("reading xtask/models.toml")
}

/// The recordings to run a model on, or `None` where there is no data; says so on standard error.
pub fn resolve(name: &str, entry: &Entry, windows: u64, cli: &Cli) -> Result<Option<Vec<PathBuf>>> {
    let data = shell::data();
    let real: Vec<_> = entry.recordings.iter().map(|path| data.join(path)).collect();
    if let Some(missing) = real.iter().find(|path| !path.is_file()) {
        let what = if entry.synthetic { "SYNTHETIC WINDOWS instead" } else { "SKIPPED" };
        eprintln!("{name}: NO REAL DATA ({} is missing): {what}", missing.display());
        if !entry.synthetic {
            return Ok(None);
        }
        let path = shell::scratch("parity")?.join(format!("{name}-synthetic.npy"));
        let count = windows.to_string();
        let path_text = path.display().to_string();
        cli.run(["synth", &path_text, "--windows", &count, "--seed", "1", "--fault", "none"])?;
        return Ok(Some(vec![path]));
    }
    Ok(Some(real))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_well_formed() {
        let table = super::table().expect("models.toml");
        assert!(table.values().all(|entry| entry.windows > 0 && !entry.recordings.is_empty()));
    }
}
