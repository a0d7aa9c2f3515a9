//! SKAB `valve1`: a water pump whose valve closes. One blob for all files; on each file the device learns its
//! normalization and its threshold from the first 400 rows, and its decision judges the rest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::device::{Streamed, measure};
use super::{Args, Inspected, Row, false_alarms, fit, helper};
use crate::cli::Cli;
use crate::shell;
use crate::streams::Lessons;

/// Rows that are known to be normal, in every file.
const NORMAL_ROWS: usize = 400;
/// Frames a window.
const WINDOW: usize = 16;
/// False alarms asked for, of a window a second.
const A_DAY: f64 = 200.0;
const WINDOWS_A_DAY: f64 = 86_400.0;

/// Seconds by what was and what was said.
#[derive(Debug, Default)]
struct Counts {
    hits: usize,
    missed: usize,
    false_alarms: usize,
    quiet: usize,
}

/// The row of the blob.
pub fn rows(cli: &Cli, args: &Args) -> Result<Vec<Row>> {
    let folder = shell::scratch("detect")?;
    let float = folder.join("skab.safetensors").display().to_string();
    let blob = folder.join("skab.pvae").display().to_string();
    let files = files()?;
    let window = WINDOW.to_string();
    let rows = format!("0..{NORMAL_ROWS}");
    let a_day = A_DAY.to_string();
    let arguments =
        ["fit"].into_iter().map(String::from).chain(files.iter().map(|f| f.display().to_string()));
    let settings = [
        "--rows",
        &rows,
        "--window",
        &window,
        "--hop",
        "1",
        "--flash",
        "24K",
        "--target",
        "cortex-m4",
        "--renormalize",
        "--votes",
        "3/5",
        "--false-alarms-per-day",
        &a_day,
        "-o",
        &blob,
        "--float",
        &float,
    ];
    fit(cli, "skab", &blob, arguments.chain(settings.map(String::from)), args)?;
    let inspected: Inspected = cli.json(["inspect", &blob])?;
    let mut counts = Counts::default();
    let mut scored = Vec::new();
    let (mut windows, mut raised) = (0, 0);
    for file in &files {
        let file_of = |what| folder.join(format!("skab_{what}.csv")).display().to_string();
        let (scores, events) = (file_of("scores"), file_of("events"));
        let renormalize = (NORMAL_ROWS * 3 / 4).to_string();
        let recalibrate = NORMAL_ROWS.to_string();
        let path = file.display().to_string();
        cli.run([
            "simulate",
            &blob,
            &path,
            "--renormalize",
            &renormalize,
            "--recalibrate",
            &recalibrate,
            "--scores",
            &scores,
            "--events",
            &events,
        ])?;
        let labels = labels(file)?;
        let quiet = NORMAL_ROWS..labels.iter().position(|label| *label).unwrap_or(labels.len());
        windows += quiet.len() as u64;
        raised += raised_in(&std::fs::read_to_string(&events)?, quiet)?;
        count(&std::fs::read_to_string(&scores)?, &labels, &mut counts, &mut scored)?;
    }
    let (hits, missed, loud, quiet) =
        (counts.hits as f64, counts.missed as f64, counts.false_alarms as f64, counts.quiet as f64);
    let mut row = Row {
        dataset: "skab".into(),
        method: "picovae".into(),
        blob_bytes: Some(inspected.blob_bytes),
        roc_auc: area(&mut scored),
        f1: Some(2.0 * hits / (2.0 * hits + missed + loud).max(1.0)),
        false_alarm_rate: Some(loud / (loud + quiet).max(1.0)),
        m4_instructions_per_window: inspected.instructions.get("cortex-m4").copied().flatten(),
        ..Row::default()
    };
    if let (false, Some(first)) = (args.no_device, files.first()) {
        let normalization = (NORMAL_ROWS * 3 / 4 - WINDOW + 1) as u64;
        let threshold = (NORMAL_ROWS / 4) as u64;
        let stream = Streamed {
            recording: first.display().to_string(),
            rows: "0..1000",
            lessons: Lessons { normalization, threshold },
        };
        measure(&mut row, "skab", &blob, &stream, cli)?;
    }
    let asked = A_DAY / WINDOWS_A_DAY;
    let mut rows = vec![row, false_alarms::row("skab", asked, windows, raised)];
    if !args.no_baselines {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let task = json!({ "model": float, "files": files, "normal_rows": NORMAL_ROWS });
        let found = helper::<Vec<Row>>(&["pumps"], &task.to_string())?;
        rows.extend(found.into_iter().map(|row| Row { dataset: "skab".into(), ..row }));
    }
    Ok(rows)
}

