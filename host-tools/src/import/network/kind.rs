//! What the nodes of a [`super::Network`] compute.

use crate::graph::Activation;
use ndarray::{Array1, Array2, Array4, ArrayD};

/// One operator. Shapes and axes leave the batch out.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A window of features.
    Input {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// `x . weight^T + bias` over the last axis.
    FullyConnected {
        /// `weight[out][in]`.
        weight: Array2<f32>,
        /// `bias[out]`.
        bias: Option<Array1<f32>>,
    },
    /// A convolution over the one or two axes that are no channels.
    Convolution {
        /// `weight[out][kernel length][kernel width][in / groups]`; width 1 in 1-D.
        weight: Array4<f32>,
        /// `bias[out]`.
        bias: Option<Array1<f32>>,
        /// Stride, padding, dilation.
        window: Window,
        /// Channels are cut into so many groups; as many as input channels is depthwise.
        groups: usize,
    },
    /// A transposed convolution.
    TransposedConvolution {
        /// `weight[out / groups][kernel length][kernel width][in]`, not mirrored:
        /// `y[l*s + i - p] += weight[i] * x[l]`.
        weight: Array4<f32>,
        /// `bias[out]`.
        bias: Option<Array1<f32>>,
        /// Stride, padding (outputs cut off), dilation.
        window: Window,
        /// Outputs appended behind the last, length and width.
        output_padding: [usize; 2],
        /// As of a convolution.
        groups: usize,
    },
    /// The greatest or mean value of each window.
    Pool {
        /// Which.
        pool: Pool,
        /// Taps, length and width.
        kernel: [usize; 2],
        /// Stride, padding; dilation must be 1.
        window: Window,
        /// A last window may begin inside and end outside the (padded) input.
        ceil: bool,
    },
    /// The greatest or mean value of each channel.
    GlobalPool {
        /// Which.
        pool: Pool,
        /// Whether the pooled axes stay, with length 1.
        keep_axes: bool,
    },
    /// `x * scale + shift`, a pair a position of `axis`: batch normalization.
    Affine {
        /// Axis of the channels.
        axis: usize,
        /// One a channel.
        scale: Array1<f32>,
        /// One a channel.
        shift: Array1<f32>,
    },
    /// An elementwise function.
    Activation(Activation),
    /// `min(max(x, low), high)` where it is no ReLU or ReLU6.
    Clip {
        /// Least value.
        low: f32,
        /// Greatest value.
        high: f32,
    },
    /// The same elements, row-major, in another shape (flatten, squeeze, …).
    Reshape {
        /// The new shape, nothing left open.
        shape: Vec<usize>,
    },
    /// The axes in another order: `output.shape[i] = input.shape[axes[i]]`.
    Transpose {
        /// A permutation.
        axes: Vec<usize>,
    },
    /// Every element repeated (nearest neighbor).
    Upsample {
        /// Repeats, one an axis.
        factors: Vec<usize>,
    },
    /// A sum or mean over some axes that no pool computes: part of a loss, of no layer.
    Reduce {
        /// What is left.
        shape: Vec<usize>,
    },
    /// Elements `start..end` of an axis.
    Slice {
        /// The axis.
        axis: usize,
        /// First.
        start: usize,
        /// One behind the last.
        end: usize,
    },
    /// One behind the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Zeros around each axis.
    Pad {
        /// (before, after), one pair an axis; negative cuts off.
        padding: Vec<(isize, isize)>,
    },
    /// Numbers of the file. As an operand of arithmetic its shape follows the
    /// usual broadcasting, a leading axis of 1 for the batch allowed.
    Constant(ArrayD<f32>),
    /// `a + b`.
    Add,
    /// `a - b`.
    Subtract,
    /// `a * b`.
    Multiply,
    /// `a / b`.
    Divide,
    /// `e^x`.
    Exp,
    /// `ln x`.
    Log,
    /// The square root.
    Sqrt,
    /// The error function.
    Erf,
    /// `x^exponent`.
    Power {
        /// The exponent.
        exponent: f32,
    },
    /// Standard normal noise: the sampling step.
    RandomNormal {
        /// Its shape (of `…Like` operators: that of what they read).
        shape: Vec<usize>,
    },
    /// `x` itself: identity, dropout, casts.
    Identity,
    /// What no device layer does.
    #[allow(dead_code, reason = "for readers that keep no list of their own")]
    Unsupported {
        /// Why, e.g. "attention is not read".
        reason: String,
        /// What to do instead.
        remedy: String,
    },
}

