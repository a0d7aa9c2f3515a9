//! What `picovae prune --compare` reports: the ranking as rows and as a page.

use picovae::compress::{Quality, Ranking};
use picovae::report::{Chart, Mark, Page, Series};

use crate::args::command_line;

/// Heads of [`rows`].
pub(super) const HEADS: [&str; 8] = [
    "criterion",
    "parameters",
    "MACs",
    "empty blocks",
    "steps",
    "negative ELBO",
    "AUC, damaged",
    "agreement",
];

/// The ranking, the model to begin with first.
pub(super) fn rows(ranking: &Ranking) -> Vec<[String; 8]> {
    let row = |name: &str, sizes: [usize; 4], quality: Quality| {
        let [params, macs, empty, steps] = sizes.map(|n| n.to_string());
        [
            name.to_string(),
            params,
            macs,
            empty,
            steps,
            format!("{:.3}", quality.negative_elbo),
            format!("{:.4}", quality.damage_auc),
            format!("{:.4}", quality.agreement),
        ]
    };
    let before = ranking
        .criteria
        .first()
        .map_or([0; 4], |ranked| [ranked.report.params_before, ranked.report.macs_before, 0, 0]);
    std::iter::once(row("before", before, ranking.reference))
        .chain(ranking.criteria.iter().map(|ranked| {
            let report = &ranked.report;
            let sizes = [report.params, report.macs, report.empty_blocks, report.steps];
            row(ranked.criterion.name(), sizes, ranked.quality)
        }))
        .collect()
}

/// The report.
pub(super) fn page(model: &str, ranking: &Ranking) -> miette::Result<Page> {
    let mut page = Page::new(format!("Criteria of importance: {model}"));
    if let Some(best) = ranking.criteria.first() {
        page.paragraph(&format!(
            "Pruned by every criterion to the same size with as many steps; {} loses least.",
            best.criterion
        ));
    }
    page.section("Ranking");
    page.table(HEADS, rows(ranking));
    page.paragraph(
        "Float models on windows that no pruning trained on (the model before may have). Negative ELBO in nats a window; AUC of \
         artificially damaged against normal windows; agreement is the rank correlation of scores with those of \
         the model before pruning. Parameters differ a little: units come whole.",
    );
    let points = |of: fn(Quality) -> f64| {
        let point = |(at, quality): (usize, Quality)| (at as f64, of(quality));
        let all = std::iter::once(ranking.reference);
        let all = all.chain(ranking.criteria.iter().map(|ranked| ranked.quality));
        all.enumerate().map(point).collect::<Vec<_>>()
    };
    let names: Vec<String> = std::iter::once("before".to_string())
        .chain(ranking.criteria.iter().map(|ranked| ranked.criterion.to_string()))
        .collect();
    let loss = Chart {
        y: "negative ELBO, nats".into(),
        names,
        series: vec![Series {
            name: String::new(),
            mark: Mark::Points,
            points: points(|quality| quality.negative_elbo),
        }],
        ..Chart::default()
    };
    page.chart(&loss, "Loss of each criterion; lower is better.")?;
    let auc = Chart {
        y: "AUC, damaged".into(),
        series: vec![Series {
            name: String::new(),
            mark: Mark::Points,
            points: points(|quality| quality.damage_auc),
        }],
        ..loss
    };
    page.chart(&auc, "Detection of each criterion; higher is better.")?;
    page.section("To do it again");
    page.command(&command_line());
    Ok(page)
}
