//! `picovae simulate`: recordings through the core, as the board would score them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::{IntoDiagnostic, WrapErr};
use picovae::graph::Frontend;
use picovae::recording::{Headerless, ReadOptions, Source, Window};
use picovae::simulate::{
    Scorer, ScorerMemory, ScorerWeights, StreamOptions, TOGETHER, events_of_pieces, frontend_of,
    plot, real_score, state_name, stream_pieces,
};
use picovae_core::trace::{ActivationHash, NoTrace};
use picovae_core::{Event, Model, Score};
use serde::Serialize;

use super::injection::InjectionArgs;
use super::model_file::{ForeignArgs, open_blob};
use super::progress;
use super::simulate_scores::{Line, Scores, create};
use crate::args::file_name;
use crate::printer::{Listing, Printer};

/// Arguments of `picovae simulate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  picovae simulate fan.pvae night.npy
  picovae simulate fan.pvae night.npy --scores night.csv --plot night.png --json
  picovae simulate fan.pvae normal.npy --inject drift@4000..6000:2 --inject spike@8000..9000 --events events.csv
  picovae simulate fan.pvae night.npy --limit 100 --raw windows.i16   # what a board reads")]
pub struct SimulateArgs {
    /// The blob.
    #[arg(value_name = "MODEL.pvae")]
    model: PathBuf,
    /// Recordings: CSV, NPY or IDX, scored one after the other.
    #[arg(value_name = "RECORDING", required = true)]
    recordings: Vec<PathBuf>,
    /// Use these rows (first axis) of each recording, e.g. 0..500.
    #[arg(long, value_name = "A..B")]
    rows: Option<picovae::recording::Rows>,
    /// Use these columns of CSV recordings, by name or number.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// The recordings are samples without a header: i16x3 or f32x1, the type and the channels of a frame.
    #[arg(long, value_name = "TYPExCHANNELS")]
    raw_input: Option<Headerless>,
    /// Read recordings larger than this in blocks (CSV, NPY, WAV, samples without a header), those without --inject.
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = super::budget::bytes)]
    memory: usize,
    /// Stop after this many windows.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Another threshold than the blob's, in the score's unit.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Write a line a window: window,clip,start_frame,score,raw,alarm.
    #[arg(long, value_name = "FILE.csv")]
    scores: Option<PathBuf>,
    /// Stream each clip through the detector and write a line a change of state:
    /// recording,clip,window,start_frame,event,score,channel,band,percent,raw,resembles.
    #[arg(long, value_name = "FILE.csv", conflicts_with = "limit")]
    events: Option<PathBuf>,
    /// Let the device learn its threshold from the first rows of each clip: the scores and alarms are then
    /// those of the detector, and --scores has a column `state` more.
    #[arg(long, value_name = "ROWS", conflicts_with = "limit", default_value_t = 0)]
    recalibrate: usize,
    /// Let it learn its normalization first, from so many rows of them (of a blob made with --renormalize).
    #[arg(long, value_name = "ROWS", conflicts_with = "limit", default_value_t = 0)]
    renormalize: usize,
    /// Let its threshold go on following the scores of windows that are judged normal.
    #[arg(long, conflicts_with = "limit")]
    follow: bool,
    /// The clips of a recording follow one another without a gap: one stream of one detector.
    #[arg(long, conflicts_with = "limit")]
    join: bool,
    /// Write the device's frames, as they would be streamed: little-endian i16, back to back.
    #[arg(long, value_name = "FILE.i16")]
    frames: Option<PathBuf>,
    /// Draw the score over time.
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
    /// Write the device's raw windows: little-endian i16, back to back.
    #[arg(long, value_name = "FILE.i16")]
    raw: Option<PathBuf>,
    #[command(flatten)]
    faults: InjectionArgs,
    #[command(flatten)]
    foreign: ForeignArgs,
}

/// JSON of `picovae simulate --json`.
#[derive(Debug, Serialize)]
struct SimulateReport {
    model: String,
    name: String,
    recordings: Vec<String>,
    score: &'static str,
    windows: usize,
    alarms: usize,
    raised: Option<usize>,
    stream_hash: Option<String>,
    learned: Option<usize>,
    threshold: Option<f64>,
    mean_score: f64,
    min_score: f64,
    max_score: f64,
    saturated_samples: u64,
    hash: String,
    kernels: &'static str,
}

