//! `cargo xtask demo`: float weights to blob, a recording with faults, and the
//! same scores from an emulated Cortex-M4.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::cli::Cli;
use crate::firmware::{self, Content};
use crate::qemu::{self, CORES, Core};
use crate::{setup, shell};

/// The model the demo quantizes.
const MODEL: &str = "fan-vae";
/// Windows of each recording shown in the table.
const SHOWN: usize = 10;

/// What the demo reads of `picovae simulate --json`.
#[derive(Debug, Deserialize)]
struct Simulated {
    windows: usize,
    alarms: u64,
    hash: String,
}

/// A recording, and what to call it in the table.
struct Recording {
    label: &'static str,
    path: PathBuf,
}

/// What the demo runs on.
struct Scenario {
    /// Said at the start.
    story: &'static str,
    /// Judged: normal first, then faults.
    recordings: Vec<Recording>,
    /// Rows of the normal recording to calibrate the quantizer and the threshold on.
    calibrate: &'static str,
    /// Rows of every recording to judge.
    judge: &'static str,
}

/// One line of the scores CSV.
struct HostScore {
    raw: i64,
    score: f64,
    alarm: bool,
}

/// Runs the demo; `false` where host and device disagree.
pub fn run() -> Result<bool> {
    setup::everything()?;
    let cli = Cli::build()?;
    let start = Instant::now();
    let folder = shell::scratch("demo")?;
    let scenario = scenario(&cli, &folder)?;
    println!("{}", scenario.story);

    let blob = quantize(&cli, &scenario, &folder)?;
    let raw = folder.join("windows.i16");
    let plot = folder.join("score.png");
    let csv = folder.join("scores.csv");
    let files = [("--raw", raw.as_path()), ("--plot", &plot), ("--scores", &csv)];
    let host = simulate(&cli, &blob, &scenario.recordings, scenario.judge, &files)?;
    let scores = read_scores(&csv)?;
    if scores.len() != host.windows {
        bail!("{} rows in {} for {} windows", scores.len(), csv.display(), host.windows);
    }
    println!("host: {} windows, {} alarms, hash {}", host.windows, host.alarms, host.hash);

    let core = m4()?;
    let count = host.windows as u64;
    let content = Content { name: "demo", blob: &blob, windows: &raw, count };
    let image = firmware::app(core, content)?;
    let device = qemu::run(&image.elf, image.machine, &raw)?;
    let alarms = device.scores.iter().filter(|(_, alarm)| *alarm).count();
    println!(
        "Cortex-M4 ({}): {} windows, {alarms} alarms, hash {}, stack {} bytes",
        image.machine, device.windows, device.hash, device.stack_bytes
    );

    table(&cli, &blob, &scenario, &scores, &device)?;
    let different = scores
        .iter()
        .zip(&device.scores)
        .filter(|(host, device)| (host.raw, host.alarm) != **device)
        .count();
    let agree = different == 0 && device.scores.len() == scores.len() && device.hash == host.hash;
    if agree {
        println!(
            "host and Cortex-M4 agree: every score, every alarm, and the hash over every activation"
        );
    } else {
        println!("HOST AND CORTEX-M4 DISAGREE: {different} scores or alarms differ");
    }
    println!("blob:    {}", blob.display());
    println!("scores:  {}", csv.display());
    println!("picture: {}", plot.display());
    println!("{:.0} s", start.elapsed().as_secs_f64());
    Ok(agree)
}

/// The fan if its recordings are there, else a simulated machine.
fn scenario(cli: &Cli, folder: &Path) -> Result<Scenario> {
    let fan =
        |label, name: &str| Recording { label, path: shell::data().join("fan_accel").join(name) };
    let real = vec![
        fan("normal, held out", "fan_0_low_0_weight.npy"),
        fan("coin on a blade", "fan_0_low_1_weight.npy"),
        fan("wrong speed", "fan_0_med_0_weight.npy"),
    ];
    if real.iter().all(|recording| recording.path.is_file()) {
        return Ok(Scenario {
            story: "real recordings: a ceiling fan at low speed, then with a coin on a blade, \
                    then at medium speed",
            recordings: real,
            calibrate: "0..400",
            judge: "400..580",
        });
    }
    // One seed is one machine: the faults come to the machine that was calibrated on.
    let synth = |label, fault: &str| {
        let path = folder.join(format!("synth-{fault}.npy"));
        let text = path.display().to_string();
        let options = ["--fault", fault, "--seed", "1", "--windows", "520"];
        cli.run(["synth", &text].into_iter().chain(options))?;
        anyhow::Ok(Recording { label, path })
    };
    Ok(Scenario {
        story: "NO REAL DATA: a simulated rotating machine (`picovae synth`), then with an \
                imbalance, then with a bearing fault",
        recordings: vec![
            synth("normal, held out", "none")?,
            synth("imbalance", "imbalance")?,
            synth("bearing fault", "bearing")?,
        ],
        calibrate: "0..400",
        judge: "400..520",
    })
}

