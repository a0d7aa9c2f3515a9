//! Known faults by name: heads of every kind, fitted to one part of the recordings and judged by another.

use anyhow::Result;
use serde::Deserialize;

use super::Row;
use crate::cli::Cli;

/// Recordings of known states, and their parts.
#[derive(Clone, Debug)]
pub struct States {
    /// Name and recording.
    pub recordings: Vec<(&'static str, String)>,
    /// Rows fitted to.
    pub rows: &'static str,
    /// Rows judged.
    pub test_rows: &'static str,
}

/// What is read of `picovae heads --json`.
#[derive(Debug, Deserialize)]
struct Named {
    accuracy: f64,
    blob_bytes: u64,
}

/// The kinds; the last one stays in the blob.
const KINDS: [(&str, &[&str]); 3] = [
    ("linear discriminant", &["--linear"]),
    ("diagonal Gaussians", &[]),
    ("k-means, 4 centers a state", &["--k-means", "4"]),
];

/// A row a kind; the blob is given the heads, so that the device names what it sees.
pub fn rows(dataset: &str, blob: &str, states: &States, cli: &Cli) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let plain = std::fs::read(blob)?;
    for (kind, options) in KINDS {
        // Each by itself: an earlier kind is not to answer.
        std::fs::write(blob, &plain)?;
        let mut arguments = vec!["heads".to_string(), blob.into(), "-o".into(), blob.into()];
        for (name, recording) in &states.recordings {
            arguments.extend(["--state".into(), format!("{name}={recording}")]);
        }
        arguments
            .extend(["--rows", states.rows, "--test-rows", states.test_rows].map(String::from));
        arguments.extend(options.iter().map(ToString::to_string));
        let named: Named = cli.json(arguments)?;
        rows.push(Row {
            dataset: dataset.into(),
            method: kind.into(),
            blob_bytes: Some(named.blob_bytes),
            accuracy: Some(named.accuracy),
            ..Row::default()
        });
    }
    Ok(rows)
}
