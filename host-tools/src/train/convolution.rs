//! The convolutional part of a network: what can be asked for, and its shapes.
//!
//! An encoder's convolutions halve (or whatever their stride says) a signal or
//! an image; the decoder's transposed convolutions undo that. Padding is
//! "same": an output for every `stride` inputs, and back.

use super::{Architecture, TrainError};
use crate::graph::{Frontend, Geometry, Shape};
use serde::Serialize;

/// One convolution, or one transposed convolution of a decoder: written
/// `16x5s2`, 16 channels, kernel 5, stride 2.
///
/// Of an image kernel and stride are those of both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Convolution {
    /// Channels it writes.
    pub channels: usize,
    /// Taps along each axis.
    pub kernel: usize,
    /// Inputs from one window to the next (outputs, of a transposed one).
    pub stride: usize,
}

impl std::fmt::Display for Convolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.channels, self.kernel)?;
        if self.stride == 1 { Ok(()) } else { write!(f, "s{}", self.stride) }
    }
}

impl std::str::FromStr for Convolution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (channels, rest) = text.split_once('x')?;
            let (kernel, stride) = rest.split_once('s').unwrap_or((rest, "1"));
            let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0);
            Some(Self {
                channels: number(channels)?,
                kernel: number(kernel)?,
                stride: number(stride)?,
            })
        };
        parse().ok_or_else(|| {
            format!("`{text}` is not CHANNELSxKERNEL or CHANNELSxKERNELsSTRIDE, such as 16x5s2")
        })
    }
}

/// Rows and columns of an image, written `28x28`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl Image {
    /// The shape of so many features, which are this image in one channel or several.
    ///
    /// # Errors
    /// [`TrainError::Image`] where they are not.
    pub(crate) fn shape(self, features: usize) -> Result<Shape, TrainError> {
        let pixels = self.rows.saturating_mul(self.columns);
        match features.checked_div(pixels) {
            Some(channels) if channels > 0 && channels * pixels == features => {
                Ok(Shape::new(self.rows, self.columns, channels))
            }
            _ => Err(TrainError::Image { image: self, features }),
        }
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

impl std::str::FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n > 0);
        let parse = || {
            let (rows, columns) = text.split_once('x')?;
            Some(Self { rows: number(rows)?, columns: number(columns)? })
        };
        parse().ok_or_else(|| format!("`{text}` is not ROWSxCOLUMNS, such as 28x28"))
    }
}

/// Shapes of both convolutional parts, in order of execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Convolutions {
    pub(super) encoder: Vec<Geometry>,
    pub(super) decoder: Vec<Geometry>,
}

impl Architecture {
    /// Works out every convolution's shape for the features of a front-end.
    pub(super) fn convolve(&self, frontend: &Frontend) -> Result<Convolutions, TrainError> {
        let features = self.features(frontend)?;
        let mut encoder = Vec::new();
        let mut shape = features;
        for convolution in &self.convolutions {
            let geometry = convolution.forward(shape)?;
            shape = geometry.output;
            encoder.push(geometry);
        }
        let mirrored = || {
            let channels = encoder.iter().map(|geometry: &Geometry| geometry.input.channels);
            let mirror = self.convolutions.iter().zip(channels);
            mirror.map(|(convolution, channels)| Convolution { channels, ..*convolution }).rev()
        };
        let transposed: Vec<Convolution> = match &self.decoder_convolutions {
            Some(given) => given.clone(),
            None => mirrored().collect(),
        };
        let Some(last) = transposed.last() else {
            return Ok(Convolutions { encoder, decoder: Vec::new() });
        };
        if last.channels != features.channels {
            return Err(TrainError::DecoderChannels {
                convolution: *last,
                found: last.channels,
                expected: features.channels,
            });
        }
        // From the features back to the latent: each input has the places of
        // its output divided by the stride, and the channels of the one before.
        let mirror = encoder.last().map_or(transposed[0].channels, |last| last.output.channels);
        let before = self.decoder_hidden.last().copied().unwrap_or(self.latent);
        let mut decoder = Vec::new();
        let mut output = features;
        for (at, convolution) in transposed.iter().enumerate().rev() {
            let channels = if at == 0 { mirror } else { transposed[at - 1].channels };
            let mut geometry = convolution.backward(output, channels)?;
            // A single place is what lies before it, as it is: a fully connected layer between would be
            // a second one, and one from there to every place has a bias and a scale for each.
            let given = self.decoder_convolutions.is_some();
            if at == 0 && given && (geometry.input.length, geometry.input.width) == (1, 1) {
                geometry.input.channels = before;
            }
            output = geometry.input;
            decoder.push(geometry);
        }
        decoder.reverse();
        Ok(Convolutions { encoder, decoder })
    }

