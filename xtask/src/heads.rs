//! Known states of a machine: blobs with every kind of head, and what emulated cores name beside what the host does.
//!
//! Part of `cargo xtask parity`; `cargo xtask bench detect` judges how often they are right.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::cli::Cli;
use crate::firmware::{self, Content};
use crate::qemu::CORES;
use crate::recordings::Model;
use crate::shell;
use crate::streams::{self, Lessons};

/// The kinds, and the options of `picovae heads` for them.
pub const KINDS: [(&str, &[&str]); 3] = [
    ("linear discriminant", &["--linear"]),
    ("diagonal Gaussians", &[]),
    ("k-means, 4 centers a state", &["--k-means", "4"]),
];

/// Cores that are compared: one that multiplies 32 bits at most, and one with the DSP instructions. The arithmetic of the
/// heads is the same Rust on all of them.
const ON: [&str; 2] = ["m0", "m4"];

/// What is read of `picovae heads --json`.
#[derive(Debug, Deserialize)]
pub struct Named {
    /// Share of the windows judged that are named rightly.
    pub accuracy: f64,
    /// Bytes of the blob with them.
    pub blob_bytes: u64,
}

/// Gives a blob heads of one kind, fitted to recordings of the states.
pub fn add<'s>(
    cli: &Cli,
    (blob, out): (&Path, &Path),
    states: impl IntoIterator<Item = (&'s str, &'s Path)>,
    options: &[&str],
) -> Result<Named> {
    let mut arguments: Vec<String> = vec!["heads".into(), blob.display().to_string()];
    for (name, recording) in states {
        arguments.extend(["--state".into(), format!("{name}={}", recording.display())]);
    }
    arguments.extend(["-o".into(), out.display().to_string()]);
    arguments.extend(options.iter().map(ToString::to_string));
    cli.json(arguments)
}

/// Rows of every state as a stream through every kind of head: events that the host names, and whether the cores
/// name the same.
pub fn compare(
    model: &Model,
    states: &[(&str, &Path)],
    rows: &str,
    rate_hz: u64,
    cli: &Cli,
) -> Result<(usize, bool)> {
    let folder = shell::scratch("parity")?;
    let nothing = folder.join("heads.i16");
    std::fs::write(&nothing, [])?;
    let (mut named, mut equal) = (0, true);
    for (at, (kind, options)) in KINDS.iter().enumerate() {
        let label = format!("{}-heads-{at}", model.name);
        let blob: PathBuf = folder.join(format!("{label}.pvae"));
        add(cli, (&model.blob, &blob), states.iter().copied(), options)?;
        let mut hosts = Vec::new();
        for (state, recording) in states {
            let name = format!("{label}-{state}");
            let host = streams::host(&name, &blob, recording, Some(rows), Lessons::default(), cli)?;
            hosts.push((name, host));
        }
        let of_kind: usize = hosts.iter().map(|(_, host)| host.named()).sum();
        if of_kind == 0 {
            bail!("{}: {kind}: no event of rows {rows} names a state", model.name);
        }
        named += of_kind;
        for core in CORES.iter().filter(|core| ON.contains(&core.id)) {
            let content = Content { name: &label, blob: &blob, windows: &nothing, count: 0 };
            let image = firmware::app(core, content)?;
            for (name, host) in &hosts {
                equal &= host.compare(name, &image, core, rate_hz)?.is_some();
            }
        }
    }
    Ok((named, equal))
}