/// What a pool keeps of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// The greatest value.
    Max,
    /// The mean; padding counts as zeros, or not at all.
    Average {
        /// Whether the padding counts.
        include_padding: bool,
    },
}

/// How a window moves over length and width (width: 1 and no padding in 1-D).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Elements from one window to the next.
    pub(crate) stride: [usize; 2],
    /// Zeros around the input.
    pub(crate) padding: Padding,
    /// Elements from one tap to the next.
    pub(crate) dilation: [usize; 2],
}

impl Default for Window {
    fn default() -> Self {
        Self { stride: [1; 2], padding: Padding::VALID, dilation: [1; 2] }
    }
}

/// Zeros around length and width (of a transposed convolution: outputs cut off).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// (before, after).
    Explicit([(usize, usize); 2]),
    /// TensorFlow's `SAME`: as many outputs as inputs over stride, rounded up
    /// (transposed: inputs times stride), the odd zero behind.
    Same,
    /// ONNX's `SAME_LOWER`: the odd zero in front.
    SameLower,
}

impl Padding {
    /// None.
    pub(crate) const VALID: Self = Self::Explicit([(0, 0); 2]);

    /// (before, after) along an axis of a convolution or pool of `taps` (dilated) taps.
    pub(crate) fn of_axis(
        self,
        axis: usize,
        input: usize,
        taps: usize,
        stride: usize,
    ) -> (usize, usize) {
        let total =
            (input.div_ceil(stride.max(1)).saturating_sub(1) * stride + taps).saturating_sub(input);
        self.distribute(axis, total)
    }

    /// (before, after) cut off along an axis of a transposed convolution.
    pub(crate) fn of_transposed(self, axis: usize, taps: usize, stride: usize) -> (usize, usize) {
        self.distribute(axis, taps.saturating_sub(stride))
    }

    fn distribute(self, axis: usize, total: usize) -> (usize, usize) {
        match self {
            Self::Explicit(padding) => padding[axis],
            Self::Same => (total / 2, total - total / 2),
            Self::SameLower => (total - total / 2, total / 2),
        }
    }
}

impl Kind {
    /// Batch normalization over `axis`, in its running statistics; a missing
    /// `gamma` is 1, a missing `beta` 0.
    pub(crate) fn batch_norm(
        axis: usize,
        gamma: Option<&Array1<f32>>,
        beta: Option<&Array1<f32>>,
        mean: &Array1<f32>,
        variance: &Array1<f32>,
        epsilon: f32,
    ) -> Self {
        // In f64: folding must not add to the error of the running statistics.
        let at = |values: Option<&Array1<f32>>, i: usize, default: f64| {
            values.map_or(default, |v| v.get(i).map_or(f64::NAN, |v| f64::from(*v)))
        };
        let scale =
            |i: usize| at(gamma, i, 1.0) / (at(Some(variance), i, 1.0) + f64::from(epsilon)).sqrt();
        let len = mean.len();
        Self::Affine {
            axis,
            scale: (0..len).map(|i| scale(i) as f32).collect(),
            shift: (0..len)
                .map(|i| (at(beta, i, 0.0) - f64::from(mean[i]) * scale(i)) as f32)
                .collect(),
        }
    }

    /// `min(max(x, low), high)`, by its usual names where it has one.
    pub(crate) fn clip(low: f32, high: f32) -> Self {
        if low == 0.0 && (high == f32::INFINITY || high >= f32::MAX) {
            Self::Activation(Activation::Relu)
        } else if low == 0.0 && high == 6.0 {
            Self::Activation(Activation::Relu6)
        } else {
            Self::Clip { low, high }
        }
    }

    /// [`Self::Unsupported`].
    #[allow(dead_code, reason = "for readers that keep no list of their own")]
    pub(crate) fn unsupported(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Unsupported { reason: reason.into(), remedy: remedy.into() }
    }
}
