//! A float network beside its blob: layers, ranges, reconstructions, latents.

use picovae_core::VaeError;

use super::{Chart, Mark, Page, ReportError, Series, Width, images, traces};
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
/// Traces shown, of windows and channels.
const TRACES: (usize, usize) = (4, 3);
/// Bins of a histogram: fewer than an int8 layer has steps, or some would stay empty.
const BINS: usize = 40;
/// Percent of zeros from which they are left out of a histogram.
const MANY_ZEROS: f64 = 20.0;

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
    ranges(page, &float, &int8)?;
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
        x: String::new(),
        y: "mean error, % of the rms".into(),
        names: differences.iter().map(|d| d.name.clone()).collect(),
        series: vec![Series { name: String::new(), mark: Mark::Bars, points }],
        ..Chart::default()
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

/// How the values of every layer are spread, in float and in integers.
fn ranges(page: &mut Page, float: &[LayerValues], int8: &[LayerValues]) -> Result<(), ReportError> {
    page.section("Ranges of every layer");
    page.paragraph("Histograms of what every layer gives, in float and in the device's integers.");
    let charts: Vec<(Chart, String)> = float
        .iter()
        .zip(int8)
        .map(|(float, int8)| {
            let of = |layer: &LayerValues| -> Vec<f64> {
                layer.values.iter().map(|v| f64::from(*v)).filter(|v| v.is_finite()).collect()
            };
            let (float, int8_values) = (of(float), of(int8));
            let both = || float.iter().chain(&int8_values).copied();
            let (low, high) =
                both().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            let zeros = |values: &[f64]| {
                let zeros = values.iter().filter(|v| **v == 0.0).count();
                100.0 * zeros as f64 / values.len().max(1) as f64
            };
            // What a rectifier stops would dwarf everything else.
            let hidden = zeros(&float) > MANY_ZEROS;
            let series = |name: &str, mark: Mark, values: &[f64]| {
                let points = histogram(values, low, high, hidden);
                Series { name: name.into(), mark, points }
            };
            let caption = match hidden {
                true => format!("{}: without its {:.0} % zeros", int8.name, zeros(&float)),
                false => int8.name.clone(),
            };
            let chart = Chart {
                y: "values, %".into(),
                width: Width::Third,
                series: vec![
                    series("float", Mark::Line, &float),
                    series("int8", Mark::Line, &int8_values),
                ],
                ..Chart::default()
            };
            (chart, caption)
        })
        .collect();
    page.charts(&charts)?;
    Ok(())
}

/// Share of the values in every bin from `low` to `high`, in percent, over the middles of the bins.
fn histogram(values: &[f64], low: f64, high: f64, without_zeros: bool) -> Vec<(f64, f64)> {
    let width = ((high - low) / BINS as f64).max(f64::MIN_POSITIVE);
    let mut counts = [0u32; BINS];
    for value in values.iter().filter(|v| !without_zeros || **v != 0.0) {
        counts[(((value - low) / width) as usize).min(BINS - 1)] += 1;
    }
    let all = values.len().max(1) as f64;
    let point = |(bin, count): (usize, &u32)| {
        (low + (bin as f64 + 0.5) * width, 100.0 * f64::from(*count) / all)
    };
    counts.iter().enumerate().map(point).collect()
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
    let channels = if vae.frontend.spectrum.is_some() { 1 } else { vae.frontend.channels };
    let step = windows.div_ceil(TRACES.0).max(1);
    let mut charts = Vec::new();
    for index in (0..windows).step_by(step) {
        let values: Vec<(&str, Vec<f32>)> =
            rows.iter().map(|(name, layer)| (*name, layer.values.row(index).to_vec())).collect();
        let named: Vec<(&str, &[f32])> =
            values.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        for channel in 0..channels.min(TRACES.1) {
            let chart = Chart { width: Width::Half, ..traces(&named, channels, channel) };
            charts.push((chart, format!("window {index}, channel {channel}")));
        }
    }
    page.charts(&charts)?;
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
        series: series.into(),
        ..Chart::default()
    };
    page.chart(&chart, "Means of the windows in the two widest dimensions.")?;
    Ok(())
}