    /// The features as a signal `[frame][channel]`, or as the image asked for.
    fn features(&self, frontend: &Frontend) -> Result<Shape, TrainError> {
        let (len, groups) = (frontend.feature_len(), frontend.groups().max(1));
        let Some(image) = self.image else { return Ok(Shape::new(len / groups, 1, groups)) };
        image.shape(len)
    }
}

impl Convolution {
    /// From what a convolution reads.
    fn forward(&self, input: Shape) -> Result<Geometry, TrainError> {
        self.fit(input)?;
        let len = |len: usize| len.div_ceil(self.stride);
        let width = if input.width == 1 { 1 } else { len(input.width) };
        let output = Shape::new(len(input.length), width, self.channels);
        Ok(self.geometry(input, output, input))
    }

    /// From what a transposed convolution writes.
    fn backward(&self, output: Shape, channels: usize) -> Result<Geometry, TrainError> {
        self.fit(output)?;
        let len = |len: usize| len.div_ceil(self.stride);
        let width = if output.width == 1 { 1 } else { len(output.width) };
        let input = Shape::new(len(output.length), width, channels);
        Ok(self.geometry(input, output, output))
    }

    /// Padding at the start is half the kernel, or less where so much is not needed.
    fn geometry(&self, input: Shape, output: Shape, large: Shape) -> Geometry {
        let pad = |len: usize| {
            let covered = (len.div_ceil(self.stride) - 1) * self.stride + self.kernel;
            ((self.kernel - 1) / 2).min(covered.saturating_sub(len))
        };
        let signal = large.width == 1;
        Geometry {
            input,
            output,
            kernel: [self.kernel, if signal { 1 } else { self.kernel }],
            stride: [self.stride, if signal { 1 } else { self.stride }],
            padding: [pad(large.length), if signal { 0 } else { pad(large.width) }],
        }
    }

    /// A stride or kernel longer than what it moves over is a mistake.
    fn fit(&self, large: Shape) -> Result<(), TrainError> {
        let shortest = if large.width == 1 { large.length } else { large.length.min(large.width) };
        let (what, size) = if self.stride > shortest {
            ("stride", self.stride)
        } else if self.kernel > shortest {
            ("kernel", self.kernel)
        } else {
            return Ok(());
        };
        Err(TrainError::Convolution { convolution: *self, shape: large, what, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Convolution {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_back() {
        assert_eq!(parse("16x5s2"), Convolution { channels: 16, kernel: 5, stride: 2 });
        assert_eq!(parse("8x3").to_string(), "8x3");
        assert_eq!(parse("8x3s4").to_string(), "8x3s4");
        for bad in ["8", "x3", "8x0", "8x3s0", "8x3s", "8X3", "-8x3"] {
            assert!(bad.parse::<Convolution>().is_err(), "{bad}");
        }
        assert_eq!("28x30".parse(), Ok(Image { rows: 28, columns: 30 }));
        assert!("28".parse::<Image>().is_err());
    }

    #[test]
    fn every_length_goes_there_and_back() {
        for length in 1..40 {
            for kernel in 1..=length.min(9) {
                for stride in 1..=length.min(6) {
                    let convolution = Convolution { channels: 2, kernel, stride };
                    let signal = Shape::new(length, 1, 3);
                    let down = convolution.forward(signal).unwrap();
                    assert_eq!(down.output.length, length.div_ceil(stride));
                    let up = convolution.backward(signal, 2).unwrap();
                    assert_eq!((up.input, up.output), (down.output, down.input));
                    // Every output sees an input, as the graph asks.
                    assert!((down.output.length - 1) * stride < length + down.padding[0]);
                    let reach = (up.input.length - 1) * stride + kernel.max(stride);
                    assert!(length + up.padding[0] <= reach, "{convolution} {length}");
                }
            }
        }
        let same = parse("8x5s2").forward(Shape::new(64, 1, 3)).unwrap();
        assert_eq!(same.padding, [2, 0]);
        let image = parse("8x3s2").forward(Shape::new(28, 28, 1)).unwrap();
        assert_eq!((image.output, image.kernel), (Shape::new(14, 14, 8), [3, 3]));
        assert_eq!(image.padding, [1, 1]);
    }

    #[test]
    fn an_image_has_the_size_of_the_features() {
        let check = |text: &str| text.parse::<Image>().unwrap().shape(48);
        for good in ["6x8", "4x4"] {
            check(good).unwrap();
        }
        for bad in ["5x8", "7x7", "96x1", "12x8"] {
            assert!(matches!(check(bad), Err(TrainError::Image { features: 48, .. })), "{bad}");
        }
    }
}
