//! The shape of what a node computes, from the shapes it reads.

use super::Layout;
use super::geometry::{geometry, places};
use super::kind::Kind;

/// What is wrong, and what to do about it.
pub(super) type Mismatch = (String, String);

/// The output's shape.
pub(super) fn shape(
    kind: &Kind,
    inputs: &[&[usize]],
    layout: Layout,
) -> Result<Vec<usize>, Mismatch> {
    let wrong = |reason: String| (reason, "export the model again".to_string());
    let wanted = match kind {
        Kind::Input { .. } | Kind::Constant(_) | Kind::RandomNormal { .. } => 0..=1,
        Kind::Add | Kind::Subtract | Kind::Multiply | Kind::Divide => 2..=2,
        Kind::Concat { .. } => 1..=usize::MAX,
        Kind::Unsupported { reason, remedy } => return Err((reason.clone(), remedy.clone())),
        _ => 1..=1,
    };
    if !wanted.contains(&inputs.len()) {
        return Err(wrong(format!("reads {} values", inputs.len())));
    }
    let x = inputs.first().copied().unwrap_or(&[]);
    match kind {
        Kind::Input { shape } | Kind::RandomNormal { shape } => Ok(shape.clone()),
        Kind::Constant(values) => Ok(values.shape().to_vec()),
        Kind::Reduce { shape } => Ok(shape.clone()),
        Kind::FullyConnected { weight, bias } => {
            let (out, input) = weight.dim();
            if x.last() != Some(&input) {
                return Err(wrong(format!("reads {input} values, but is given {x:?}")));
            }
            if bias.as_ref().is_some_and(|bias| bias.len() != out) {
                return Err(wrong(format!("its bias does not have {out} values")));
            }
            let mut shape = x.to_vec();
            shape.pop();
            shape.push(out);
            Ok(shape)
        }
        Kind::Convolution { weight, bias, groups, .. } => {
            let (out, length, width, input) = weight.dim();
            channels(
                x,
                input.saturating_mul(*groups),
                out,
                *groups,
                bias.as_ref().map(|b| b.len()),
                layout,
            )?;
            windowed(kind, x, out, [length, width], layout)
        }
        Kind::TransposedConvolution { weight, bias, groups, .. } => {
            let (out, length, width, input) = weight.dim();
            let out = out.saturating_mul(*groups);
            channels(x, input, out, *groups, bias.as_ref().map(|b| b.len()), layout)?;
            windowed(kind, x, out, [length, width], layout)
        }
        Kind::Pool { kernel, .. } => {
            let shape = places(x, layout)?;
            windowed(kind, x, shape.channels, *kernel, layout)
        }
        Kind::GlobalPool { keep_axes, .. } => {
            let shape = places(x, layout)?;
            if !keep_axes {
                return Ok(vec![shape.channels]);
            }
            let mut kept = vec![1; x.len()];
            kept[layout.channel_axis(x.len())] = shape.channels;
            Ok(kept)
        }
        Kind::Affine { axis, scale, shift } => match x.get(*axis) {
            Some(len) if *len == scale.len() && scale.len() == shift.len() => Ok(x.to_vec()),
            _ => Err(wrong(format!("has {} channels, but is given {x:?}", scale.len()))),
        },
        Kind::Reshape { shape } => {
            let len = |shape: &[usize]| shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
            if len(shape).is_some() && len(shape) == len(x) {
                Ok(shape.clone())
            } else {
                Err((
                    format!("makes {shape:?} of {x:?}, which holds another number of elements"),
                    "reshape within a window only; the batch must stay the first axis".into(),
                ))
            }
        }
        Kind::Transpose { axes } => {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            if sorted.len() == x.len() && sorted.iter().enumerate().all(|(i, axis)| i == *axis) {
                Ok(axes.iter().map(|axis| x[*axis]).collect())
            } else {
                Err((
                    format!("axes {axes:?} are no order of the {} axes of a window", x.len()),
                    "the batch must stay the first axis".into(),
                ))
            }
        }
        Kind::Upsample { factors } => {
            if factors.len() != x.len() || factors.contains(&0) {
                return Err(wrong(format!("factors {factors:?} do not fit {x:?}")));
            }
            Ok(x.iter().zip(factors).map(|(len, factor)| len.saturating_mul(*factor)).collect())
        }
        Kind::Slice { axis, start, end } => match x.get(*axis) {
            Some(len) if start < end && end <= len => {
                let mut shape = x.to_vec();
                shape[*axis] = end - start;
                Ok(shape)
            }
            _ => Err(wrong(format!("elements {start}..{end} of axis {axis} are not in {x:?}"))),
        },
        Kind::Concat { axis } => {
            let mut shape = x.to_vec();
            for other in &inputs[1..] {
                let fits = *axis < x.len()
                    && other.len() == x.len()
                    && (0..x.len()).all(|i| i == *axis || other[i] == x[i]);
                if !fits {
                    return Err(wrong(format!("{other:?} does not go behind {x:?}")));
                }
                shape[*axis] = shape[*axis].saturating_add(other[*axis]);
            }
            Ok(shape)
        }
        Kind::Pad { padding } => {
            if padding.len() != x.len() {
                return Err(wrong(format!("pads {} axes of {x:?}", padding.len())));
            }
            let padded = |(len, (before, after)): (&usize, &(isize, isize))| {
                len.checked_add_signed(*before)?.checked_add_signed(*after)
            };
            x.iter()
                .zip(padding)
                .map(padded)
                .collect::<Option<_>>()
                .ok_or_else(|| wrong(format!("padding {padding:?} does not fit {x:?}")))
        }
        Kind::Add | Kind::Subtract | Kind::Multiply | Kind::Divide => broadcast(x, inputs[1])
            .ok_or_else(|| wrong(format!("{x:?} and {:?} do not go together", inputs[1]))),
        Kind::Activation(_)
        | Kind::Clip { .. }
        | Kind::Exp
        | Kind::Log
        | Kind::Sqrt
        | Kind::Erf
        | Kind::Power { .. }
        | Kind::Identity => Ok(x.to_vec()),
        Kind::Unsupported { reason, remedy } => Err((reason.clone(), remedy.clone())),
    }
}

