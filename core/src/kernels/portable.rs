//! The readable specification of every kernel; safe Rust, any core.

use super::OutputBuffer;
use crate::fixed::Rounding;
use crate::fixed::requantize::{requantize, saturate_i16};
use crate::model::{FullyConnected, Output};

/// `out[o] = requantize(bias[o] + sum_i(weights[o][i] * input[i]))`.
///
/// | argument | shape | type |
/// |---|---|---|
/// | `input` | `[inputs]` | int8, zero point folded into the bias |
/// | `weights` | `[outputs][inputs]`, row-major | int8 |
/// | `bias`, `multiplier` | `[outputs]` | int32 |
/// | `shift` | `[outputs]` | int8 |
/// | `out` | `[outputs]` | int8 or int16 |
///
/// `inputs * outputs` MACs, no scratch. Infallible, because `parse` proved that
/// `|bias| + inputs * 2^14` fits i32. Source: Jacob et al. 2018, section 2.
pub fn fully_connected(
    op: &FullyConnected<'_>,
    output: &Output<'_>,
    rounding: Rounding,
    input: &[i8],
    out: OutputBuffer<'_>,
) {
    let rows = op.weights.chunks_exact(op.inputs.max(1));
    let numbers = op.bias.iter().zip(op.multiplier).zip(op.shift);
    let scaled = rows.zip(numbers).map(|(row, ((&bias, &multiplier), &shift))| {
        let acc = row.iter().zip(input).fold(bias, |acc, (&weight, &activation)| {
            acc.wrapping_add(i32::from(weight as i8) * i32::from(activation))
        });
        requantize(acc, multiplier, shift, rounding)
    });
    match (out, output) {
        (OutputBuffer::Int8(out), &Output::Int8 { zero_point, min, max, table }) => {
            for (out, value) in out.iter_mut().zip(scaled) {
                let q = value.saturating_add(zero_point.into()).clamp(min.into(), max.into());
                *out = match table {
                    Some(table) => table.get((q + 128) as usize).copied().unwrap_or(0),
                    None => q as i8,
                };
            }
        }
        (OutputBuffer::Int16(out), _) => {
            for (out, value) in out.iter_mut().zip(scaled) {
                *out = saturate_i16(value);
            }
        }
        (OutputBuffer::Int8(_), Output::Int16) => {}
    }
}
