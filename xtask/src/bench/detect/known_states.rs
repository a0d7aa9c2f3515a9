//! Known faults by name: heads of every kind, fitted to one part of the recordings and judged by another.

use std::path::Path;

use anyhow::Result;

use super::Row;
use crate::cli::Cli;
use crate::heads;

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

/// A row a kind; the blob is given the last kind's heads, so that the device names what it sees.
pub fn rows(dataset: &str, blob: &str, states: &States, cli: &Cli) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let blob = Path::new(blob);
    let plain = std::fs::read(blob)?;
    for (kind, options) in heads::KINDS {
        // Each by itself: an earlier kind is not to answer.
        std::fs::write(blob, &plain)?;
        let parts = ["--rows", states.rows, "--test-rows", states.test_rows];
        let options = [&parts, options].concat();
        let recordings = states.recordings.iter().map(|(name, path)| (*name, Path::new(path)));
        let named = heads::add(cli, (blob, blob), recordings, &options)?;
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
