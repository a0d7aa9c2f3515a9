//! Builds the bench image for each core, runs it under QEMU with `icount`, prints the rows.
//!
//! `cargo run --release -p bench-runner -- [--json] [--conformance] [--engine=NAME --image=PATH] [core...]`
//! with cores m0, m3, m4, m7, m33, m55 (all of them by default); an image of another engine has been built already.
//! Exit code 1 if a conformance run finds a wrong result, 2 if a tool fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Name, Rust target, QEMU machine, `PICOVAE_KERNELS` where the triple does not tell.
const CORES: [(&str, &str, &str, Option<&str>); 6] = [
    // The microbit is too small for the autoencoder; an M3 runs ARMv6-M code as it is.
    ("m0", "thumbv6m-none-eabi", "mps2-an385", None),
    ("m3", "thumbv7m-none-eabi", "mps2-an385", None),
    ("m4", "thumbv7em-none-eabi", "mps2-an386", None),
    ("m7", "thumbv7em-none-eabi", "mps2-an500", None),
    ("m33", "thumbv8m.main-none-eabi", "mps2-an505", None),
    ("m55", "thumbv8m.main-none-eabihf", "mps3-an547", Some("mve")),
];

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let (json, conformance) = (has("--json"), has("--conformance"));
    let value = |flag: &str| arguments.iter().find_map(|argument| argument.strip_prefix(flag));
    let engine = value("--engine=").unwrap_or("picovae");
    let image = value("--image=").map(Path::new);
    let wanted =
        |name: &str| arguments.iter().all(|argument| argument.starts_with("--")) || has(name);
    let mut code = ExitCode::SUCCESS;
    if !json && !conformance {
        println!(
            "| core | model | MACs | instructions | per MAC | modelled cycles | per MAC | arena | stack |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
    }
    for (core, target, machine, kernels) in CORES {
        if !wanted(core) {
            continue;
        }
        let run = || match image {
            Some(image) => report(engine, core, &count(core, machine, image)?, json),
            None => own(core, target, machine, kernels, json, conformance),
        };
        match run() {
            Ok(true) => {}
            Ok(false) => code = ExitCode::from(1),
            Err(error) => {
                eprintln!("{core}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    code
}

/// Our image: built, run, reported.
fn own(
    core: &str,
    target: &str,
    machine: &str,
    kernels: Option<&str>,
    json: bool,
    conformance: bool,
) -> Result<bool, Failure> {
    let here = workspace()?;
    let bin = if conformance { "conformance" } else { "bench" };
    let mut environment = vec![("BENCH_CORE", core)];
    environment.extend(kernels.map(|kernels| ("PICOVAE_KERNELS", kernels)));
    cargo(here, &["--package", "bench-image", "--target", target, "--bin", bin], &environment)?;
    let image = target_dir(here).join(target).join("release").join(bin);
    let counted = count(core, machine, &image)?;
    if conformance {
        print!("{core}: {}", counted.text);
        return Ok(counted.success);
    }
    report("picovae", core, &counted, json)
}

/// What an image printed, and what lay between its marks.
struct Counted {
    text: String,
    regions: String,
    success: bool,
}

/// Runs an image under QEMU with the counter.
fn count(core: &str, machine: &str, image: &Path) -> Result<Counted, Failure> {
    let here = workspace()?;
    cargo(here, &["--package", "icount"], &[])?;
    let built = target_dir(here);
    let counts = built.join(format!("icount-{core}.txt"));
    let plugin = find(&built, "libicount.so").ok_or("libicount.so was not built")?;
    let output = Command::new("qemu-system-arm")
        .args(["-M", machine, "-display", "none", "-monitor", "none", "-serial", "null"])
        .args(["-semihosting-config", "enable=on,target=native", "-plugin"])
        .arg(format!("{},out={},model={core}", plugin.display(), counts.display()))
        .arg("-kernel")
        .arg(image)
        .output()
        .map_err(|error| format!("qemu-system-arm: {error}; install qemu-system-arm"))?;
    Ok(Counted {
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        regions: fs::read_to_string(counts)?,
        success: output.status.success(),
    })
}

/// Prints a row for each network.
fn report(engine: &str, core: &str, counted: &Counted, json: bool) -> Result<bool, Failure> {
    if !counted.success {
        return Err(format!("the image failed: {}", counted.text).into());
    }
    // Every second region lies between two marks.
    let regions = counted.regions.lines().skip(1).step_by(2);
    let nets = counted.text.lines().filter_map(|line| line.strip_prefix("net "));
    for (net, region) in nets.zip(regions) {
        let net: Vec<&str> = net.split(' ').collect();
        let region: Vec<&str> = region.split(' ').collect();
        let ([name, macs, arena, stack], [_, _, instructions, cycles]) = (&net[..], &region[..])
        else {
            return Err("unexpected output".into());
        };
        if json {
            println!(
                r#"{{"engine":"{engine}","core":"{core}","model":"{name}","macs":{macs},"instructions":{instructions},"cycles_model":{cycles},"arena_bytes":{arena},"stack_bytes":{stack}}}"#
            );
        } else {
            let per = |count: &str| -> Result<f64, Failure> {
                Ok(count.parse::<f64>()? / macs.parse::<f64>()?)
            };
            println!(
                "| {core} | {name} | {macs} | {instructions} | {:.3} | {cycles} | {:.3} | {arena} | {stack} |",
                per(instructions)?,
                per(cycles)?
            );
        }
    }
    Ok(true)
}

/// The workspace of `firmware/bench`.
fn workspace() -> Result<&'static Path, Failure> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no parent folder")?)
}

fn target_dir(here: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("target"), PathBuf::from)
}

fn cargo(here: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), Failure> {
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(here)
        .args(["build", "--quiet", "--release"])
        .args(arguments)
        .envs(environment.iter().copied())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo build {arguments:?} failed").into()) }
}

/// `<target dir>/<host>/release/<name>`, whatever the host is called, or without it.
fn find(built: &Path, name: &str) -> Option<PathBuf> {
    let below = fs::read_dir(built).ok()?.flatten().map(|entry| entry.path().join("release"));
    below.chain([built.join("release")]).map(|folder| folder.join(name)).find(|path| path.is_file())
}
