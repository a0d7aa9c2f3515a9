//! Runs the layers over the arena; `model/plan.rs` draws the map.

use crate::fixed::requantize::requantize_single;
use crate::kernels::{self, OutputBuffer};
use crate::model::wire::Latent;
use crate::model::{ArenaPlan, LayerView, Model, Step};
use crate::trace::Trace;

/// The arena's three parts.
struct Parts<'b> {
    features: &'b mut [i8],
    head: &'b mut [i16],
    work: &'b mut [u8],
}

/// `None` only where the arena is shorter than the plan, which `Vae::new` excludes.
fn split<'b>(arena: &'b mut [u8], plan: &ArenaPlan) -> Option<Parts<'b>> {
    let (features, rest) = arena.split_at_mut_checked(plan.features)?;
    let (head, work) = rest.split_at_mut_checked(plan.head)?;
    let head = bytemuck::try_cast_slice_mut(head).ok()?;
    Some(Parts { features: signed_mut(features), head, work })
}

/// Features through the encoder to the head.
pub(super) fn encode(model: &Model<'_>, arena: &mut [u8], trace: &mut impl Trace) {
    let Some(parts) = split(arena, &model.plan()) else {
        return;
    };
    let count = model.encoder_len();
    for index in 0..count {
        let Some(layer) = &model.layer(index) else {
            return;
        };
        let step = Step::new(layer, index, count, false);
        let Some((input, scratch, output)) = areas(parts.work, step, index % 2 == 0) else {
            return;
        };
        let input: &[i8] = if index == 0 { parts.features } else { signed(input) };
        if index + 1 == count {
            let Some(head) = parts.head.get_mut(..layer.output_len()) else {
                return;
            };
            run_head(model, layer, index, input, scratch, head, trace);
        } else {
            let Some(output) = signed_mut(output).get_mut(..layer.output_len()) else {
                return;
            };
            kernels::run(
                layer,
                model.layer_rounding(index),
                input,
                scratch,
                OutputBuffer::Int8(output),
            );
            trace.layer(index, output);
        }
    }
}

/// The last layer of the encoder or decoder.
fn run_head(
    model: &Model<'_>,
    layer: &LayerView<'_>,
    index: usize,
    input: &[i8],
    scratch: &mut [u8],
    out: &mut [i16],
    trace: &mut impl Trace,
) {
    let narrow = layer.narrow();
    let len = out.len();
    // The lower half of a widened head holds its int8 values first.
    let (layer, buffer) = match &narrow {
        None => (layer, OutputBuffer::Int16(&mut *out)),
        Some((narrow, _)) => {
            (narrow, OutputBuffer::Int8(lower_half(out).get_mut(..len).unwrap_or_default()))
        }
    };
    kernels::run(layer, model.layer_rounding(index), input, scratch, buffer);
    if let Some((_, table)) = narrow {
        trace.layer(index, lower_half(out).get(..len).unwrap_or_default());
        widen(out, table);
    }
    trace.head(index, out);
}

/// The bytes of a head, from the first on.
fn lower_half(head: &mut [i16]) -> &mut [i8] {
    bytemuck::cast_slice_mut(head)
}

/// Replaces the int8 values in the lower half of `out` by their entries, the last one first:
/// an entry covers no value that is still to be read.
#[inline(never)]
fn widen(out: &mut [i16], table: &[i16; 256]) {
    for i in (0..out.len()).rev() {
        let Some(&q) = lower_half(out).get(i) else { return };
        let entry = table.get((i32::from(q) + 128) as usize).copied().unwrap_or(0);
        if let Some(out) = out.get_mut(i) {
            *out = entry;
        }
    }
}

/// Writes the decoder's int8 input at the low end of the work area:
/// `z_zero_point + requantize(value(mu, logvar))`, clamped. `logvar` is `None`
/// for a plain autoencoder.
pub(super) fn write_latent(
    model: &Model<'_>,
    arena: &mut [u8],
    mut value: impl FnMut(usize, i16, Option<i16>) -> i16,
) {
    let Some(parts) = split(arena, &model.plan()) else {
        return;
    };
    let latent = &model.description().latent;
    let len = model.latent_len();
    let Some((mu, rest)) = parts.head.split_at_checked(len) else {
        return;
    };
    for (i, (z, &mu)) in signed_mut(parts.work).iter_mut().zip(mu).enumerate() {
        let logvar = if latent.has_logvar { rest.get(i).copied() } else { None };
        *z = to_grid(latent, value(i, mu, logvar));
    }
}

