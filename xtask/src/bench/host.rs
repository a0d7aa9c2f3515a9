//! `cargo xtask bench host`: windows a second on this machine, one thread, beside other engines.
//!
//! The autoencoder of issue 3, its pruned and 4-bit forms and some convolutional networks as `simulate` runs them
//! (front-end, network and score) on the x86 and the portable kernels; the autoencoder's network alone on tract (f32, its own workspace, built by this command only) and on LiteRT's XNNPACK
//! (int8, a Python environment below `target/`). The machine may be busy with other things, so the engines take
//! turns: rates are medians over the rounds, ratios medians of those within each round. A peer that cannot be had
//! is skipped, loudly, and nothing is required against it.

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

/// The model that peers run too.
const MODEL: &str = "ad";
/// Windows handed over in one go.
const BATCHES: [u32; 2] = [1, 196];
/// Turns of each engine.
const ROUNDS: usize = 7;
/// Length of a turn for each batch.
const MILLISECONDS: u32 = 500;
/// Peer, batch, and how many times its rate is required.
const REQUIRED: [(&str, u32, f64); 3] =
    [("xnnpack", 1, 1.2), ("xnnpack", 196, 1.2), ("tract", 1, 5.0)];

/// A row of the report, as the programs print it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Row {
    engine: String,
    model: String,
    batch: u32,
    windows_per_second: f64,
}

/// Runs it; `false` where a requirement is missed.
pub fn run(args: &Args) -> Result<bool> {
    let mut engines = vec![own(""), own("portable")];
    for (peer, command) in [("tract", Ok(tract())), ("xnnpack", xnnpack())] {
        // A first turn builds what has to be built.
        match command.and_then(|mut command| measure(&mut command, 1).map(|_| command)) {
            Ok(command) => engines.push(command),
            Err(error) => eprintln!("SKIPPED {peer}: {error:#}"),
        }
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut rows = Vec::new();
        for engine in &mut engines {
            rows.extend(measure(engine, MILLISECONDS)?);
        }
        rounds.push(rows);
    }
    let rows = medians(&rounds);
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
    let mut all = true;
    for (peer, batch, times) in REQUIRED {
        if let Some(ratio) = ratio(&rounds, peer, batch) {
            all &= ratio >= times;
            let verdict = if ratio < times { "MISSED" } else { "met" };
            eprintln!("{verdict}: batch {batch}: {ratio:.2} times {peer}, {times} required");
        }
    }
    Ok(all)
}

/// The rows of the first round with the median rate of all.
fn medians(rounds: &[Vec<Row>]) -> Vec<Row> {
    let of = |row: &Row| {
        let rates = rounds.iter().filter_map(|rows| rate(rows, &row.engine, &row.model, row.batch));
        let rates = rates.collect();
        Row { windows_per_second: median(rates).unwrap_or(row.windows_per_second), ..row.clone() }
    };
    rounds.first().map(|rows| rows.iter().map(of).collect()).unwrap_or_default()
}

/// How many times the peer's rate ours is: the median of the rounds.
fn ratio(rounds: &[Vec<Row>], peer: &str, batch: u32) -> Option<f64> {
    let ratios = rounds.iter().filter_map(|rows| {
        Some(rate(rows, "picovae", MODEL, batch)? / rate(rows, peer, MODEL, batch)?)
    });
    median(ratios.collect())
}

fn rate(rows: &[Row], engine: &str, model: &str, batch: u32) -> Option<f64> {
    let of = |row: &&Row| row.engine == engine && row.model == model && row.batch == batch;
    rows.iter().find(of).map(|row| row.windows_per_second)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The kernels of `backend`, or the machine's own.
fn own(backend: &str) -> Command {
    let bench = shell::firmware().join("bench");
    let mut command = shell::firmware_cargo(
        &bench,
        ["run", "--quiet", "--release", "--package", "bench-gen", "--example", "host", "--"],
    );
    command.args(batches());
    if backend.is_empty() {
        command.env_remove("PICOVAE_KERNELS");
    } else {
        // Two builds that take turns.
        command.env("PICOVAE_KERNELS", backend);
        command.env("CARGO_TARGET_DIR", bench.join("target").join(backend));
    }
    command
}

fn tract() -> Command {
    let peers = shell::firmware().join("bench/peers");
    let mut command = shell::firmware_cargo(&peers, ["run", "--quiet", "--release", "--"]);
    command.args(batches());
    command
}

fn xnnpack() -> Result<Command> {
    let environment = shell::root().join("target/litert");
    let python = environment.join("bin/python");
    if !has_litert(&python) {
        let mut create = Command::new("python3");
        shell::output(create.args(["-m", "venv"]).arg(&environment))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "ai-edge-litert", "flatbuffers"]);
        shell::output(&mut install).context("no LiteRT from pip")?;
    }
    let mut command = Command::new(&python);
    command.arg(shell::firmware().join("bench/peers/litert.py")).args(batches());
    Ok(command)
}

fn batches() -> [String; BATCHES.len()] {
    BATCHES.map(|batch| batch.to_string())
}

fn has_litert(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import ai_edge_litert, flatbuffers"]).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A turn of an engine.
fn measure(command: &mut Command, milliseconds: u32) -> Result<Vec<Row>> {
    // The length goes by the environment: arguments of a command cannot be changed between its runs.
    command.env("BENCH_MILLISECONDS", milliseconds.to_string());
    let text = shell::output(command)?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}")))
        .collect()
}
