//! A float network beside its blob: layers, ranges, reconstructions, latents.

use picovae_core::VaeError;

use super::{Chart, Mark, Page, ReportError, Series, images, traces};
use crate::diff::{DiffError, LayerValues, blob_layers, diff, float_layers};
use crate::emit::{Blob, BlobError};
use crate::graph::{Activation, Likelihood, Vae};
use crate::recording::Clips;

/// Why two models cannot be put beside each other.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ComparisonError {
    /// The blob.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Blob(#[from] BlobError),
    /// The windows.
    #[error(transparent)]
    Vae(#[from] VaeError),
    /// The layers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Diff(#[from] DiffError),
    /// The page.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Report(#[from] ReportError),
}

/// Windows that are run.
const WINDOWS: usize = 500;
/// Reconstructions shown.
const SHOWN: usize = 10;
/// Lines in the chart of ranges.
const LINES: usize = 6;
const BINS: usize = 60;

/// Adds what `vae` and `blob`, its integers, make of the same windows; and beside it
/// `reference`, the model they came from, where it is another one.
///
/// # Errors
/// [`ComparisonError`].
pub fn compare(
    page: &mut Page,
    vae: &Vae,
    blob: &Blob,
    reference: Option<&Vae>,
    clips: &Clips<'_>,
) -> Result<(), ComparisonError> {
    let float = float_layers(vae, clips, WINDOWS);
    let int8 = blob_layers(&blob.model()?, clips, WINDOWS)?;
    let parents = reference.map(|reference| float_layers(reference, clips, WINDOWS));
    layers(page, &float, &int8)?;
    ranges(page, &int8)?;
    let parent = parents.as_deref().and_then(<[LayerValues]>::last);
    reconstructions(page, vae, &float, &int8, parent)?;
    latents(page, &float, &int8)?;
    Ok(())
}

/// Where the integers part from the float network.
fn layers(
    page: &mut Page,
    float: &[LayerValues],
    int8: &[LayerValues],
) -> Result<(), ComparisonError> {
    let differences = diff(("float", float), ("int8", int8))?;
    page.section("Error of every layer");
    let share = |mean: f64, rms: f64| 100.0 * if rms > 0.0 { mean / rms } else { mean };
    let points = differences.iter().enumerate();
    let points = points.map(|(at, d)| (at as f64, share(d.mean_abs, d.rms))).collect();
    let chart = Chart {
        x: "layer, in order of execution".into(),
        y: "mean error, % of the rms".into(),
        log_x: false,
        series: vec![Series { name: String::new(), mark: Mark::Bars, points }],
    };
    page.chart(&chart, "Mean difference of the integers from the same network in float.")?;
    let rows = differences.iter().map(|d| {
        [
            d.name.clone(),
            format!("{:.4}", d.max_abs),
            format!("{:.5}", d.mean_abs),
            format!("{:.4}", d.rms),
            format!("{:.2} %", share(d.mean_abs, d.rms)),
        ]
    });
    page.table(["layer", "largest", "mean", "rms", "mean / rms"], rows);
    Ok(())
}

/// How the values of every layer lie in its range.
fn ranges(page: &mut Page, int8: &[LayerValues]) -> Result<(), ReportError> {
    page.section("Ranges");
    for layers in int8.chunks(LINES) {
        let series = layers.iter().map(|layer| {
            let values = || layer.values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite());
            let (low, high) =
                values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            let mut counts = [0u32; BINS];
            for value in values() {
                let place = (value - low) / (high - low).max(f64::MIN_POSITIVE) * BINS as f64;
                counts[(place as usize).min(BINS - 1)] += 1;
            }
            let total = values().count().max(1) as f64;
            let point = |(bin, count): (usize, &u32)| {
                ((bin as f64 + 0.5) / BINS as f64, 100.0 * f64::from(*count) / total)
            };
            Series {
                name: format!("{} [{low:.2}, {high:.2}]", layer.name),
                mark: Mark::Line,
                points: counts.iter().enumerate().map(point).collect(),
            }
        });
        let chart = Chart {
            x: "place in the layer's range".into(),
            y: "values, %".into(),
            log_x: false,
            series: series.collect(),
        };
        page.chart(
            &chart,
            "Histograms of activations, from the least to the greatest value seen.",
        )?;
    }
    Ok(())
}

/// What goes in and what comes out.
fn reconstructions(
    page: &mut Page,
    vae: &Vae,
    float: &[LayerValues],
    int8: &[LayerValues],
    parent: Option<&LayerValues>,
) -> Result<(), ReportError> {
    let (Some(features), Some(float), Some(int8)) = (float.first(), float.last(), int8.last())
    else {
        return Ok(());
    };
    page.section("Reconstructions");
    let windows = features.values.nrows();
    let step = windows.div_ceil(SHOWN).max(1);
    let side = vae.input_len().isqrt();
    let bernoulli = matches!(vae.likelihood, Likelihood::Bernoulli);
    let mut rows = vec![("input", features)];
    rows.extend(parent.map(|parent| ("the model it came from", parent)));
    rows.extend([("float", float), ("int8", int8)]);
    if bernoulli && side * side == vae.input_len() {
        for (name, layer) in rows {
            let picture = |index: usize| -> Vec<f32> {
                let row = layer.values.row(index);
                let probability = |x: &f32| Activation::Sigmoid.apply(*x);
                match name {
                    "input" => row.to_vec(),
                    _ => row.iter().map(probability).collect(),
                }
            };
            let shown: Vec<Vec<f32>> = (0..windows).step_by(step).map(picture).collect();
            page.picture(&images(&shown, side), name);
        }
        return Ok(());
    }
    for index in (0..windows).step_by(step).take(4) {
        let values: Vec<(&str, Vec<f32>)> =
            rows.iter().map(|(name, layer)| (*name, layer.values.row(index).to_vec())).collect();
        let named: Vec<(&str, &[f32])> =
            values.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        let channels = if vae.frontend.spectrum.is_some() { 1 } else { vae.frontend.channels };
        page.chart(&traces(&named, channels, 0), &format!("window {index}"))?;
    }
    Ok(())
}

/// The two widest dimensions of the latent.
fn latents(
    page: &mut Page,
    float: &[LayerValues],
    int8: &[LayerValues],
) -> Result<(), ReportError> {
    let mu = |layers: &[LayerValues]| layers.iter().find(|layer| layer.name == "mu").cloned();
    let (Some(float), Some(int8)) = (mu(float), mu(int8)) else { return Ok(()) };
    let mut widest: Vec<usize> = (0..float.values.ncols()).collect();
    let spread = |dimension: &usize| float.values.column(*dimension).std(0.0);
    widest.sort_by(|a, b| spread(b).total_cmp(&spread(a)));
    let [Some(&first), second] = [widest.first(), widest.get(1)] else { return Ok(()) };
    let second = *second.unwrap_or(&first);
    page.section("Latents");
    let series = [("float", &float), ("int8", &int8)].map(|(name, layer)| Series {
        name: name.into(),
        mark: Mark::Points,
        points: layer
            .values
            .rows()
            .into_iter()
            .map(|row| (f64::from(row[first]), f64::from(row[second])))
            .collect(),
    });
    let chart = Chart {
        x: format!("mu[{first}]"),
        y: format!("mu[{second}]"),
        log_x: false,
        series: series.into(),
    };
    page.chart(&chart, "Means of the windows in the two widest dimensions.")?;
    Ok(())
}
