//! Which recording each model is run on: `models.toml`, read here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// Rows (first axis) of the first two recordings that are streamed, an event log on every core; 0 for none.
    #[serde(default)]
    pub stream_rows: u64,
    /// What the recordings show, one name each: known states that the model is given heads for. None: no heads.
    #[serde(default)]
    pub states: Vec<String>,
    /// Whether `picovae synth` may stand in.
    #[serde(default)]
    pub synthetic: bool,
    /// A file of another tool, to be imported first.
    pub import: Option<PathBuf>,
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
    let real: Vec<_> = entry.recordings.iter().map(|path| place(path)).collect();
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

/// Imports an entry's file, quantizing float weights on `recordings`, or `None` where the
/// file is missing; says so on standard error.
pub fn import(name: &str, file: &Path, recordings: &[PathBuf], cli: &Cli) -> Result<Option<Model>> {
    let file = place(file);
    if !file.is_file() {
        eprintln!("{name}: NO MODEL ({} is missing): SKIPPED", file.display());
        return Ok(None);
    }
    let blob = shell::scratch("parity")?.join(format!("{name}.pvae"));
    let inspected: Inspected = cli.json(["inspect".as_ref(), file.as_os_str()])?;
    let mut words: Vec<PathBuf> = match inspected.kind.as_str() {
        "float" => vec!["quantize".into(), file],
        _ => vec!["import".into(), file],
    };
    if inspected.kind == "float" {
        words.extend(recordings.iter().flat_map(|data| ["--calibrate".into(), data.clone()]));
    }
    cli.run(words.into_iter().chain(["-o".into(), blob.clone()]))?;
    Ok(Some(Model { name: name.into(), blob }))
}

/// What is read of `picovae inspect --json`.
#[derive(Debug, Deserialize)]
struct Inspected {
    kind: String,
}

/// A file of the repository, else one below the data folder.
fn place(path: &Path) -> PathBuf {
    let own = shell::root().join(path);
    if own.is_file() { own } else { shell::data().join(path) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_well_formed() {
        let table = super::table().expect("models.toml");
        assert!(table.values().all(|entry| entry.windows > 0 && !entry.recordings.is_empty()));
    }
}
