//! Shapes of convolutions and pools, channels last.

use super::GraphError;
use serde::{Deserialize, Serialize};

/// Shape of an activation; its elements lie `[length][width][channels]`.
///
/// A 1-D signal has width 1: `length` frames of `channels` values, as the
/// front-end emits them. An image has `length` rows of `width` pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Frames, or rows of an image.
    pub length: usize,
    /// Columns of an image; 1 for a signal.
    pub width: usize,
    /// Values at each place.
    pub channels: usize,
}

impl Shape {
    /// An image's shape, or with `width` 1 a signal's.
    pub const fn new(length: usize, width: usize, channels: usize) -> Self {
        Self { length, width, channels }
    }

    /// A vector of `len` elements.
    pub const fn flat(len: usize) -> Self {
        Self::new(1, 1, len)
    }

    /// Number of elements (saturating).
    pub const fn len(&self) -> usize {
        self.length.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Whether there is no element.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.length, self.width) {
            (1, 1) => write!(f, "{}", self.channels),
            (length, 1) => write!(f, "{length}x{}", self.channels),
            (length, width) => write!(f, "{length}x{width}x{}", self.channels),
        }
    }
}

/// What a convolution or pool reads and writes, and how its window moves.
///
/// Pairs are (length, width); for a 1-D operator the width's kernel and stride
/// are 1 and its padding 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// What it reads.
    pub input: Shape,
    /// What it writes.
    pub output: Shape,
    /// Taps.
    pub kernel: [usize; 2],
    /// Elements from one window to the next; of a transposed convolution, from
    /// one input's outputs to the next one's.
    pub stride: [usize; 2],
    /// Zeros before the first element (outputs cut off before the first one,
    /// of a transposed convolution). What is behind the last follows from the
    /// output's shape.
    pub padding: [usize; 2],
}

impl Geometry {
    /// A convolution, or a pool (with as many output channels as input channels).
    /// `padding` is (before, after) for length and width.
    ///
    /// Output length: `(input + before + after - kernel) / stride + 1`, 0 where
    /// the kernel is longer than the padded input.
    pub fn convolution(
        input: Shape,
        out_channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [(usize, usize); 2],
    ) -> Self {
        let out = |axis: usize, input: usize| {
            let (before, after) = padding[axis];
            match (input + before + after).checked_sub(kernel[axis]) {
                Some(room) => room / stride[axis].max(1) + 1,
                None => 0,
            }
        };
        Self {
            input,
            output: Shape::new(out(0, input.length), out(1, input.width), out_channels),
            kernel,
            stride,
            padding: [padding[0].0, padding[1].0],
        }
    }

    /// A transposed convolution. `padding` is cut off (before, after) for length
    /// and width; a negative end adds outputs (`output_padding` of PyTorch).
    ///
    /// Output length: `(input - 1) * stride + kernel - before - after`.
    pub fn transposed(
        input: Shape,
        out_channels: usize,
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [(usize, isize); 2],
    ) -> Self {
        let out = |axis: usize, input: usize| {
            let (before, after) = padding[axis];
            let full = (input.saturating_sub(1) * stride[axis] + kernel[axis]) as isize;
            usize::try_from(full - before as isize - after).unwrap_or(0)
        };
        Self {
            input,
            output: Shape::new(out(0, input.length), out(1, input.width), out_channels),
            kernel,
            stride,
            padding: [padding[0].0, padding[1].0],
        }
    }

    /// Places of the output.
    pub fn positions(&self) -> usize {
        self.output.length.saturating_mul(self.output.width)
    }

    /// Taps of the kernel, both axes.
    pub fn taps(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// The input at tap `tap` of output `at` along `axis`, `None` in the padding.
    pub fn input_at(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let len = if axis == 0 { self.input.length } else { self.input.width };
        (at * self.stride[axis] + tap).checked_sub(self.padding[axis]).filter(|at| *at < len)
    }

    /// The output at tap `tap` of input `at` along `axis` of a transposed
    /// convolution, `None` where it is cut off.
    pub fn output_at(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let len = if axis == 0 { self.output.length } else { self.output.width };
        (at * self.stride[axis] + tap).checked_sub(self.padding[axis]).filter(|at| *at < len)
    }

    /// The input that reaches output `at` by tap `tap` along `axis` of a transposed convolution:
    /// the other way round than [`output_at`](Self::output_at).
    pub fn source_at(&self, axis: usize, at: usize, tap: usize) -> Option<usize> {
        let len = if axis == 0 { self.input.length } else { self.input.width };
        let steps = (at + self.padding[axis]).checked_sub(tap)?;
        let stride = self.stride[axis].max(1);
        (steps % stride == 0).then_some(steps / stride).filter(|at| *at < len)
    }

    /// What the device's kernels ask for: every window touches its input.
    pub(super) fn validate(&self, layer: &str, transposed: bool) -> Result<(), GraphError> {
        self.check(transposed)
            .map_err(|reason| GraphError::Geometry { layer: layer.to_string(), reason })
    }

    /// [`validate`](Self::validate), the reason alone.
    pub(crate) fn check(&self, transposed: bool) -> Result<(), &'static str> {
        let limit = usize::from(u16::MAX);
        if self.input.is_empty() || self.output.is_empty() {
            return Err("its input or output is empty: the kernel is longer than its input");
        }
        if self.input.len() > limit || self.output.len() > limit {
            return Err("it has more than 65,535 inputs or outputs");
        }
        let sizes =
            [(self.input.length, self.output.length), (self.input.width, self.output.width)];
        for (axis, (input, output)) in sizes.into_iter().enumerate() {
            let (kernel, stride, padding) =
                (self.kernel[axis], self.stride[axis], self.padding[axis]);
            if !(1..=255).contains(&kernel) || !(1..=255).contains(&stride) {
                return Err("kernel and stride must be 1 to 255");
            }
            if padding >= kernel {
                return Err("its padding is as long as its kernel");
            }
            let sound = if transposed {
                output + padding <= (input - 1) * stride + kernel.max(stride)
            } else {
                (output - 1) * stride < input + padding
            };
            if !sound {
                return Err("some of its outputs see no input");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_lengths_are_pytorchs() {
        let input = Shape::new(28, 28, 1);
        let same = Geometry::convolution(input, 8, [3, 3], [2, 2], [(1, 1), (1, 1)]);
        assert_eq!(same.output, Shape::new(14, 14, 8));
        let signal = Shape::new(64, 1, 16);
        let g = Geometry::convolution(signal, 32, [5, 1], [2, 1], [(2, 2), (0, 0)]);
        assert_eq!(g.output, Shape::new(32, 1, 32));
        // ConvTranspose1d(k 5, stride 2, padding 2, output_padding 1).
        let back = Geometry::transposed(g.output, 16, [5, 1], [2, 1], [(2, 1), (0, 0)]);
        assert_eq!(back.output, Shape::new(64, 1, 16));
        assert_eq!(back.validate("x", true), Ok(()));
        let short = Geometry::convolution(Shape::new(3, 1, 1), 1, [5, 1], [1, 1], [(0, 0); 2]);
        assert!(matches!(short.validate("x", false), Err(GraphError::Geometry { .. })));
    }
}
