//! `cargo xtask bench host`: windows a second on this machine, one thread, beside other engines.
//!
//! The autoencoder of issue 3 on the x86 and the portable kernels, on tract (f32, its own workspace, built by this
//! command only) and on LiteRT's XNNPACK (int8, a Python environment below `target/`). A peer that cannot be
//! had is skipped, loudly, and nothing is required against it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::shell;

/// Arguments.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Print a JSON row a line instead of a table.
    #[arg(long)]
    json: bool,
}

/// Windows scored in one go.
const BATCHES: [u32; 2] = [1, 196];
/// Peer, batch, and how many times its rate is required.
const REQUIRED: [(&str, u32, f64); 3] =
    [("xnnpack", 1, 1.2), ("xnnpack", 196, 1.2), ("tract", 1, 5.0)];

/// A row of the report, as the programs print it.
#[derive(Debug, Deserialize, Serialize)]
struct Row {
    engine: String,
    model: String,
    batch: u32,
    windows_per_second: f64,
}

/// Runs it; `false` where a requirement is missed.
pub fn run(args: &Args) -> Result<bool> {
    let mut rows = own("")?;
    rows.extend(own("portable")?);
    for (peer, measured) in [("tract", tract()), ("xnnpack", xnnpack())] {
        match measured {
            Ok(measured) => rows.extend(measured),
            Err(error) => eprintln!("SKIPPED {peer}: {error:#}"),
        }
    }
    if args.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        println!("| engine | model | batch | windows a second |\n|---|---|---|---|");
        for Row { engine, model, batch, windows_per_second } in &rows {
            println!("| {engine} | {model} | {batch} | {windows_per_second:.0} |");
        }
    }
    let missed = misses(&rows);
    for miss in &missed {
        eprintln!("MISSED {miss}");
    }
    Ok(missed.is_empty())
}

fn misses(rows: &[Row]) -> Vec<String> {
    let rate = |engine: &str, batch: u32| {
        let row = rows.iter().find(|row| row.engine == engine && row.batch == batch);
        row.map(|row| row.windows_per_second)
    };
    REQUIRED
        .iter()
        .filter_map(|&(peer, batch, times)| {
            let ratio = rate("picovae", batch)? / rate(peer, batch)?;
            (ratio < times).then(|| {
                format!("batch {batch}: {ratio:.2} times {peer}, at least {times} required")
            })
        })
        .collect()
}

/// The kernels of `backend`, or the machine's own.
fn own(backend: &str) -> Result<Vec<Row>> {
    let mut command = shell::firmware_cargo(
        &shell::firmware().join("bench"),
        ["run", "--quiet", "--release", "--package", "bench-gen", "--example", "host", "--"],
    );
    if backend.is_empty() {
        command.env_remove("PICOVAE_KERNELS");
    } else {
        command.env("PICOVAE_KERNELS", backend);
    }
    measure(&mut command)
}

fn tract() -> Result<Vec<Row>> {
    let peers = shell::firmware().join("bench/peers");
    measure(&mut shell::firmware_cargo(&peers, ["run", "--quiet", "--release", "--"]))
}

fn xnnpack() -> Result<Vec<Row>> {
    let environment = shell::root().join("target/litert");
    let python = environment.join("bin/python");
    let script = shell::firmware().join("bench/peers/litert.py");
    if !has_litert(&python) {
        let mut create = Command::new("python3");
        shell::output(create.args(["-m", "venv"]).arg(&environment))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "ai-edge-litert", "flatbuffers"]);
        shell::output(&mut install).context("no LiteRT from pip")?;
    }
    measure(Command::new(&python).arg(script))
}

fn has_litert(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import ai_edge_litert, flatbuffers"]).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn measure(command: &mut Command) -> Result<Vec<Row>> {
    let text = shell::output(command.args(BATCHES.map(|batch| batch.to_string())))?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}")))
        .collect()
}
