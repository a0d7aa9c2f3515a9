//! Pictures inside the page: samples as images or as traces.

use base64::Engine;
use image::{GrayImage, ImageFormat, Luma};

use super::{Chart, Mark, Series};

/// Pixels between images.
const GAP: usize = 2;
/// Each pixel of a sample is drawn so wide.
const ZOOM: u32 = 2;

/// Samples in [0, 1] as images of `width` pixels side by side, as a PNG in a data URI.
pub fn images(samples: &[Vec<f32>], width: usize) -> String {
    let width = width.max(1);
    let height =
        samples.iter().map(|sample| sample.len().div_ceil(width)).max().unwrap_or(1).max(1);
    let columns = samples.len().max(1);
    let total = (columns * (width + GAP) + GAP, height + 2 * GAP);
    let mut picture = GrayImage::from_pixel(total.0 as u32, total.1 as u32, Luma([96]));
    for (column, sample) in samples.iter().enumerate() {
        let left = GAP + column * (width + GAP);
        for (at, value) in sample.iter().enumerate() {
            let gray = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            let (x, y) = (left + at % width, GAP + at / width);
            picture.put_pixel(x as u32, y as u32, Luma([gray]));
        }
    }
    let (wide, high) = (total.0 as u32 * ZOOM, total.1 as u32 * ZOOM);
    let picture =
        image::imageops::resize(&picture, wide, high, image::imageops::FilterType::Nearest);
    let mut png = std::io::Cursor::new(Vec::new());
    // Writing to memory fails only where there is none left.
    if picture.write_to(&mut png, ImageFormat::Png).is_err() {
        return String::new();
    }
    let text = base64::engine::general_purpose::STANDARD.encode(png.into_inner());
    format!("data:image/png;base64,{text}")
}

/// A sample of `channels` interleaved values and its reconstructions, by name,
/// one channel of each over time.
pub fn traces(named: &[(&str, &[f32])], channels: usize, channel: usize) -> Chart {
    let channels = channels.max(1);
    let series = named.iter().map(|(name, values)| Series {
        name: (*name).into(),
        mark: Mark::Line,
        points: values
            .chunks(channels)
            .enumerate()
            .filter_map(|(t, frame)| Some((t as f64, f64::from(*frame.get(channel)?))))
            .collect(),
    });
    Chart {
        x: "feature".into(),
        y: format!("channel {channel}, normalized"),
        series: series.collect(),
        ..Chart::default()
    }
}
