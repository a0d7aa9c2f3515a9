//! `picovae eval --all-scores`: every score of a float model; the choice is made on validation data.

use std::process::ExitCode;

use picovae::evaluate::Labelled;
use picovae::fit::{compare_scores, scores_of_kinds};
use picovae::graph::{ScoreKind, Vae};
use picovae::recording::Recording;
use serde::Serialize;

use super::eval::{EvalArgs, Truth};
use crate::args::{Loaded, file_name};
use crate::printer::{Listing, Printer, Table};

/// JSON of `picovae eval --all-scores --json`.
#[derive(Debug, Serialize)]
struct ScoresReport {
    model: String,
    /// The best on the validation data.
    picked: Option<ScoreKind>,
    scores: Vec<ScoreReport>,
}

#[derive(Debug, Serialize)]
struct ScoreReport {
    score: ScoreKind,
    validation: f64,
    roc_auc: Option<f64>,
    pr_auc: Option<f64>,
    best_f1: Option<f64>,
}

/// Compares on the validation recordings, then judges the test recordings with every score.
pub fn run(
    args: &EvalArgs,
    vae: &Vae,
    validation: Vec<Loaded>,
    tests: &[(Vec<Loaded>, Option<bool>)],
    printer: &mut Printer,
) -> miette::Result<ExitCode> {
    let validation: Vec<Recording> = validation.into_iter().map(|l| l.recording).collect();
    let (found, latents) = compare_scores(vae, &validation, args.seed.into())?;
    let kinds: Vec<ScoreKind> = found.iter().map(|separation| separation.score).collect();
    let mut labelled = vec![Labelled::default(); kinds.len()];
    for (recordings, known) in tests {
        for Loaded { recording, labels } in recordings {
            let scores = scores_of_kinds(vae, latents.as_ref(), &kinds, recording)?;
            let clips = recording.clips(&vae.frontend)?;
            let truth = match (known, labels) {
                (Some(anomalous), _) => Truth::All(*anomalous),
                (None, Some(labels)) => Truth::Labels(labels),
                (None, None) => Truth::Unknown,
            };
            for (labelled, scores) in labelled.iter_mut().zip(&scores) {
                truth.add(labelled, &clips, scores, args.normal_label)?;
            }
        }
    }
    let report = ScoresReport {
        model: file_name(&args.model),
        picked: kinds.first().copied(),
        scores: found
            .iter()
            .zip(&labelled)
            .map(|(separation, labelled)| {
                let detection = labelled.detection();
                ScoreReport {
                    score: separation.score,
                    validation: separation.mean,
                    roc_auc: detection.roc_auc,
                    pr_auc: detection.pr_auc,
                    best_f1: detection.best_f1,
                }
            })
            .collect(),
    };
    let mut table = Table::new(["score", "validation", "ROC AUC", "PR AUC", "best F1"]);
    let figure = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.4}"));
    for row in &report.scores {
        table.row([
            row.score.to_string(),
            format!("{:.4}", row.validation),
            figure(row.roc_auc),
            figure(row.pr_auc),
            figure(row.best_f1),
        ]);
    }
    let picked = report.picked.map_or("-", ScoreKind::name);
    let text = Listing::new().row("picked on the validation data", picked).to_string();
    printer.report(&report, &format!("{table}\n{text}"))?;
    Ok(ExitCode::SUCCESS)
}
