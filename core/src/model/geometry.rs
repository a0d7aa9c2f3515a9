//! Shapes of windowed operators: which inputs an output sees.
//!
//! Everything is channels-last: `[length][width][channels]`. A 1-D operator has width 1.

use super::wire::LayerRecord;

/// Shapes, kernel, stride and padding of a convolution or pool.
#[derive(Clone, Copy, Debug)]
pub struct Geometry<'a>(pub(super) &'a LayerRecord);

/// One of the two spatial axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub input: i32,
    pub output: i32,
    pub kernel: i32,
    pub stride: i32,
    pub padding: i32,
}

impl Geometry<'_> {
    pub(crate) fn length(&self) -> Axis {
        self.axis(self.0.in_shape[0], self.0.out_shape[0], |pair| pair[0])
    }

    pub(crate) fn width(&self) -> Axis {
        self.axis(self.0.in_shape[1], self.0.out_shape[1], |pair| pair[1])
    }

    fn axis(&self, input: u16, output: u16, of: fn([u8; 2]) -> u8) -> Axis {
        Axis {
            input: input.into(),
            output: output.into(),
            kernel: of(self.0.kernel).into(),
            stride: of(self.0.stride).into(),
            padding: of(self.0.padding).into(),
        }
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.0.in_shape[2].into()
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.0.out_shape[2].into()
    }

    /// What a padded tap holds: the input's zero point, a real 0.
    pub fn zero_point(&self) -> i8 {
        self.0.input_zero_point
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.0.in_shape.iter().map(|&n| usize::from(n)).product()
    }

    /// Elements of the output.
    pub fn output_len(&self) -> usize {
        self.0.out_shape.iter().map(|&n| usize::from(n)).product()
    }

    /// Taps of the kernel, both axes.
    pub fn taps(&self) -> usize {
        usize::from(self.0.kernel[0]) * usize::from(self.0.kernel[1])
    }

    /// Stride of length and width.
    pub fn stride(&self) -> [i32; 2] {
        [self.length().stride, self.width().stride]
    }

    /// Whether every output's window touches the input.
    pub(super) fn is_sound(&self) -> bool {
        [self.length(), self.width()].iter().all(|axis| {
            axis.kernel > 0
                && axis.stride > 0
                && axis.padding < axis.kernel
                && axis.input > 0
                && axis.output > 0
                && (axis.output - 1) * axis.stride - axis.padding < axis.input
        })
    }

    /// Whether every output of the transposed operator is one its input can reach, or lies in the gaps between.
    pub(super) fn is_sound_transposed(&self) -> bool {
        [self.length(), self.width()].iter().all(|axis| {
            axis.kernel > 0
                && axis.stride > 0
                && axis.padding < axis.kernel
                && axis.input > 0
                && axis.output > 0
                && axis.output + axis.padding
                    <= (axis.input - 1) * axis.stride + axis.kernel.max(axis.stride)
        })
    }
}

impl Axis {
    /// First input of the window of output `at`; may be negative.
    pub fn start(self, at: i32) -> i32 {
        at * self.stride - self.padding
    }

    /// The same of a transposed operator: the lowest input that meets output `at`.
    ///
    /// Output `t` sees input `i` through tap `t + padding - i * stride`. The taps of phase
    /// `(t + padding) mod stride` are stored highest first, so that inputs ascend.
    pub fn first_input(self, at: i32) -> i32 {
        let shifted = at + self.padding;
        let phase = shifted.checked_rem(self.stride).unwrap_or(0);
        let last = shifted.checked_div(self.stride).unwrap_or(0);
        last + 1 - self.taps(phase)
    }

    /// Taps of a phase of a transposed operator.
    pub fn taps(self, phase: i32) -> i32 {
        (self.kernel - phase + self.stride - 1).checked_div(self.stride).unwrap_or(0).max(0)
    }
}