fn files() -> Result<Vec<PathBuf>> {
    let folder = shell::data().join("skab/valve1");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    Ok(files)
}

/// Alarms raised by windows that end in these rows: those behind what was learnt from and before the first anomaly,
/// as what comes after one is no held-back normal operation of the machine: it has yet to recover.
fn raised_in(events: &str, rows: std::ops::Range<usize>) -> Result<u64> {
    let mut lines = events.lines();
    let at = columns(lines.next().unwrap_or_default(), ["start_frame", "event"])?;
    let mut raised = 0;
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let [start, event] = at.map(|at| cells.get(at).copied().unwrap_or_default());
        let end = start.parse::<usize>()? + WINDOW - 1;
        raised += u64::from(event == "raised" && rows.contains(&end));
    }
    Ok(raised)
}

/// Where these columns are.
fn columns<const N: usize>(header: &str, names: [&str; N]) -> Result<[usize; N]> {
    let known: Vec<&str> = header.split(',').collect();
    let mut found = [0; N];
    for (found, name) in found.iter_mut().zip(names) {
        let at = known.iter().position(|known| *known == name);
        *found = at.with_context(|| format!("no column {name}"))?;
    }
    Ok(found)
}

/// The column `anomaly`.
fn labels(file: &Path) -> Result<Vec<bool>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let at = header.split(';').position(|name| name == "anomaly").context("no column `anomaly`")?;
    let value = |line: &str| line.split(';').nth(at)?.trim().parse::<f64>().ok();
    lines.map(|line| Ok(value(line).context("a label that is no number")? > 0.5)).collect()
}

/// A second is judged by the verdict of the window that ends with it.
fn count(
    scores: &str,
    labels: &[bool],
    counts: &mut Counts,
    scored: &mut Vec<(f64, bool)>,
) -> Result<()> {
    let mut lines = scores.lines();
    let header = lines.next().unwrap_or_default();
    let [start, score, state] = columns(header, ["start_frame", "score", "state"])?;
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let end = cells[start].parse::<usize>()? + WINDOW - 1;
        let Some(&anomalous) = labels.get(end).filter(|_| end >= NORMAL_ROWS) else { continue };
        let alarm = cells[state] == "alarm";
        let counter = match (anomalous, alarm) {
            (true, true) => &mut counts.hits,
            (true, false) => &mut counts.missed,
            (false, true) => &mut counts.false_alarms,
            (false, false) => &mut counts.quiet,
        };
        *counter += 1;
        scored.push((cells[score].parse()?, anomalous));
    }
    Ok(())
}

/// Area under the ROC curve by ranks; scores hardly ever tie.
fn area(scored: &mut [(f64, bool)]) -> Option<f64> {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut normal, mut below, mut anomalies) = (0u64, 0u64, 0u64);
    for (_, anomalous) in scored.iter() {
        if *anomalous {
            anomalies += 1;
            below += normal;
        } else {
            normal += 1;
        }
    }
    (anomalies * normal > 0).then(|| below as f64 / (anomalies * normal) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_before_the_first_anomaly_are_counted() {
        let events = "recording,clip,window,start_frame,event,score\n\
            a,0,380,380,raised,1\na,0,390,390,raised,1\na,0,391,391,cleared,1\na,0,490,490,raised,1\n";
        assert_eq!(raised_in(events, 400..500).unwrap(), 1);
        assert!(raised_in("recording,event\n", 400..500).is_err());
    }
}