/// Runs the verb.
pub fn run(args: SimulateArgs, printer: &mut Printer) -> miette::Result<ExitCode> {
    let blob = open_blob(&args.model, &args.foreign)?;
    let model = blob.model()?;
    let frontend = frontend_of(&model);
    let read = ReadOptions {
        columns: args.columns.clone(),
        headerless: args.raw_input,
        ..ReadOptions::default()
    };
    // A fault's size follows from the whole recording.
    let memory = if args.faults.is_empty() { args.memory as u64 } else { u64::MAX };
    let mut sources = Vec::with_capacity(args.recordings.len());
    for path in &args.recordings {
        // A recording of the wrong shape is refused before anything is written.
        let mut source = Source::open(path, &read, args.rows, &frontend, memory)?;
        if let Some(whole) = source.whole_mut() {
            args.faults.apply(whole, frontend.channels)?;
        }
        sources.push(source);
    }
    let threshold = match args.threshold {
        Some(real) if !real.is_finite() => {
            return Err(miette::miette!(
                help = "give a number in the score's unit; `picovae inspect` shows the blob's own",
                "--threshold is {real}"
            ));
        }
        Some(real) => Some(raw_score(real, &model)),
        None => model.threshold(),
    };

    let mut raw_file = args.raw.as_deref().map(create).transpose()?;
    let options = StreamOptions {
        threshold,
        normalization_rows: args.renormalize,
        threshold_rows: args.recalibrate,
        follow: args.follow,
        joined: args.join,
    };
    let scores = |streamed| Scores::new(args.scores.as_deref(), args.plot.is_some(), streamed);
    // Those of a detector that learns take their place.
    let mut lines = if options.learns() { Scores::new(None, false, false) } else { scores(false) }?;
    let mut marks = Vec::new();

    let mut weights = ScorerWeights::new(&model);
    let scorer = Scorer::new(&model, &mut weights).into_diagnostic()?;
    let mut memories = [ScorerMemory::new(&model), ScorerMemory::new(&model)];
    let [first, second] = &mut memories;
    let mut running = scorer.batch(first).into_diagnostic()?;
    let mut finished = scorer.batch(second).into_diagnostic()?;
    let mut hash = ActivationHash::new();
    let limit = args.limit.unwrap_or(usize::MAX);
    let bar = progress::counter("windows");
    let mut score = |windows: &[Window<'_>], clip: usize, start: usize, lines: &mut Scores| {
        // The hash is one chain through all windows and takes as long as their inference: beside the next ones.
        let (filled, ()) = rayon::join(
            || running.fill(windows.iter().map(|window| window.samples)),
            || finished.replay(&mut hash),
        );
        filled.into_diagnostic()?;
        if let Some((file, path)) = &mut raw_file {
            let bytes: Vec<u8> = running.raw().iter().flat_map(|x| x.to_le_bytes()).collect();
            file.write_all(&bytes).into_diagnostic().wrap_err_with(|| path.clone())?;
        }
        for (window, &score) in windows.iter().zip(running.scores()) {
            lines.push(&Line {
                clip: clip + window.clip,
                start: start + window.start,
                score: real_score(score, model.score_kind()),
                raw: score.0,
                alarm: threshold.is_some_and(|threshold| score >= threshold),
                state: None,
            })?;
        }
        std::mem::swap(&mut running, &mut finished);
        bar.inc(windows.len() as u64);
        miette::Result::<()>::Ok(())
    };
    for source in &sources {
        if sources.len() > 1 && lines.windows < limit {
            marks.push((lines.windows, file_name(&source.path)));
        }
        for block in source.blocks(&frontend)? {
            let block = block?;
            let clips = block.recording.clips(&frontend)?;
            let windows: Vec<Window<'_>> = clips.windows().take(limit - lines.windows).collect();
            for chunk in windows.chunks(TOGETHER) {
                score(chunk, block.clip, block.start, &mut lines)?;
            }
            if lines.windows >= limit {
                break;
            }
        }
    }
    // What was scored last is still to be hashed.
    score(&[], 0, 0, &mut lines)?;
    bar.finish_and_clear();
    let saturated = running.saturated() + finished.saturated();
    if let Some((mut file, path)) = raw_file {
        file.flush().into_diagnostic().wrap_err(path)?;
    }
    progress::warn_saturated(saturated);

    let learned = match options.learns() {
        true => {
            lines = scores(true)?;
            Some(judge(&model, &sources, &options, &mut lines)?)
        }
        false => None,
    };
    let mut raised = None;
    let mut stream_hash = ActivationHash::new();
    if let Some(path) = &args.events {
        raised = Some(write_events(path, &model, &sources, &options, &mut stream_hash)?);
    }
    if let Some(path) = &args.frames {
        write_frames(path, &frontend, &sources)?;
    }
    let threshold = threshold.map(|score| real_score(score, model.score_kind()));
    lines.finish()?;
    if let Some(path) = &args.plot {
        let title = format!("{}: {} over time", model.name(), model.score_kind().name());
        plot(path, &title, model.score_kind().name(), &lines.values, threshold, &marks)?;
    }
    let report = SimulateReport {
        model: file_name(&args.model),
        name: model.name().to_string(),
        recordings: args.recordings.iter().map(|path| file_name(path)).collect(),
        score: model.score_kind().name(),
        windows: lines.windows,
        alarms: lines.alarms,
        raised,
        stream_hash: raised.map(|_| format!("{:016x}", stream_hash.value())),
        learned,
        threshold,
        mean_score: lines.mean(),
        min_score: lines.min.unwrap_or(0.0),
        max_score: lines.max.unwrap_or(0.0),
        saturated_samples: saturated,
        hash: format!("{:016x}", hash.value()),
        kernels: picovae_core::kernels::BACKEND,
    };
    let text = Listing::new()
        .row("model", &report.name)
        .row("windows", report.windows)
        .row("score", report.score)
        .row(
            "mean, least, greatest",
            format!("{:.5}, {:.5}, {:.5}", report.mean_score, report.min_score, report.max_score),
        )
        .row("threshold", threshold.map_or("none".into(), |t| format!("{t:.5}")))
        .row("alarms", report.alarms)
        .row("hash", &report.hash)
        .to_string();
    printer.report(&report, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// A real score in the model's Q format.
fn raw_score(real: f64, model: &Model<'_>) -> Score {
    // `as` saturates.
    Score((real * (1u64 << model.score_kind().frac_bits()) as f64).round() as i64)
}

/// Streams every clip of every recording through a detector that learns, and puts its verdicts in the
/// lines' place; how often what it was to learn was learnt.
fn judge(
    model: &Model<'_>,
    sources: &[Source],
    options: &StreamOptions,
    lines: &mut Scores,
) -> miette::Result<usize> {
    let frontend = frontend_of(model);
    let mut learned = 0;
    for source in sources {
        let pieces = source.pieces(&frontend)?;
        let mut written = Ok(());
        stream_pieces(
            model,
            &frontend,
            pieces,
            options,
            &mut NoTrace,
            |clip, start, verdict, _| {
                learned += usize::from(verdict.event == Some(Event::Learned));
                let pushed = lines.push(&Line {
                    clip,
                    start,
                    score: real_score(verdict.score, model.score_kind()),
                    raw: verdict.score.0,
                    alarm: verdict.is_anomaly(),
                    state: Some(state_name(verdict.state)),
                });
                if written.is_ok() {
                    written = pushed;
                }
            },
        )?;
        written?;
    }
    Ok(learned)
}

/// Streams every clip of every recording and writes the changes of state; how many alarms were raised.
fn write_events(
    path: &Path,
    model: &Model<'_>,
    sources: &[Source],
    options: &StreamOptions,
    hash: &mut ActivationHash,
) -> miette::Result<usize> {
    let frontend = frontend_of(model);
    let mut text = String::from(
        "recording,clip,window,start_frame,event,score,channel,band,percent,raw,resembles\n",
    );
    let mut raised = 0;
    for source in sources {
        let pieces = source.pieces(&frontend)?;
        for event in events_of_pieces(model, &frontend, pieces, options, hash)? {
            raised += usize::from(event.event == Event::Raised);
            let (channel, band, percent) = event.attribution;
            let score = real_score(event.score, model.score_kind());
            writeln!(
                text,
                "{},{},{},{},{},{score},{channel},{band},{percent},{},{}",
                file_name(&source.path),
                event.clip,
                event.window,
                event.start,
                event.name(),
                event.score.0,
                event.resembles,
            )
            .into_diagnostic()?;
        }
    }
    std::fs::write(path, text).into_diagnostic().wrap_err_with(|| path.display().to_string())?;
    Ok(raised)
}

/// Every sample of every clip in the device's counts.
fn write_frames(path: &Path, frontend: &Frontend, sources: &[Source]) -> miette::Result<()> {
    let (mut file, path) = create(path)?;
    for source in sources {
        for piece in source.pieces(frontend)? {
            for (at, &x) in piece?.1.iter().enumerate() {
                let count = frontend.raw(x, at % frontend.channels).to_le_bytes();
                file.write_all(&count).into_diagnostic().wrap_err_with(|| path.clone())?;
            }
        }
    }
    file.flush().into_diagnostic().wrap_err(path)
}
