//! What `picovae search` reports, as JSON and as a page.

use picovae::report::{Chart, Mark, Page, Series};
use picovae::search::{Figures, Trial};
use serde::Serialize;

use crate::args::command_line;

/// JSON of `picovae search --json`.
#[derive(Debug, Serialize)]
pub(super) struct SearchReport {
    pub(super) model: String,
    pub(super) study: String,
    pub(super) trials: usize,
    pub(super) failed: usize,
    pub(super) best: TrialReport,
    pub(super) reference_loss: f64,
    pub(super) front: Vec<TrialReport>,
}

/// A trial in it.
#[derive(Debug, Serialize)]
pub(super) struct TrialReport {
    pub(super) trial: i64,
    pub(super) candidate: String,
    pub(super) weight_bits: String,
    pub(super) params: usize,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

/// The report.
pub(super) fn page(report: &SearchReport, trials: &[Trial]) -> miette::Result<Page> {
    let mut page = Page::new(format!("Search: {}", report.model));
    page.paragraph(&format!(
        "{} networks were tried, {} of them failed. The best of those trained longest: {}.",
        report.trials, report.failed, report.best.candidate
    ));
    page.section("Pareto front");
    for (x, of) in [
        ("blob, bytes", (|f: &Figures| f.blob_bytes as f64) as fn(&Figures) -> f64),
        ("instructions", |f: &Figures| f.instructions as f64),
    ] {
        let all = trials.iter().filter_map(|t| t.figures.last());
        let series = [
            ("all", all.map(|f| (of(f), f.loss)).collect()),
            ("front", report.front.iter().map(|t| (of(&t.figures), t.figures.loss)).collect()),
        ];
        let chart = Chart {
            x: x.into(),
            y: "negative ELBO, nats".into(),
            log_x: true,
            series: series
                .map(|(name, points)| Series { name: name.into(), mark: Mark::Points, points })
                .into(),
            ..Chart::default()
        };
        page.chart(&chart, "Every network after its last rung; lower and further left is better.")?;
    }
    let heads = [
        "trial",
        "blob",
        "arena",
        "instructions",
        "loss",
        "float",
        "detection",
        "epochs",
        "network",
    ];
    let rows = report.front.iter().map(|trial| {
        let f = trial.figures;
        [
            trial.trial.to_string(),
            f.blob_bytes.to_string(),
            f.arena_bytes.to_string(),
            f.instructions.to_string(),
            format!("{:.3}", f.loss),
            format!("{:.3}", f.float_loss),
            format!("{:.4}", f.detection),
            f.epochs.to_string(),
            trial.candidate.clone(),
        ]
    });
    page.table(heads, rows);
    page.section("To do it again");
    page.command(&command_line());
    Ok(page)
}
