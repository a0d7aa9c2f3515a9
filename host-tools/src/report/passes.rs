//! A model before and after each pass: size, time, loss and detection, as a table and against each other.

use serde::Serialize;

use super::{Chart, Mark, Page, ReportError, Series};
use crate::compress::Quality;

/// What a model is after a pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pass {
    /// The pass; of the first one, what the model is called.
    pub pass: String,
    /// Bytes of its float weights, or of the blob.
    pub bytes: usize,
    /// Bytes of the arena; `None` before there is a blob.
    pub arena_bytes: Option<usize>,
    /// Instructions an inference: of float weights, once they are quantized to 8 bits.
    pub instructions: Option<u64>,
    /// On held-out windows.
    #[serde(flatten)]
    pub quality: Quality,
}

/// Adds the table of all passes, and beside it size against loss and against detection: of these passes (the
/// first one before all of them) and of what else was `tried`.
///
/// # Errors
/// [`ReportError::Chart`].
pub fn passes(page: &mut Page, passes: &[Pass], tried: &[Pass]) -> Result<(), ReportError> {
    page.section("Before and after each pass");
    let Some(first) = passes.first() else { return Ok(()) };
    let number = |n: Option<u64>| n.map_or("-".to_string(), |n| n.to_string());
    let rows = passes.iter().map(|pass| {
        let Quality { negative_elbo, agreement, damage_auc } = pass.quality;
        let smaller = first.bytes as f64 / pass.bytes.max(1) as f64;
        let change = pass.quality.negative_elbo - first.quality.negative_elbo;
        [
            pass.pass.clone(),
            pass.bytes.to_string(),
            format!("{smaller:.1}"),
            number(pass.arena_bytes.map(|bytes| bytes as u64)),
            number(pass.instructions),
            format!("{negative_elbo:.3}"),
            format!("{change:+.3}"),
            format!("{damage_auc:.4}"),
            format!("{:+.4}", damage_auc - first.quality.damage_auc),
            format!("{agreement:.4}"),
        ]
    });
    let heads = [
        "after",
        "bytes",
        "times smaller",
        "RAM",
        "instructions",
        "negative ELBO",
        "change",
        "AUC, damaged",
        "change",
        "agreement",
    ];
    page.table(heads, rows);
    page.paragraph(
        "Negative ELBO in nats a window over held-out normal windows. AUC of artificially damaged against normal \
         windows; agreement is the rank correlation of scores with the first model's. Instructions of a network \
         that is still float are those of its 8-bit weights.",
    );
    page.section("Size against loss and detection");
    let all: Vec<&Pass> = passes.iter().chain(tried).collect();
    let charts = [
        ("negative ELBO, nats", "Lower and further left is better.", -1.0),
        ("AUC, damaged", "Higher and further left is better.", 1.0),
    ];
    let value = |pass: &Pass, sign: f64| {
        if sign > 0.0 { pass.quality.damage_auc } else { pass.quality.negative_elbo }
    };
    for (y, better, sign) in charts {
        let point = |pass: &&Pass| (pass.bytes as f64, value(pass, sign));
        let mut series = vec![Series {
            name: "Pareto front".into(),
            mark: Mark::Line,
            points: front(all.iter().map(point).collect(), sign),
        }];
        series.extend(passes.iter().map(|pass| Series {
            name: pass.pass.clone(),
            mark: Mark::Points,
            points: vec![point(&pass)],
        }));
        if !tried.is_empty() {
            let points = tried.iter().map(|pass| point(&pass)).collect();
            series.push(Series { name: "other chains".into(), mark: Mark::Points, points });
        }
        let (x, y) = ("bytes".into(), y.into());
        page.chart(&Chart { x, y, log_x: true, series, ..Chart::default() }, better)?;
    }
    Ok(())
}

/// Those of the points that no smaller one is as good as; `sign` is 1 where greater is better.
fn front(mut points: Vec<(f64, f64)>, sign: f64) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then((sign * b.1).total_cmp(&(sign * a.1))));
    let mut best = f64::NEG_INFINITY;
    points.retain(|(_, y)| {
        let better = sign * y > best;
        best = best.max(sign * y);
        better
    });
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_has_what_nothing_smaller_reaches() {
        let points = vec![(4.0, 1.0), (2.0, 3.0), (1.0, 5.0), (3.0, 4.0)];
        assert_eq!(front(points.clone(), -1.0), [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]);
        assert_eq!(front(points, 1.0), [(1.0, 5.0)]);
    }

    #[test]
    fn every_pass_has_its_row() {
        let pass = |name: &str, bytes: usize| Pass {
            pass: name.into(),
            bytes,
            arena_bytes: None,
            instructions: Some(12),
            quality: Quality { negative_elbo: 90.0, agreement: 1.0, damage_auc: 0.9 },
        };
        let mut page = Page::new("t");
        passes(&mut page, &[pass("float", 800), pass("quantize", 200)], &[pass("no", 90)]).unwrap();
        let html = page.html();
        for part in ["<td>quantize</td>", "<td>4.0</td>", "Pareto front", "other chains"] {
            assert!(html.contains(part), "{part}");
        }
    }
}
