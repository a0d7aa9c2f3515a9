//! `cargo xtask bench mcu`: what an inference costs on every emulated core, held to issue 3's table.
//!
//! `firmware/bench` counts (its `bench-runner` builds the images and the counter and runs QEMU); this adds
//! the size of the code, prints rows or a table, and compares with what is required.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol};
use serde::{Deserialize, Serialize};

use crate::{setup, shell};

/// Arguments.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Print a JSON row a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Only these cores: m0, m3, m4, m7, m33, m55.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<String>,
    /// Only these models: ad, its pruned and 4-bit forms (ad-sparse-50, ...), small, sensor, article-encoder, article-decoder, conv-a, conv-b, tconv-a.
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
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

const MODELS: [&str; 12] = [
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
];

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
    engine: &'static str,
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

/// Code of an image that does nothing but score a window.
#[derive(Clone, Copy, Debug)]
struct Text {
    dense: u64,
    convolution: u64,
    /// Dense, with the gate: reading a blob and all its checks.
    gated: u64,
    /// The assembly alone.
    kernels: u64,
}

/// Runs it; `false` where a requirement is missed.
pub fn run(args: &Args) -> Result<bool> {
    check_names("core", &args.cores, &CORES.map(|core| core.name))?;
    check_names("model", &args.models, &MODELS)?;
    setup::everything()?;
    let mut rows = Vec::new();
    let mut texts = BTreeMap::new();
    for core in CORES.iter().filter(|core| chosen(&args.cores, core.name)) {
        let text = text(core)?;
        texts.insert(core.name, text);
        for counted in count(core)? {
            if !chosen(&args.models, &counted.model) || counted.core != core.name {
                continue;
            }
            let dense = !counted.model.contains("conv");
            let row = Row {
                engine: "picovae",
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
    let text = shell::output(command.env_remove("PICOVAE_KERNELS"))?;
    let rows: Vec<Counted> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("reading {line}")))
        .collect::<Result<_>>()?;
    if rows.is_empty() { bail!("{}: bench-runner counted nothing", core.name) } else { Ok(rows) }
}

/// Links the footprint image three times.
fn text(core: &Core) -> Result<Text> {
    let bench = shell::firmware().join("bench");
    let link = |features: &[&str]| -> Result<(u64, u64)> {
        let mut build = shell::firmware_cargo(
            &bench,
            ["build", "--quiet", "--release", "--package", "bench-image", "--bin", "footprint"],
        );
        build.args(["--target", core.target]).args(features).env("BENCH_CORE", core.name);
        // Rust for size, as one would build it where flash is short; the assembly is the same.
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s");
        if core.kernels.is_empty() {
            build.env_remove("PICOVAE_KERNELS");
        } else {
            build.env("PICOVAE_KERNELS", core.kernels);
        }
        shell::run(build.stdout(Stdio::null()))?;
        code(&bench.join("target").join(core.target).join("release/footprint"))
    };
    let (dense, kernels) = link(&["--no-default-features"])?;
    let (convolution, _) = link(&["--no-default-features", "--features", "convolution"])?;
    let (gated, _) = link(&["--no-default-features", "--features", "gate"])?;
    Ok(Text { dense, convolution, gated, kernels })
}

/// Bytes of executable sections, and of the assembly in them.
fn code(elf: &Path) -> Result<(u64, u64)> {
    let bytes = std::fs::read(elf).with_context(|| format!("reading {}", elf.display()))?;
    let file = object::File::parse(&*bytes)?;
    let text = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    let size = text.map(|section| section.size()).sum();
    // Assembly states no sizes: a symbol of it reaches to the next one of any kind.
    let mut symbols: Vec<(u64, bool)> = file
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_definition())
        .map(|symbol| {
            (symbol.address() & !1, symbol.name().is_ok_and(|name| name.starts_with("picovae_")))
        })
        .collect();
    symbols.sort_unstable();
    let spans = symbols.iter().zip(symbols.iter().skip(1));
    let kernels = spans.filter(|((_, own), _)| *own).map(|((start, _), (end, _))| end - start);
    Ok((size, kernels.sum()))
}

/// Instructions a MAC that the issue allows.
fn required(row: &Row) -> Option<f64> {
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

/// Markdown, for people.
fn table(rows: &[Row], texts: &BTreeMap<&str, Text>) -> String {
    let mut text = String::from(
        "| core | model | MACs | instructions | per MAC | required | modelled cycles | per MAC | arena | stack |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let limit = required(row).map_or(String::new(), |limit| limit.to_string());
        let cycles = row.cycles_model.map_or(("–".to_string(), "–".to_string()), |cycles| {
            (cycles.to_string(), format!("{:.3}", per_mac(row, cycles)))
        });
        text += &format!(
            "| {} | {} | {} | {} | {:.3} | {limit} | {} | {} | {} | {} |\n",
            row.core,
            row.model,
            row.macs,
            row.instructions,
            per_mac(row, row.instructions),
            cycles.0,
            cycles.1,
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
