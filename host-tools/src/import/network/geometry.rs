//! Where windows lie: the device's [`Geometry`] of a file's convolution or pool.

use super::Layout;
use super::infer::Mismatch;
use super::kind::{Kind, Padding, Window};
use crate::graph::{Geometry, Shape};

/// A window's shape as length, width, channels: two or three axes.
pub(crate) fn places(x: &[usize], layout: Layout) -> Result<Shape, Mismatch> {
    match (x, layout) {
        ([channels, length], Layout::ChannelsFirst)
        | ([length, channels], Layout::ChannelsLast) => Ok(Shape::new(*length, 1, *channels)),
        ([channels, length, width], Layout::ChannelsFirst)
        | ([length, width, channels], Layout::ChannelsLast) => {
            Ok(Shape::new(*length, *width, *channels))
        }
        _ => Err((
            format!("is given {x:?}: a signal has two axes, an image three, beside the batch"),
            "3-D convolutions are not read; reshape the window before this operator".into(),
        )),
    }
}

/// Shapes, stride and padding of a convolution, transposed convolution or pool
/// with its dilation multiplied out.
pub(crate) fn geometry(
    kind: &Kind,
    input: Shape,
    out: usize,
    kernel: [usize; 2],
) -> Result<Geometry, String> {
    let plain = Window::default();
    let (window, ceil, output_padding) = match kind {
        Kind::Convolution { window, .. } => (window, false, None),
        Kind::TransposedConvolution { window, output_padding, .. } => {
            (window, false, Some(*output_padding))
        }
        Kind::Pool { window, ceil, .. } => (window, *ceil, None),
        _ => (&plain, false, None),
    };
    let stride = window.stride;
    // Far beyond any device, and far from overflow.
    let sane = |n: usize| (1..=1 << 16).contains(&n);
    if !kernel.into_iter().chain(stride).chain(window.dilation).all(sane) {
        return Err(format!("kernel {kernel:?} with stride {stride:?} makes no sense"));
    }
    let taps = [0, 1].map(|axis| (kernel[axis] - 1) * window.dilation[axis] + 1);
    let lengths = [input.length, input.width];
    if output_padding.is_some() {
        let padding = [0, 1].map(|axis| {
            let (before, after) = window.padding.of_transposed(axis, taps[axis], stride[axis]);
            // `SAME` gives inputs times stride even where the kernel is shorter than the stride.
            let short = match window.padding {
                Padding::Explicit(_) => 0,
                _ => stride[axis].saturating_sub(taps[axis]),
            };
            let more = output_padding.map_or(0, |more| more[axis]) + short;
            (before.min(1 << 16), after.min(1 << 16) as isize - more.min(1 << 16) as isize)
        });
        return Ok(Geometry::transposed(input, out, taps, stride, padding));
    }
    let padding = [0, 1].map(|axis| {
        let (before, mut after) =
            window.padding.of_axis(axis, lengths[axis], taps[axis], stride[axis]);
        if ceil {
            let room = (lengths[axis] + before + after).saturating_sub(taps[axis]);
            let more = (stride[axis] - room % stride[axis]) % stride[axis];
            // The last window must begin inside the input or the padding before it.
            let last = (room + more) / stride[axis] * stride[axis];
            if last < lengths[axis] + before {
                after += more;
            }
        }
        (before.min(1 << 16), after.min(1 << 16))
    });
    Ok(Geometry::convolution(input, out, taps, stride, padding))
}
