//! `cargo xtask bench mcu`: what an inference costs on every emulated core, held to issue 3's table.
//!
//! `firmware/bench` counts (its `bench-runner` builds the images and the counter and runs QEMU); this adds
//! the size of the code, prints rows or a table, and compares with what is required.

mod peers;
mod text;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{setup, shell};
use text::Text;

/// Arguments.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Print a JSON row a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Only these cores: m0, m3, m4, m7, m33, m55.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<String>,
    /// Only these models: ad, its pruned and 4-bit forms (ad-sparse-50, ...), small, sensor, article-encoder, article-decoder, conv-a, conv-b, tconv-a, dw-a, dw-b, max-pool, average-pool.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// The autoencoder on other Rust engines too, built from their crates: some minutes the first time.
    #[arg(long)]
    peers: bool,
}

/// A core, the target its code is built for, and `PICOVAE_KERNELS` where the triple does not tell.
struct Core {
    name: &'static str,
    target: &'static str,
    kernels: &'static str,
    /// Whether `docs/benchmarks.md` claims a cycle model for it.
    has_cycles: bool,
}

const CORES: [Core; 6] = [
    Core { name: "m0", target: "thumbv6m-none-eabi", kernels: "", has_cycles: true },
    Core { name: "m3", target: "thumbv7m-none-eabi", kernels: "", has_cycles: true },
    Core { name: "m4", target: "thumbv7em-none-eabi", kernels: "", has_cycles: true },
    Core { name: "m7", target: "thumbv7em-none-eabi", kernels: "", has_cycles: false },
    Core { name: "m33", target: "thumbv8m.main-none-eabi", kernels: "", has_cycles: false },
    Core { name: "m55", target: "thumbv8m.main-none-eabihf", kernels: "mve", has_cycles: false },
];

const MODELS: [&str; 16] = [
    "ad",
    "sensor",
    "small",
    "ad-sparse-50",
    "ad-sparse-75",
    "ad-4bit",
    "ad-4bit-sparse-50",
    "article-encoder",
    "article-decoder",
    "conv-a",
    "conv-b",
    "tconv-a",
    "dw-a",
    "dw-b",
    "max-pool",
    "average-pool",
];

/// The engine that is held to the issue.
const OURS: &str = "picovae";
/// Instructions a MAC at most, by core: M0+, M3, M4 with M7 and M33, M55.
const REQUIRED: [(&str, [f64; 4]); 4] = [
    ("ad", [3.0, 2.05, 0.90, 0.20]),
    ("conv-a", [4.0, 2.2, 1.3, 0.30]),
    ("conv-b", [5.0, 3.0, 2.2, 0.9]),
    ("tconv-a", [4.5, 2.4, 1.5, 0.5]),
];
/// Modelled cycles a MAC of `ad` on M4.
const CYCLES: f64 = 1.28;
/// Instructions of `small`, whole.
const SMALL: [(&str, u64); 2] = [("m0", 32_000), ("m4", 7_500)];
/// Bytes of code for encoder, decoder and score of fully connected layers on thumbv7em.
const TEXT: u64 = 12 * 1024;
/// Bytes of arena, and of stack, of `ad`.
const ARENA: u64 = 3 * 1024;
const STACK: u64 = 1536;

/// What `bench-runner --json` prints.
#[derive(Deserialize)]
struct Counted {
    engine: String,
    core: String,
    model: String,
    macs: u64,
    instructions: u64,
    cycles_model: u64,
    arena_bytes: u64,
    stack_bytes: u64,
}

/// A row of the report.
#[derive(Debug, Serialize)]
struct Row {
    engine: String,
    core: &'static str,
    model: String,
    macs: u64,
    instructions: u64,
    /// None where no model is claimed.
    cycles_model: Option<u64>,
    /// Linked code of encoder, decoder and score at opt-level s; with convolutions only where the model has some.
    text_bytes: u64,
    arena_bytes: u64,
    stack_bytes: u64,
}

/// Runs it; `false` where a requirement is missed.
pub fn run(args: &Args) -> Result<bool> {
    check_names("core", &args.cores, &CORES.map(|core| core.name))?;
    check_names("model", &args.models, &MODELS)?;
    setup::everything()?;
    let mut rows = Vec::new();
    let mut texts = BTreeMap::new();
    for core in CORES.iter().filter(|core| chosen(&args.cores, core.name)) {
        let text = text::text(core)?;
        texts.insert(core.name, text);
        for counted in count(core)? {
            if !chosen(&args.models, &counted.model) || counted.core != core.name {
                continue;
            }
            let dense = !["conv", "dw-", "pool"].iter().any(|part| counted.model.contains(part));
            let row = Row {
                engine: counted.engine,
                core: core.name,
                model: counted.model,
                macs: counted.macs,
                instructions: counted.instructions,
                cycles_model: core.has_cycles.then_some(counted.cycles_model),
                text_bytes: if dense { text.dense } else { text.convolution },
                arena_bytes: counted.arena_bytes,
                stack_bytes: counted.stack_bytes,
            };
            if args.json {
                println!("{}", serde_json::to_string(&row)?);
            }
            rows.push(row);
        }
        if args.peers && chosen(&args.models, "ad") {
            for row in peers::rows(core) {
                if args.json {
                    println!("{}", serde_json::to_string(&row)?);
                }
                rows.push(row);
            }
        }
    }
    if !args.json {
        print!("{}", table(&rows, &texts));
    }
    let mut missed: Vec<String> = rows.iter().flat_map(misses).collect();
    if let Some(text) = texts.get("m4").filter(|text| text.dense > TEXT) {
        missed.push(format!("m4: {} bytes of code, at most {TEXT} required", text.dense));
    }
    for miss in &missed {
        eprintln!("MISSED {miss}");
    }
    Ok(missed.is_empty())
}