/// A latent value on the grid of the decoder's input.
#[inline(always)]
pub(super) fn to_grid(latent: &Latent, value: i16) -> i8 {
    let scaled = requantize_single(value.into(), latent.z_multiplier, latent.z_shift);
    scaled.saturating_add(latent.z_zero_point.into()).clamp(-128, 127) as i8
}

/// The latent in the work area through the decoder to its output.
pub(super) fn decode(model: &Model<'_>, arena: &mut [u8], trace: &mut impl Trace) {
    let Some(parts) = split(arena, &model.plan()) else {
        return;
    };
    let first = model.encoder_len();
    let count = model.layer_count().saturating_sub(first);
    for index in 0..count {
        let Some(layer) = &model.layer(first + index) else {
            return;
        };
        let step = Step::new(layer, index, count, true);
        let Some((input, scratch, output)) = areas(parts.work, step, index % 2 == 0) else {
            return;
        };
        // A kernel reads no further than its layer's inputs.
        let input = signed(input);
        if index == 0 {
            trace.latent(input.get(..layer.input_len()).unwrap_or(&[]));
        }
        if index + 1 == count {
            let Ok(output) = bytemuck::try_cast_slice_mut::<u8, i16>(output) else {
                return;
            };
            let Some(output) = output.get_mut(..layer.output_len()) else {
                return;
            };
            run_head(model, layer, first + index, input, scratch, output, trace);
        } else {
            let Some(output) = signed_mut(output).get_mut(..layer.output_len()) else {
                return;
            };
            kernels::run(
                layer,
                model.layer_rounding(first + index),
                input,
                scratch,
                OutputBuffer::Int8(output),
            );
            trace.layer(first + index, output);
        }
    }
}

/// Where [`decode`] left the decoder's int16 output.
pub(super) fn output<'b>(model: &Model<'_>, arena: &'b [u8]) -> &'b [i16] {
    let plan = model.plan();
    let len = model.input_len() * 2;
    let work = arena.get(plan.features + plan.head..plan.len).unwrap_or(&[]);
    let start = output_start(model, work.len(), len);
    let bytes = work.get(start..start + len).unwrap_or(&[]);
    bytemuck::try_cast_slice(bytes).unwrap_or(&[])
}

/// Where in the work area it starts: the last of an odd number of layers writes at the high end.
#[inline(always)]
fn output_start(model: &Model<'_>, work: usize, len: usize) -> usize {
    let count = model.layer_count().saturating_sub(model.encoder_len());
    if count % 2 == 1 { work.saturating_sub(crate::arena::align_up(len)) } else { 0 }
}

/// Puts a window that ran elsewhere into the arena, as [`encode`] and [`decode`] leave it.
pub(super) fn restore(
    model: &Model<'_>,
    arena: &mut [u8],
    features: &[i8],
    head: &[i16],
    output: &[i16],
) {
    let Some(parts) = split(arena, &model.plan()) else {
        return;
    };
    let start = output_start(model, parts.work.len(), 2 * output.len());
    let place = parts.work.get_mut(start..start + 2 * output.len()).unwrap_or_default();
    let to: &mut [i16] = bytemuck::try_cast_slice_mut(place).unwrap_or_default();
    to.iter_mut().zip(output).for_each(|(to, &value)| *to = value);
    parts.head.iter_mut().zip(head).for_each(|(to, &value)| *to = value);
    parts.features.iter_mut().zip(features).for_each(|(to, &value)| *to = value);
}

/// Input, scratch and output of a step: the input at the low end if `low`, else at the high end.
fn areas(work: &mut [u8], step: Step, low: bool) -> Option<(&[u8], &mut [u8], &mut [u8])> {
    let Step { input, output, .. } = step;
    let (first, second) = if low { (input, output) } else { (output, input) };
    let middle = work.len().checked_sub(second)?;
    let (head, last) = work.split_at_mut_checked(middle)?;
    let (first, scratch) = head.split_at_mut_checked(first)?;
    Some(if low { (first, scratch, last) } else { (last, scratch, first) })
}

/// The same bytes, signed.
pub(super) fn signed(bytes: &[u8]) -> &[i8] {
    bytemuck::cast_slice(bytes)
}

/// The same bytes, signed.
pub(super) fn signed_mut(bytes: &mut [u8]) -> &mut [i8] {
    bytemuck::cast_slice_mut(bytes)
}
