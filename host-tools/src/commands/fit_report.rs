//! The HTML report of `picovae fit`.

use picovae::fit::{FitOptions, Fitted};
use picovae::report::{Chart, Mark, Page, ReportError, Series};
use picovae::simulate::real_score;

use super::false_alarms::describe;
use crate::args::command_line;

/// Points of a chart at most.
const POINTS: usize = 4_000;
/// Bars of the histogram.
const BARS: usize = 60;

/// What was done, and how well it will do.
pub fn page(fitted: &Fitted, options: &FitOptions) -> Result<Page, ReportError> {
    let mut page = Page::new(fitted.vae.name.clone());
    page.paragraph("A detector of anomalies, fitted to recordings of normal operation only.");
    page.command(&command_line());
    detector(&mut page, fitted, options);
    candidates(&mut page, fitted);
    threshold(&mut page, fitted)?;
    if !fitted.notes.is_empty() {
        page.section("Noticed on the way").list(&fitted.notes);
    }
    Ok(page)
}

fn detector(page: &mut Page, fitted: &Fitted, options: &FitOptions) {
    let frontend = &fitted.vae.frontend;
    let signal = &fitted.signal;
    let kind =
        if signal.swings { "swings about a level that says nothing" } else { "its level counts" };
    let rows = [
        (
            "blob",
            format!("{} of {} bytes of flash", fitted.assembled.blob.bytes().len(), options.flash),
        ),
        ("packed for", options.target.clone()),
        (
            "window",
            format!(
                "{} frames of {} channels, every {}",
                frontend.window_len, frontend.channels, frontend.hop
            ),
        ),
        ("signal", kind.to_string()),
        ("period", signal.period.map_or("none".into(), |period| format!("{period} frames"))),
        ("mean of a window", (if frontend.remove_mean { "removed" } else { "kept" }).into()),
        ("network", fitted.tried.first().map_or(String::new(), |t| t.candidate.about.clone())),
        ("parameters", fitted.vae.params().to_string()),
        ("score", fitted.vae.score.to_string()),
        ("windows: train, choose, calibrate", format!("{:?}", fitted.windows)),
    ];
    page.section("Detector");
    page.table(["", ""], rows.map(|(name, value)| [name.to_string(), value]));
}

fn candidates(page: &mut Page, fitted: &Fitted) {
    page.section("Candidates");
    page.paragraph(
        "Each was trained on the first part of the normal recordings and compared on later normal \
         windows with faults put in, mild to plain: the mean ROC AUC over the faults. No label was used.",
    );
    let rows = fitted.tried.iter().map(|tried| {
        let best = tried.separations.first();
        [
            tried.candidate.about.clone(),
            tried.candidate.blob_bytes.to_string(),
            best.map_or("failed".into(), |best| best.score.to_string()),
            best.map_or("-".into(), |best| format!("{:.4}", best.mean)),
        ]
    });
    page.table(["front-end, network", "bytes", "best score", "separation"], rows);
    page.paragraph(&format!(
        "The finished blob, in int8: {:.4}, fault by fault:",
        fitted.separation
    ));
    let rows =
        fitted.faults.iter().map(|(fault, auc)| [fault.name().to_string(), format!("{auc:.4}")]);
    page.table(["fault", "ROC AUC"], rows);
}

fn threshold(page: &mut Page, fitted: &Fitted) -> Result<(), ReportError> {
    page.section("Threshold");
    let rate = &fitted.rate;
    page.paragraph(&format!(
        "{} false alarms a day at {} frames a second{}, {:.0} windows a day.",
        rate.false_alarms_per_day,
        rate.frames_per_second,
        if rate.assumed { " (assumed)" } else { "" },
        rate.windows_per_day,
    ));
    let Ok(model) = fitted.assembled.blob.model() else { return Ok(()) };
    let Some(threshold) = model.threshold().map(|raw| real_score(raw, model.score_kind())) else {
        return Ok(());
    };
    if let Some(tail) = &fitted.assembled.tail {
        page.paragraph(&format!("Threshold {threshold:.5}; {}.", describe(tail)));
    }
    let scores: Vec<f64> = fitted.calibration.iter().flatten().copied().collect();
    let every = scores.len().div_ceil(POINTS).max(1);
    let points: Vec<(f64, f64)> =
        scores.iter().enumerate().step_by(every).map(|(at, s)| (at as f64, *s)).collect();
    let line = |name: &str, at: f64| Series {
        name: name.into(),
        mark: Mark::Line,
        points: vec![(0.0, at), (scores.len() as f64, at)],
    };
    let chart = Chart {
        x: "calibration window".into(),
        y: fitted.vae.score.to_string(),
        series: vec![
            Series { name: "normal".into(), mark: Mark::Line, points },
            line("threshold", threshold),
        ],
        ..Chart::default()
    };
    page.chart(&chart, "Scores of the held-back normal windows, in order of time.")?;
    page.chart(&histogram(&scores, threshold), "How these scores are distributed.")?;
    Ok(())
}

fn histogram(scores: &[f64], threshold: f64) -> Chart {
    let (low, high) = scores
        .iter()
        .fold((f64::INFINITY, threshold), |(low, high), s| (low.min(*s), high.max(*s)));
    let width = ((high - low) / BARS as f64).max(f64::MIN_POSITIVE);
    let mut counts = [0u32; BARS];
    for score in scores {
        counts[(((score - low) / width) as usize).min(BARS - 1)] += 1;
    }
    let bars =
        counts.iter().enumerate().map(|(at, n)| (low + width * (at as f64 + 0.5), f64::from(*n)));
    let most = counts.iter().copied().max().map_or(1.0, f64::from);
    Chart {
        x: "score".into(),
        y: "windows".into(),
        series: vec![
            Series { name: "normal".into(), mark: Mark::Bars, points: bars.collect() },
            Series {
                name: "threshold".into(),
                mark: Mark::Line,
                points: vec![(threshold, 0.0), (threshold, most)],
            },
        ],
        ..Chart::default()
    }
}
