//! A picture of the score over time, with the threshold.

use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::prelude::*;

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{path}: cannot draw the picture: {reason}", path = path.display())]
#[diagnostic(help("give a path that ends in .png, in a folder that exists and can be written"))]
pub struct PlotError {
    /// The file.
    pub path: PathBuf,
    /// What the drawing library said.
    pub reason: String,
}

const SIZE: (u32, u32) = (1200, 480);
/// Points drawn at most; more windows are drawn as the maximum of a run.
const MAX_POINTS: usize = 2_400;

/// Draws `scores` in the order of time, the threshold as a line, and what is
/// above it in red. `marks` are window indices with a label (a new recording,
/// a fault), drawn as vertical lines.
///
/// # Errors
/// [`PlotError`].
pub fn plot(
    path: &Path,
    title: &str,
    unit: &str,
    scores: &[f64],
    threshold: Option<f64>,
    marks: &[(usize, String)],
) -> Result<(), PlotError> {
    draw(path, title, unit, scores, threshold, marks)
        .map_err(|error| PlotError { path: path.to_path_buf(), reason: error.to_string() })
}

fn draw(
    path: &Path,
    title: &str,
    unit: &str,
    scores: &[f64],
    threshold: Option<f64>,
    marks: &[(usize, String)],
) -> Result<(), Box<dyn std::error::Error>> {
    register_font()?;
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in scores.iter().copied().chain(threshold) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    let margin = ((high - low) * 0.08).max(f64::MIN_POSITIVE.max(high.abs() * 1e-6));
    let (low, high) = (low - margin, high + margin);

    let mut pixels = vec![0u8; 3 * SIZE.0 as usize * SIZE.1 as usize];
    let root = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(80)
        .build_cartesian_2d(0f64..scores.len().max(1) as f64, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("window")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_desc(unit)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;

    let run = scores.len().div_ceil(MAX_POINTS).max(1);
    let points: Vec<(f64, f64)> = scores
        .chunks(run)
        .enumerate()
        .map(|(i, run_scores)| {
            let peak = run_scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            ((i * run) as f64, peak)
        })
        .collect();
    let blue = RGBColor(31, 90, 160);
    chart.draw_series(LineSeries::new(points.iter().copied(), blue))?;
    if let Some(threshold) = threshold {
        let red = RGBColor(200, 40, 30);
        let above = points.iter().filter(|(_, score)| *score > threshold);
        chart.draw_series(above.map(|point| Circle::new(*point, 2, red.filled())))?;
        let line = [(0.0, threshold), (scores.len() as f64, threshold)];
        chart.draw_series(LineSeries::new(line, red.stroke_width(2)))?;
        let label = Text::new(
            "threshold",
            (0.0, threshold + (high - low) * 0.05),
            ("sans-serif", 14).into_font().color(&red),
        );
        chart.draw_series([label])?;
    }
    for (at, label) in marks {
        let x = *at as f64;
        let gray = RGBColor(110, 110, 110);
        chart.draw_series(LineSeries::new([(x, low), (x, high)], gray))?;
        let text = Text::new(label.clone(), (x, high), ("sans-serif", 14).into_font().color(&gray));
        chart.draw_series([text])?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    image::save_buffer(path, &pixels, SIZE.0, SIZE.1, image::ColorType::Rgb8)?;
    Ok(())
}

/// The font ships with the tool: a fresh machine may have none.
pub(crate) fn register_font() -> Result<(), Box<dyn std::error::Error>> {
    static ONCE: Once = Once::new();
    let mut failed = false;
    ONCE.call_once(|| {
        let font = epaint_default_fonts::UBUNTU_LIGHT;
        failed = plotters::style::register_font("sans-serif", FontStyle::Normal, font).is_err();
    });
    if failed { Err("the built-in font is not readable".into()) } else { Ok(()) }
}
