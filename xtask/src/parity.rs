//! `cargo xtask parity`: the same bits everywhere.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cli::Cli;
use crate::firmware::{self, Content, Image};
use crate::qemu::{self, CORES, Core};
use crate::recordings::{self, Entry, Model};
use crate::streams::{self, Lessons};
use crate::{heads, overrun, setup, shell};

/// Command line of the verb.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
    /// Only these models, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub models: Vec<String>,
    /// Windows a model, instead of the number in xtask/models.toml.
    #[arg(long, value_name = "N")]
    pub windows: Option<u64>,
    /// Instead of the models here: this blob, on the recordings of --data.
    #[arg(long, value_name = "FILE.pvae", requires = "data", conflicts_with = "models")]
    pub blob: Option<PathBuf>,
    /// Recordings of --blob, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "FILE", requires = "blob")]
    pub data: Vec<PathBuf>,
}

/// What parity reads of `picovae simulate --json`.
#[derive(Debug, Deserialize)]
struct Simulated {
    windows: u64,
    hash: String,
}

/// One model's hashes: the host first, then [`CORES`] in order.
struct Row {
    model: String,
    windows: u64,
    hashes: Vec<(&'static str, String)>,
    /// Events of the streams on the host, and whether every core logged the same.
    streams: Option<(usize, bool)>,
    /// Likewise of events that name a known state.
    named: Option<(usize, bool)>,
}

impl Row {
    fn equal(&self) -> bool {
        let told = [self.streams, self.named].into_iter().flatten().all(|(_, equal)| equal);
        told && self.hashes.windows(2).all(|pair| pair[0].1 == pair[1].1)
    }
}

/// Compares every model; `false` where hashes differ.
///
/// # Errors
/// Where a program fails, or where nothing could be compared.
pub fn run(args: &Args) -> Result<bool> {
    setup::everything()?;
    if let Some(blob) = &args.blob {
        return one_blob(args, blob);
    }
    let table = recordings::table()?;
    let models = recordings::models()?;
    let imported = table.iter().filter_map(|(name, entry)| Some((name, entry.import.as_ref()?)));
    let known = |name: &String| {
        models.iter().any(|model| model.name == *name)
            || table.get(name).is_some_and(|entry| entry.import.is_some())
    };
    if let Some(unknown) = args.models.iter().find(|name| !known(name)) {
        bail!("no models/{unknown}/{unknown}.pvae, and nothing to import in xtask/models.toml");
    }
    let asked = |name: &String| args.models.is_empty() || args.models.contains(name);
    let cli = Cli::build()?;
    let mut rows = Vec::new();
    for model in &models {
        if !asked(&model.name) {
            continue;
        }
        match table.get(&model.name) {
            Some(entry) => rows.extend(compare(model, entry, args.windows, &cli)?),
            None => eprintln!("{}: SKIPPED, no entry in xtask/models.toml", model.name),
        }
    }
    for (name, file) in imported.filter(|(name, _)| asked(name)) {
        let entry = &table[name];
        let limit = args.windows.unwrap_or(entry.windows);
        if let Some(recordings) = recordings::resolve(name, entry, limit, &cli)?
            && let Some(model) = recordings::import(name, file, &recordings, &cli)?
        {
            rows.push(run_everywhere(&model, recordings, limit, None, &cli)?);
        }
    }
    if rows.is_empty() {
        bail!("nothing was compared");
    }
    // Scores are compared in any case; of a few rows not every model makes events.
    let events = || rows.iter().filter_map(|row| row.streams).map(|(events, _)| events);
    if args.models.is_empty() && events().count() > 0 && events().sum::<usize>() == 0 {
        bail!("no stream of any model has an event: logs of events were not compared");
    }
    Ok(conclude(args, &rows))
}

/// Compares a blob from anywhere.
fn one_blob(args: &Args, blob: &Path) -> Result<bool> {
    let absolute =
        |path: &PathBuf| std::path::absolute(path).with_context(|| path.display().to_string());
    let blob = absolute(&blob.to_path_buf())?;
    let name = blob.file_stem().and_then(|name| name.to_str()).context("a plain file name")?;
    let model = Model { name: name.into(), blob: blob.clone() };
    let recordings = args.data.iter().map(absolute).collect::<Result<Vec<_>>>()?;
    let row =
        run_everywhere(&model, recordings, args.windows.unwrap_or(100), None, &Cli::build()?)?;
    Ok(conclude(args, &[row]))
}

/// Prints the rows; whether all are equal.
fn conclude(args: &Args, rows: &[Row]) -> bool {
    if args.json {
        println!("{}", report(rows));
    } else {
        rows.iter().for_each(print);
    }
    rows.iter().all(Row::equal)
}

fn compare(model: &Model, entry: &Entry, windows: Option<u64>, cli: &Cli) -> Result<Option<Row>> {
    let limit = windows.unwrap_or(entry.windows);
    let Some(recordings) = recordings::resolve(&model.name, entry, limit, cli)? else {
        return Ok(None);
    };
    // Fewer windows are asked for where time matters.
    let rows = entry.stream_rows.min(windows.unwrap_or(u64::MAX));
    let rows = (rows > 0).then(|| format!("0..{rows}"));
    let mut row = run_everywhere(model, recordings.clone(), limit, rows.as_deref(), cli)?;
    let names = entry.states.iter().map(String::as_str);
    let states: Vec<(&str, &Path)> = names.zip(recordings.iter().map(PathBuf::as_path)).collect();
    match rows {
        // A recording that stands in for all shows none of them.
        Some(rows) if !states.is_empty() && states.len() == entry.states.len() => {
            row.named = Some(heads::compare(model, &states, &rows, RATE_HZ, cli)?);
        }
        _ => (),
    }
    Ok(Some(row))
}

/// `limit` windows of the recordings on the host and on every core.
fn run_everywhere(
    model: &Model,
    recordings: Vec<PathBuf>,
    limit: u64,
    stream_rows: Option<&str>,
    cli: &Cli,
) -> Result<Row> {
    let raw = shell::scratch("parity")?.join(format!("{}.i16", model.name));
    let mut arguments = vec!["simulate".into(), model.blob.clone()];
    arguments.extend(recordings.iter().cloned());
    arguments.extend(["--limit".into(), limit.to_string().into()]);
    arguments.extend([PathBuf::from("--raw"), raw.clone()]);
    let host: Simulated = cli.json(arguments)?;
    if host.windows < limit {
        bail!("{}: the recordings hold only {} windows of {limit}", model.name, host.windows);
    }
    let content =
        Content { name: &model.name, blob: &model.blob, windows: &raw, count: host.windows };
    let mut hashes = vec![("host", host.hash)];
    let (images, runs) = run_cores(content)?;
    for (core, run) in CORES.iter().zip(runs) {
        if run.windows != host.windows {
            bail!("{} on {}: {} windows of {}", model.name, core.id, run.windows, host.windows);
        }
        hashes.push((core.id, run.hash));
    }
    let streams = match stream_rows {
        Some(rows) => Some(run_streams(model, &recordings, rows, &images, cli)?),
        None => None,
    };
    Ok(Row { model: model.name.clone(), windows: host.windows, hashes, streams, named: None })
}

/// Frames a second of a stream: what the boards' accelerometer gives, and an emulated M0 keeps up with.
const RATE_HZ: u64 = 200;

/// Rows of the first two recordings as streams through the app's tasks: the host's events, and whether every core
/// logged the same, lost nothing, and told what it lost where it was made to.
fn run_streams(
    model: &Model,
    recordings: &[PathBuf],
    rows: &str,
    images: &[Image],
    cli: &Cli,
) -> Result<(usize, bool)> {
    let (mut events, mut equal) = (0, true);
    for (index, recording) in recordings.iter().take(2).enumerate() {
        let name = format!("{}-{index}", model.name);
        let lessons = if index == 0 { Lessons::FIRST } else { Lessons::default() };
        let host = streams::host(&name, &model.blob, recording, Some(rows), lessons, cli)?;
        events += host.events();
        let check = |place: (&Image, &Core)| -> Result<bool> {
            let equal = host.compare(&name, place.0, place.1, RATE_HZ)?.is_some();
            let stream = (model.blob.as_path(), &host);
            Ok(equal && (index == 0 || overrun::check(&name, stream, place, RATE_HZ, cli)?))
        };
        let places: Vec<_> = images.iter().zip(&CORES).collect();
        for pair in places.chunks(2) {
            let finished: Vec<_> = std::thread::scope(|scope| {
                let spawn = |place: &(_, _)| {
                    let (check, place) = (&check, *place);
                    scope.spawn(move || check(place))
                };
                let threads: Vec<_> = pair.iter().map(spawn).collect();
                threads.into_iter().map(|thread| thread.join()).collect()
            });
            for result in finished {
                equal &= result.ok().context("a thread died")??;
            }
        }
    }
    Ok((events, equal))
}

/// Builds the five images, then runs them, two at a time.
fn run_cores(content: Content<'_>) -> Result<(Vec<Image>, Vec<qemu::Run>)> {
    let mut images = Vec::new();
    for core in &CORES {
        let image = firmware::app(core, content)?;
        if image.fell_back {
            let (small, id, target) = (core.machines[0], core.id, core.target);
            eprintln!(
                "{}: {id}: too large for {small}; the same {target} code runs on {}",
                content.name, image.machine
            );
        }
        images.push(image);
    }
    let run = |image: &Image| qemu::run(&image.elf, image.machine, content.windows);
    let mut runs = Vec::new();
    for pair in images.chunks(2) {
        let finished: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = pair.iter().map(|image| scope.spawn(|| run(image))).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        for result in finished {
            runs.push(result.ok().context("a thread died")??);
        }
    }
    for (image, run) in images.iter().zip(&runs) {
        eprintln!("{}: {} done, stack {} bytes", content.name, image.machine, run.stack_bytes);
    }
    Ok((images, runs))
}

fn report(rows: &[Row]) -> Value {
    let models: Vec<_> = rows
        .iter()
        .map(|row| {
            let hashes: Map<_, _> =
                row.hashes.iter().map(|(id, hash)| ((*id).into(), json!(hash))).collect();
            json!({
                "model": row.model, "windows": row.windows,
                "hashes": hashes, "events": row.streams.map(|(events, _)| events),
                "named": row.named.map(|(events, _)| events), "equal": row.equal(),
            })
        })
        .collect();
    json!({ "models": models })
}

fn print(row: &Row) {
    let verdict = if row.equal() { "equal" } else { "DIFFERENT" };
    println!("{} ({} windows): {verdict}", row.model, row.windows);
    for (id, hash) in &row.hashes {
        println!("  {id:<5} {hash}");
    }
    if let Some((events, equal)) = row.streams {
        let verdict = if equal { "the same on every core" } else { "DIFFERENT" };
        println!("  streams: {events} events, {verdict}");
    }
    if let Some((events, equal)) = row.named {
        let verdict = if equal { "the same on M0 and M4" } else { "DIFFERENT" };
        println!("  known states: named with {events} events by three kinds of heads, {verdict}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_stable_words_in_order() {
        let ids = ["host", "m0", "m3", "m4", "m7", "m33"];
        let mut row = Row {
            model: "fan-vae".into(),
            windows: 2,
            hashes: ids.map(|id| (id, "0a".to_string())).into(),
            streams: Some((3, true)),
            named: Some((2, true)),
        };
        assert_eq!(
            report(std::slice::from_ref(&row)).to_string(),
            r#"{"models":[{"model":"fan-vae","windows":2,"hashes":{"host":"0a","m0":"0a","m3":"0a","m4":"0a","m7":"0a","m33":"0a"},"events":3,"named":2,"equal":true}]}"#
        );
        row.streams = Some((3, false));
        assert!(!row.equal());
        row.streams = None;
        row.named = Some((2, false));
        assert!(!row.equal());
        row.named = None;
        row.hashes[4].1 = "0b".into();
        assert!(!row.equal());
    }
}
