//! Derivatives of the activations.

use crate::graph::Activation;

/// `d activation(x) / dx`; at a kink, the derivative from the left.
pub(super) fn derivative(activation: Activation, x: f32) -> f32 {
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