fn quantize(cli: &Cli, scenario: &Scenario, folder: &Path) -> Result<PathBuf> {
    let float = shell::root().join("models").join(MODEL).join(format!("{MODEL}.safetensors"));
    let blob = folder.join(format!("{MODEL}.pvae"));
    let normal = scenario.recordings.first().context("a scenario has a normal recording")?;
    let mut command = vec![PathBuf::from("quantize"), float.clone()];
    command.extend(["--calibrate".into(), normal.path.clone()]);
    command.extend(["--rows".into(), scenario.calibrate.into()]);
    // Packed for the core it will run on; the host reads it too, more slowly.
    command.extend(["--target".into(), "cortex-m4".into()]);
    command.extend(["-o".into(), blob.clone()]);
    cli.run(command)?;
    let len = |path: &Path| {
        std::fs::metadata(path).map(|file| file.len()).with_context(|| path.display().to_string())
    };
    println!("{MODEL}: {} bytes of float weights, a blob of {} bytes", len(&float)?, len(&blob)?);
    Ok(blob)
}

/// Simulates the rows to judge of some recordings, one after the other.
fn simulate<'a>(
    cli: &Cli,
    blob: &Path,
    recordings: impl IntoIterator<Item = &'a Recording>,
    rows: &str,
    more: &[(&str, &Path)],
) -> Result<Simulated> {
    let mut command = vec![PathBuf::from("simulate"), blob.to_path_buf()];
    command.extend(recordings.into_iter().map(|recording| recording.path.clone()));
    command.extend(["--rows".into(), rows.into()]);
    command.extend(more.iter().flat_map(|&(option, path)| [option.into(), path.to_path_buf()]));
    cli.json(command)
}

fn m4() -> Result<&'static Core> {
    CORES.iter().find(|core| core.id == "m4").context("the table of cores has an M4")
}

/// Columns of the CSV by their names, in whatever order they stand.
fn read_scores(path: &Path) -> Result<Vec<HostScore>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines();
    let names: Vec<_> = lines.next().context("an empty CSV")?.split(',').collect();
    let column = |name: &str| {
        names.iter().position(|n| *n == name).with_context(|| format!("no column {name}"))
    };
    let (raw, score, alarm) = (column("raw")?, column("score")?, column("alarm")?);
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        let cell = |index: usize| cells.get(index).copied().context("a short row");
        anyhow::Ok(HostScore {
            raw: cell(raw)?.parse()?,
            score: cell(score)?.parse()?,
            alarm: matches!(cell(alarm)?, "1" | "true"),
        })
    };
    lines.map(|line| row(line).with_context(|| format!("{}: {line}", path.display()))).collect()
}

/// A few windows of each recording, evenly spread, with both scores.
fn table(
    cli: &Cli,
    blob: &Path,
    scenario: &Scenario,
    scores: &[HostScore],
    device: &qemu::Run,
) -> Result<()> {
    println!();
    println!("{:>7}  {:<18} {:>12} {:>16} {:>16}", "window", "recording", "score", "host", "M4");
    let mut start = 0;
    let mut summary = Vec::new();
    for recording in &scenario.recordings {
        let windows = simulate(cli, blob, [recording], scenario.judge, &[])?.windows;
        let end = (start + windows).min(scores.len());
        let own = &scores[start..end];
        for index in (0..own.len()).step_by(own.len().div_ceil(SHOWN).max(1)) {
            let window = start + index;
            let HostScore { raw, score, alarm } = &scores[window];
            let on_device = device.scores.get(window).map(|(raw, _)| raw.to_string());
            println!(
                "{window:>7}  {:<18} {score:>12.5} {raw:>16} {:>16}{}",
                recording.label,
                on_device.as_deref().unwrap_or("-"),
                if *alarm { "  ALARM" } else { "" },
            );
        }
        let alarms = own.iter().filter(|score| score.alarm).count();
        let percent = 100.0 * alarms as f64 / own.len().max(1) as f64;
        summary.push(format!(
            "{:<18} {alarms} alarms in {windows} windows ({percent:.1} %)",
            recording.label
        ));
        start = end;
    }
    println!();
    summary.iter().for_each(|line| println!("{line}"));
    Ok(())
}
