//! Elementwise operators on int8 as tables, computed as TensorFlow Lite's reference kernels do.
//!
//! Two kinds: functions whose 256 results the kernel computes in f32 when the model is loaded,
//! and integer ones that requantize. `tests/fixtures/tflite` holds what the kernels gave.

use picovae_core::fixed::requantize::requantize_double;

use super::schema::{Fused, Operator, code};
use crate::quantize::Multiplier;

/// An int8 grid as the file states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FileGrid {
    pub(super) scale: f32,
    pub(super) zero_point: i32,
}

impl FileGrid {
    /// `real` on the grid: the ends of a fused activation.
    fn quantize(self, real: f32) -> i32 {
        // `as` saturates.
        ((real / self.scale).round() as i32).saturating_add(self.zero_point)
    }

    /// Least and greatest int8 output of a layer with a fused activation; `None` for a function
    /// that is no clamp.
    pub(super) fn clamp(self, fused: Fused) -> Option<(i8, i8)> {
        let (low, high) = match fused {
            Fused::None => (-128, 127),
            Fused::Relu => (self.quantize(0.0), 127),
            Fused::Relu6 => (self.quantize(0.0), self.quantize(6.0)),
            Fused::ReluN1To1 => (self.quantize(-1.0), self.quantize(1.0)),
            Fused::Tanh | Fused::Other(_) => return None,
        };
        let low = low.clamp(-128, 127);
        Some((low as i8, high.clamp(low, 127) as i8))
    }
}

/// Results for -128 to 127.
pub(super) type Table = [i8; 256];

/// A table of `of(q)`.
fn tabulate(of: impl Fn(i32) -> i32) -> Table {
    std::array::from_fn(|i| of(i as i32 - 128).clamp(-128, 127) as i8)
}

/// The operator as a table from one grid to another; `None` where it is no elementwise function
/// that is known to the bit, or a factor is beyond 31 bits.
pub(super) fn elementwise(operator: &Operator<'_>, from: FileGrid, to: FileGrid) -> Option<Table> {
    let clamped = |ratio, low: i32, high: i32| {
        let factor = factor(ratio)?;
        let (low, high) = (low.max(-128), high.min(127));
        let at = |q: i32| to.zero_point.saturating_add(factor(q - from.zero_point));
        Some(tabulate(|q| at(q).min(high).max(low)))
    };
    let float = |function: fn(f32) -> f32| Some(by_float(from, to, function));
    let ratio = f64::from(from.scale / to.scale);
    match operator.code {
        code::LOGISTIC => float(|x| 1.0 / (1.0 + (-x).exp())),
        code::TANH => float(f32::tanh),
        code::ELU => float(|x| if x < 0.0 { x.exp_m1() } else { x }),
        code::LEAKY_RELU => {
            let alpha: f32 = operator.option(0, 0.0f32).ok()?;
            // The kernels take these ratios in f32.
            let identity = factor((from.scale / to.scale).into())?;
            let slope = factor((from.scale * alpha / to.scale).into())?;
            let at = |q: i32| q - from.zero_point;
            Some(tabulate(|q| {
                let value = if at(q) >= 0 { identity(at(q)) } else { slope(at(q)) };
                to.zero_point.saturating_add(value)
            }))
        }
        code::RELU => clamped(ratio, to.zero_point, 127),
        code::RELU6 => clamped(ratio, to.zero_point, to.quantize(6.0)),
        code::RELU_N1_TO_1 => clamped(ratio, to.quantize(-1.0), to.quantize(1.0)),
        code::QUANTIZE => {
            let ratio = f64::from(from.scale) / f64::from(to.scale);
            clamped(ratio, -128, 127)
        }
        _ => None,
    }
}

/// Operators in f32 between a dequantization and a quantization, as one table; the name of the first
/// that is not known.
pub(super) fn in_float(
    operators: &[&Operator<'_>],
    from: FileGrid,
    to: FileGrid,
) -> Result<Table, String> {
    let mut functions: Vec<Box<dyn Fn(f32) -> f32>> = Vec::new();
    for operator in operators {
        functions.push(match operator.code {
            code::LOGISTIC => Box::new(|x| 1.0 / (1.0 + (-x).exp())),
            code::TANH => Box::new(f32::tanh),
            code::ELU => Box::new(|x| if x < 0.0 { x.exp_m1() } else { x }),
            code::RELU => Box::new(|x| x.max(0.0)),
            code::RELU6 => Box::new(|x| x.clamp(0.0, 6.0)),
            code::LEAKY_RELU => {
                let alpha: f32 = operator.option(0, 0.0).unwrap_or(0.0);
                Box::new(move |x| if x > 0.0 { x } else { x * alpha })
            }
            _ => return Err(operator.operator_name()),
        });
    }
    Ok(tabulate(|q| {
        let real = from.scale * (q - from.zero_point) as f32;
        let real = functions.iter().fold(real, |real, function| function(real));
        // `as` saturates.
        ((real / to.scale).round() as i32).saturating_add(to.zero_point)
    }))
}

/// Results of an f32 function, each rounded half away from zero.
fn by_float(from: FileGrid, to: FileGrid, function: impl Fn(f32) -> f32) -> Table {
    let inverse = 1.0 / to.scale;
    tabulate(|q| {
        let real = from.scale * (q - from.zero_point) as f32;
        // `as` saturates.
        ((function(real) * inverse).round() as i32).saturating_add(to.zero_point)
    })
}

/// A multiplication by `real` in integers.
fn factor(real: f64) -> Option<impl Fn(i32) -> i32> {
    let sign = if real < 0.0 { -1 } else { 1 };
    let Multiplier { multiplier, shift } = Multiplier::from_factor(real.abs())?;
    Some(move |value: i32| requantize_double(sign * value, multiplier, shift))
}
