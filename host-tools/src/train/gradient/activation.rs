//! Activations of whole batches, and their derivatives.
//!
//! Where an activation is made of the logistic function, it is computed in a form that the
//! compiler turns into vector instructions; the graph's own takes an element at a time and
//! was a quarter of the time of training a network of convolutions.

use crate::graph::Activation;

/// Every `x` becomes `activation(x)`.
pub(super) fn apply(activation: Activation, values: &mut [f32]) {
    let each = |values: &mut [f32], f: fn(f32) -> f32| values.iter_mut().for_each(|x| *x = f(*x));
    match activation {
        Activation::Identity => {}
        Activation::Silu => each(values, |x| x * logistic(x)),
        Activation::Sigmoid => each(values, logistic),
        Activation::Relu => each(values, |x| x.max(0.0)),
        _ => values.iter_mut().for_each(|x| *x = activation.apply(*x)),
    }
}

/// Multiplies every slope by the activation's own at `x`.
pub(super) fn multiply_derivative(activation: Activation, x: &[f32], slopes: &mut [f32]) {
    let each = |slopes: &mut [f32], f: fn(f32) -> f32| {
        slopes.iter_mut().zip(x).for_each(|(slope, x)| *slope *= f(*x));
    };
    match activation {
        Activation::Identity => {}
        Activation::Silu => each(slopes, |x| {
            let s = logistic(x);
            s * (1.0 + x * (1.0 - s))
        }),
        Activation::Relu => each(slopes, |x| f32::from(u8::from(x > 0.0))),
        _ => slopes.iter_mut().zip(x).for_each(|(slope, x)| *slope *= derivative(activation, *x)),
    }
}

/// `1 / (1 + exp(-x))`, at most 3e-7 off.
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `exp(x)` to a relative 2e-7, without a branch: `2^n * exp(r)` with `|r| <= ln(2) / 2`, `exp(r)` by its
/// series. Beyond what f32 holds (|x| > 87) it stays at the limit.
fn exp(x: f32) -> f32 {
    // Adding it leaves the nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln(2) in two parts, the first of few enough bits that its product with n is exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2[0] - n * LN2[1];
    let series = [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let fraction = series.iter().fold(1.0 / 720.0, |sum, c| sum * r + c);
    let power = (shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits());
    fraction * f32::from_bits(power)
}

/// `d activation(x) / dx`; at a kink, the derivative from the left.
fn derivative(activation: Activation, x: f32) -> f32 {
    let sigmoid = |x: f32| Activation::Sigmoid.apply(x);
    match activation {
        Activation::Identity => 1.0,
        Activation::Relu => f32::from(u8::from(x > 0.0)),
        Activation::Relu6 => f32::from(u8::from(x > 0.0 && x <= 6.0)),
        Activation::LeakyRelu { alpha } => {
            if x > 0.0 {
                1.0
            } else {
                alpha
            }
        }
        Activation::Elu { alpha } => {
            if x > 0.0 {
                1.0
            } else {
                alpha * x.exp()
            }
        }
        Activation::Sigmoid => {
            let s = sigmoid(x);
            s * (1.0 - s)
        }
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Gelu => {
            // Phi(x) + x phi(x); Phi(x) = gelu(x) / x away from 0.
            let density = (-0.5 * x * x).exp() / std::f32::consts::TAU.sqrt();
            let below = if x.abs() < 1e-3 { 0.5 + density * x } else { activation.apply(x) / x };
            below + x * density
        }
        Activation::Silu => {
            let s = sigmoid(x);
            s * (1.0 + x * (1.0 - s))
        }
        Activation::Softplus => sigmoid(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_the_graphs_own() {
        let x: Vec<f32> = (-4000..4000).map(|at| at as f32 * 0.03).collect();
        let all = [Activation::Silu, Activation::Sigmoid, Activation::Relu, Activation::Tanh];
        for activation in all {
            let (mut y, mut slopes) = (x.clone(), vec![2.0; x.len()]);
            apply(activation, &mut y);
            multiply_derivative(activation, &x, &mut slopes);
            for ((x, y), slope) in x.iter().zip(y).zip(slopes) {
                let (own, own_slope) = (activation.apply(*x), 2.0 * derivative(activation, *x));
                assert!(
                    (y - own).abs() <= 5e-7 * own.abs().max(1.0),
                    "{activation} at {x}: {y} {own}"
                );
                assert!(
                    (slope - own_slope).abs() < 3e-6,
                    "{activation} at {x}: {slope} {own_slope}"
                );
            }
        }
    }

    #[test]
    fn derivatives_are_differences() {
        for activation in [
            Activation::Identity,
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu { alpha: 0.1 },
            Activation::Elu { alpha: 0.7 },
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Gelu,
            Activation::Silu,
            Activation::Softplus,
        ] {
            for x in [-3.0f32, -0.4, 0.0003, 0.7, 5.5, 7.0] {
                let step = 1e-2;
                let up = f64::from(activation.apply(x + step));
                let down = f64::from(activation.apply(x - step));
                let kink = (x - step) * (x + step) <= 0.0;
                if kink
                    && matches!(
                        activation,
                        Activation::Relu
                            | Activation::Relu6
                            | Activation::LeakyRelu { .. }
                            | Activation::Elu { .. }
                    )
                {
                    continue;
                }
                let numeric = (up - down) / f64::from(2.0 * step);
                let analytic = f64::from(derivative(activation, x));
                assert!(
                    (numeric - analytic).abs() < 1e-3,
                    "{activation} at {x}: {analytic} {numeric}"
                );
            }
        }
    }
}
