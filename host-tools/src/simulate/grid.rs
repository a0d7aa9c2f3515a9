//! Pictures of decoded samples: a grid of images, or of traces.

use std::path::{Path, PathBuf};

use image::{GrayImage, ImageError, Luma, Rgb, RgbImage};

/// Why a picture of samples could not be made.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum GridError {
    /// The file cannot be written.
    #[error("{path}: cannot write the picture: {source}", path = path.display())]
    #[diagnostic(help(
        "give a path that ends in .png, in a folder that exists and can be written"
    ))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// Images of this width do not fill a sample.
    #[error("a sample has {len} values, which rows of {width} pixels do not fill")]
    #[diagnostic(help("give a --width that divides the number of values"))]
    Width {
        /// Pixels a row.
        width: usize,
        /// Values a sample.
        len: usize,
    },
}

/// Pixels between samples.
const GAP: u32 = 2;

/// Draws samples on the features' grid with six fraction bits, -128 black and
/// 127 white, as images of `width` pixels.
///
/// # Errors
/// [`GridError::Write`].
pub fn image_grid(path: &Path, samples: &[Vec<i16>], width: usize) -> Result<(), GridError> {
    let height = samples.first().map_or(1, |sample| sample.len() / width.max(1)).max(1);
    let (columns, rows) = layout(samples.len());
    let (width, height) = (width as u32, height as u32);
    let mut picture = GrayImage::from_pixel(
        columns * (width + GAP) + GAP,
        rows * (height + GAP) + GAP,
        Luma([64]),
    );
    for (index, sample) in (0..).zip(samples) {
        let (left, top) = corner(index, columns, width, height);
        for (pixel, &value) in (0..).zip(sample) {
            let gray = ((i32::from(value) + (128 << 6) + 32) >> 6).clamp(0, 255) as u8;
            let (x, y) = (left + pixel % width, top + pixel / width);
            if y < top + height {
                picture.put_pixel(x, y, Luma([gray]));
            }
        }
    }
    picture.save(path).map_err(|source| GridError::Write { path: path.to_path_buf(), source })
}

/// Draws samples as traces over time, a color a channel, all to one scale.
///
/// # Errors
/// [`GridError::Write`].
pub fn trace_grid(path: &Path, samples: &[Vec<i16>], channels: usize) -> Result<(), GridError> {
    const SIZE: (u32, u32) = (240, 100);
    const COLORS: [[u8; 3]; 4] = [[31, 90, 160], [200, 80, 30], [40, 140, 70], [120, 60, 150]];
    let (low, high) = samples
        .iter()
        .flatten()
        .fold((i16::MAX, i16::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    let span = (i32::from(high) - i32::from(low)).max(1);
    let (columns, rows) = layout(samples.len());
    let mut picture = RgbImage::from_pixel(
        columns * (SIZE.0 + GAP) + GAP,
        rows * (SIZE.1 + GAP) + GAP,
        Rgb([200, 200, 200]),
    );
    let channels = channels.max(1);
    for (index, sample) in (0..).zip(samples) {
        let (left, top) = corner(index, columns, SIZE.0, SIZE.1);
        for (x, y) in (0..SIZE.0).flat_map(|x| (0..SIZE.1).map(move |y| (x, y))) {
            picture.put_pixel(left + x, top + y, Rgb([255, 255, 255]));
        }
        let frames = (sample.len() / channels).max(1);
        for channel in 0..channels {
            let row = |frame: usize| {
                let value = sample.get(frame * channels + channel).copied().unwrap_or(low);
                let up = (i32::from(value) - i32::from(low)) * (SIZE.1 as i32 - 1) / span;
                (SIZE.1 as i32 - 1 - up) as u32
            };
            let frame_at = |x: u32| x as usize * (frames - 1) / (SIZE.0 as usize - 1);
            for x in 0..SIZE.0 {
                // Joined to the next column by a vertical run.
                let (a, b) = (row(frame_at(x)), row(frame_at((x + 1).min(SIZE.0 - 1))));
                for y in a.min(b)..=a.max(b) {
                    picture.put_pixel(left + x, top + y, Rgb(COLORS[channel % COLORS.len()]));
                }
            }
        }
    }
    picture.save(path).map_err(|source| GridError::Write { path: path.to_path_buf(), source })
}

/// Columns and rows of a grid, as square as it gets.
fn layout(count: usize) -> (u32, u32) {
    let columns = (count.max(1) as f64).sqrt().ceil() as u32;
    (columns, (count.max(1) as u32).div_ceil(columns))
}

fn corner(index: u32, columns: u32, width: u32, height: u32) -> (u32, u32) {
    (GAP + index % columns * (width + GAP), GAP + index / columns * (height + GAP))
}
