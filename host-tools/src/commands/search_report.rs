//! What `picovae search` reports, as JSON and as a page.

use std::path::Path;

use picovae::graph::ScoreKind;
use picovae::report::{Chart, Mark, Page, Series};
use picovae::search::{Best, Figures, Task, Trial, pareto};
use picovae::train::TrainError;
use serde::Serialize;

use crate::args::command_line;
use crate::printer::{Listing, Table};

/// JSON of `picovae search --json`.
#[derive(Debug, Serialize)]
pub(super) struct SearchReport {
    pub(super) model: String,
    pub(super) study: String,
    pub(super) trials: usize,
    /// As many as were asked for.
    pub(super) wanted: usize,
    pub(super) failed: usize,
    pub(super) best: TrialReport,
    pub(super) reference_loss: f64,
    pub(super) front: Vec<TrialReport>,
    /// The model's score, where blobs were measured by another one.
    #[serde(skip)]
    pub(super) score: Option<ScoreKind>,
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

impl TrialReport {
    /// `figures` are those of the trial's last rung.
    fn new(trial: &Trial, figures: Figures, task: &Task<'_>) -> Result<Self, TrainError> {
        let network = task.network(&trial.candidate, 0)?;
        Ok(Self {
            trial: trial.id,
            candidate: trial.candidate.to_string(),
            weight_bits: trial.candidate.weight_bits(&network).to_string(),
            params: network.params(),
            figures,
        })
    }
}

impl SearchReport {
    /// Of all trials, the best one of them, and what the reference's loss is.
    pub(super) fn new(
        model: String,
        study: &str,
        task: &Task<'_>,
        trials: &[Trial],
        best: &Best,
        reference_loss: f64,
        wanted: usize,
    ) -> Result<Self, TrainError> {
        let last = |trial: &Trial| trial.figures.last().copied();
        let finished: Vec<(&Trial, Figures)> =
            trials.iter().filter_map(|trial| Some((trial, last(trial)?))).collect();
        let points: Vec<Vec<f64>> =
            finished.iter().map(|(_, figures)| figures.objectives()).collect();
        let places = finished.iter().zip(pareto::fronts(&points));
        let first = places.filter(|(_, place)| *place == 0);
        let mut front = first
            .map(|((trial, figures), _)| TrialReport::new(trial, *figures, task))
            .collect::<Result<Vec<_>, _>>()?;
        front.sort_by_key(|trial| trial.figures.blob_bytes);
        Ok(Self {
            model,
            study: study.into(),
            trials: trials.len(),
            wanted,
            failed: trials.len() - finished.len(),
            best: TrialReport::new(&best.trial, best.figures, task)?,
            reference_loss,
            front,
            score: None,
        })
    }

    /// How many networks there were, and why not as many as were asked for.
    fn told_trials(&self) -> String {
        let told = format!("{} ({} failed)", self.trials, self.failed);
        match self.trials < self.wanted {
            true => format!("{told} of {}: no other that was drawn keeps the budgets", self.wanted),
            false => told,
        }
    }

    /// The report in words. A model that `settled` in training keeps its bits, and options would undo that.
    pub(super) fn text(&self, out: &Path, settled: bool) -> String {
        let mut table =
            Table::new(["front", "blob", "instructions", "loss", "detection", "epochs", "network"]);
        for trial in &self.front {
            let figures = trial.figures;
            table.row([
                trial.trial.to_string(),
                figures.blob_bytes.to_string(),
                figures.instructions.to_string(),
                format!("{:.3}", figures.loss),
                format!("{:.4}", figures.detection),
                figures.epochs.to_string(),
                trial.candidate.clone(),
            ]);
        }
        let (figures, reference_loss) = (self.best.figures, self.reference_loss);
        let bits = &self.best.weight_bits;
        let mut quantize = match settled {
            true => format!("no --weight-bits: the file holds what was trained, {bits}"),
            false => format!("--weight-bits {bits}"),
        };
        if let Some(score) = self.score {
            quantize += &format!("; --score {score}, as the model has it");
        }
        let loss = format!("{:.3} nats, of the model {reference_loss:.3}", figures.loss);
        let listing = Listing::new()
            .row("model", out.display())
            .row("network", &self.best.candidate)
            .row("trials", self.told_trials())
            .row("blob", format!("{} bytes", figures.blob_bytes))
            .row("arena", format!("{} bytes", figures.arena_bytes))
            .row("instructions, predicted", figures.instructions)
            .row("held-out loss", loss)
            .row("detection", format!("{:.4}", figures.detection))
            .row("quantize with", quantize);
        format!("{table}\n{listing}")
    }
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