fn chosen(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
}

fn check_names(what: &str, wanted: &[String], known: &[&str]) -> Result<()> {
    match wanted.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => bail!("no {what} {name}; there are {}", known.join(", ")),
        None => Ok(()),
    }
}

/// Builds and runs the bench image of a core, counted.
fn count(core: &Core) -> Result<Vec<Counted>> {
    let mut command = shell::firmware_cargo(
        &shell::firmware().join("bench"),
        ["run", "--quiet", "--release", "--package", "bench-runner", "--", "--json", core.name],
    );
    counted(command.env_remove("PICOVAE_KERNELS"))
}

/// The rows that `bench-runner` prints.
fn counted(runner: &mut Command) -> Result<Vec<Counted>> {
    let text = shell::output(runner)?;
    let rows: Vec<Counted> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}")))
        .collect::<Result<_>>()?;
    if rows.is_empty() { bail!("{} counted nothing", shell::spell(runner)) } else { Ok(rows) }
}

/// Instructions a MAC that the issue allows.
fn required(row: &Row) -> Option<f64> {
    if row.engine != OURS {
        return None;
    }
    let column = match row.core {
        "m0" => 0,
        "m3" => 1,
        "m55" => 3,
        _ => 2,
    };
    REQUIRED.iter().find(|(model, _)| *model == row.model).map(|(_, limits)| limits[column])
}

/// What a row fails to reach.
fn misses(row: &Row) -> Vec<String> {
    let mut missed = Vec::new();
    if row.engine != OURS {
        return missed;
    }
    let mut at_most = |what: &str, value: f64, limit: f64| {
        if value > limit {
            let (core, model) = (row.core, &row.model);
            missed.push(format!("{core} {model}: {value:.3} {what}, at most {limit} required"));
        }
    };
    if let Some(limit) = required(row) {
        at_most("instructions a MAC", per_mac(row, row.instructions), limit);
    }
    if let Some((_, limit)) = SMALL.iter().find(|(core, _)| *core == row.core)
        && row.model == "small"
    {
        at_most("instructions", row.instructions as f64, *limit as f64);
    }
    if row.model == "ad" {
        if let ("m4", Some(cycles)) = (row.core, row.cycles_model) {
            at_most("modelled cycles a MAC", per_mac(row, cycles), CYCLES);
        }
        at_most("bytes of arena", row.arena_bytes as f64, ARENA as f64);
        at_most("bytes of stack", row.stack_bytes as f64, STACK as f64);
    }
    missed
}

fn per_mac(row: &Row, count: u64) -> f64 {
    count as f64 / row.macs as f64
}

/// A pool has no MACs.
fn spell_per_mac(row: &Row, count: u64) -> String {
    if row.macs == 0 { "–".into() } else { format!("{:.3}", per_mac(row, count)) }
}

/// Markdown, for people.
fn table(rows: &[Row], texts: &BTreeMap<&str, Text>) -> String {
    let mut text = String::from(
        "| engine | core | model | MACs | instructions | per MAC | required | modelled cycles | per MAC | text | arena | stack |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let limit = required(row).map_or(String::new(), |limit| limit.to_string());
        let cycles = row.cycles_model.map_or(("–".to_string(), "–".to_string()), |cycles| {
            (cycles.to_string(), spell_per_mac(row, cycles))
        });
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {limit} | {} | {} | {} | {} | {} |\n",
            row.engine,
            row.core,
            row.model,
            row.macs,
            row.instructions,
            spell_per_mac(row, row.instructions),
            cycles.0,
            cycles.1,
            row.text_bytes,
            row.arena_bytes,
            row.stack_bytes,
        );
    }
    text += "\n| core | kernel assembly, bytes | encoder + decoder + score, bytes of code | with the blob's checks | with convolutions |\n|---|---|---|---|---|\n";
    for (core, Text { dense, convolution, gated, kernels }) in texts {
        text += &format!("| {core} | {kernels} | {dense} | {gated} | {convolution} |\n");
    }
    text
}