fn channels(
    x: &[usize],
    input: usize,
    output: usize,
    groups: usize,
    bias: Option<usize>,
    layout: Layout,
) -> Result<(), Mismatch> {
    let shape = places(x, layout)?;
    let again = || "export the model again".to_string();
    if shape.channels != input {
        return Err((format!("reads {input} channels, but is given {}", shape.channels), again()));
    }
    if groups == 0 || !output.is_multiple_of(groups) || !input.is_multiple_of(groups) {
        return Err((format!("{groups} groups do not divide its channels"), again()));
    }
    if bias.is_some_and(|bias| bias != output) {
        return Err((format!("its bias does not have {output} values"), again()));
    }
    Ok(())
}

/// Output shape of a convolution or pool.
fn windowed(
    kind: &Kind,
    x: &[usize],
    out: usize,
    kernel: [usize; 2],
    layout: Layout,
) -> Result<Vec<usize>, Mismatch> {
    let input = places(x, layout)?;
    let output = geometry(kind, input, out, kernel)
        .map_err(|reason| (reason, "kernel and stride must be 1 to 255".to_string()))?
        .output;
    let mut shape = vec![output.length, output.width];
    shape.truncate(x.len() - 1);
    shape.insert(layout.channel_axis(x.len()), output.channels);
    Ok(shape)
}

/// NumPy's broadcasting; an operand with one axis more may have a batch of 1 in front.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let (a, b) = match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Less => (b, a),
        _ => (a, b),
    };
    let lead = a.len() - b.len();
    a.iter()
        .enumerate()
        .map(|(i, x)| {
            let y = if i < lead { 1 } else { b[i - lead] };
            match (*x, y) {
                (x, y) if x == y => Some(x),
                (x, 1) => Some(x),
                (1, y) => Some(y),
                _ => None,
            }
        })
        .collect()
}
