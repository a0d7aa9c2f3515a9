//! Elementwise activations, in f32, as PyTorch defines them.

use serde::{Deserialize, Serialize};

/// The non-linearity after a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` where positive, else `alpha * x`.
    LeakyRelu {
        /// Slope for negative inputs.
        #[serde(deserialize_with = "number")]
        alpha: f32,
    },
    /// `x` where positive, else `alpha * (exp(x) - 1)`.
    Elu {
        /// Minus the limit for very negative inputs.
        #[serde(deserialize_with = "number")]
        alpha: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * Phi(x)` with the exact Gaussian distribution function (erf).
    Gelu,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `ln(1 + exp(x))`.
    Softplus,
}

/// A number through a JSON value: serde's tagged enums do not know the numbers of `serde_json`'s
/// `arbitrary_precision`, which any crate of a build may turn on.
fn number<'de, D: serde::Deserializer<'de>>(input: D) -> Result<f32, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    let number = value.as_f64().map(|number| number as f32);
    number.ok_or_else(|| serde::de::Error::custom(format!("`{value}` is not a number")))
}

impl Activation {
    /// The activation's value at `x`.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x
                }
            }
            Self::Elu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    alpha * x.exp_m1()
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Gelu => {
                let x = f64::from(x);
                (0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) as f32
            }
            Self::Silu => x * sigmoid(x),
            // The usual split, so that neither branch overflows.
            Self::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        }
    }

    /// Whether `apply` is the identity, so that no work is needed.
    pub fn is_identity(self) -> bool {
        self == Self::Identity
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity => f.write_str("identity"),
            Self::Relu => f.write_str("relu"),
            Self::Relu6 => f.write_str("relu6"),
            Self::LeakyRelu { alpha } => write!(f, "leaky-relu({alpha})"),
            Self::Elu { alpha } => write!(f, "elu({alpha})"),
            Self::Sigmoid => f.write_str("sigmoid"),
            Self::Tanh => f.write_str("tanh"),
            Self::Gelu => f.write_str("gelu"),
            Self::Silu => f.write_str("silu"),
            Self::Softplus => f.write_str("softplus"),
        }
    }
}

impl std::str::FromStr for Activation {
    type Err = String;

    /// Reads what `Display` writes; parameters may be left out (PyTorch's
    /// defaults: slope 0.01, alpha 1).
    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase().replace('_', "-");
        let (name, argument) = match lower.split_once('(') {
            Some((name, rest)) => {
                let number = rest.trim_end_matches(')').trim();
                let value: f32 = number
                    .parse()
                    .map_err(|_| format!("`{number}` in `{text}` is not a number"))?;
                if !value.is_finite() {
                    return Err(format!("`{number}` in `{text}` is not finite"));
                }
                (name.to_string(), Some(value))
            }
            None => (lower, None),
        };
        let plain = match name.as_str() {
            "leaky-relu" => {
                return Ok(Self::LeakyRelu { alpha: argument.unwrap_or(0.01) });
            }
            "elu" => {
                return Ok(Self::Elu { alpha: argument.unwrap_or(1.0) });
            }
            "identity" | "none" | "linear" => Self::Identity,
            "relu" => Self::Relu,
            "relu6" => Self::Relu6,
            "sigmoid" => Self::Sigmoid,
            "tanh" => Self::Tanh,
            "gelu" => Self::Gelu,
            "silu" | "swish" => Self::Silu,
            "softplus" => Self::Softplus,
            _ => {
                return Err(format!(
                    "unknown activation `{text}`; known: identity, relu, relu6, leaky-relu(0.01), \
                     elu(1), sigmoid, tanh, gelu, silu, softplus"
                ));
            }
        };
        match argument {
            Some(_) => Err(format!("`{name}` takes no parameter")),
            None => Ok(plain),
        }
    }
}

/// The logistic function, without overflow at either end.
pub(crate) fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Complementary error function, relative error below 1.2e-7 everywhere
/// (the Chebyshev fit of Numerical Recipes, section 6.2), which is f32's own.
fn erfc(x: f64) -> f64 {
    const FIT: [f64; 10] = [
        -1.26551223,
        1.00002368,
        0.37409196,
        0.09678418,
        -0.18628806,
        0.27886807,
        -1.13520398,
        1.48851587,
        -0.82215223,
        0.17087277,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let poly = FIT.iter().rev().fold(0.0, |acc, c| acc * t + c);
    let tail = t * (poly - x * x).exp();
    if x >= 0.0 { tail } else { 2.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(activation: Activation, x: f32, expected: f32) {
        let y = activation.apply(x);
        assert!(
            (y - expected).abs() <= 2e-6 * expected.abs().max(1.0),
            "{activation} at {x}: {y}, expected {expected}"
        );
    }

    #[test]
    fn values_are_pytorchs() {
        // Printed by torch 2.x in f64.
        close(Activation::Gelu, 1.0, 0.841_344_7);
        close(Activation::Gelu, -0.5, -0.154_268_77);
        close(Activation::Silu, -1.0, -0.268_941_43);
        close(Activation::Softplus, 0.0, std::f32::consts::LN_2);
        close(Activation::Softplus, 100.0, 100.0);
        close(Activation::Elu { alpha: 1.0 }, -1.0, -0.632_120_56);
        close(Activation::LeakyRelu { alpha: 0.1 }, -2.0, -0.2);
        close(Activation::Relu6, 9.0, 6.0);
        close(Activation::Sigmoid, -100.0, 0.0);
        close(Activation::Sigmoid, 100.0, 1.0);
    }

    #[test]
    fn names_survive_a_round_trip() {
        for activation in [
            Activation::Identity,
            Activation::Relu6,
            Activation::LeakyRelu { alpha: 0.2 },
            Activation::Elu { alpha: 1.5 },
            Activation::Gelu,
        ] {
            assert_eq!(activation.to_string().parse(), Ok(activation));
        }
        assert_eq!("ELU".parse(), Ok(Activation::Elu { alpha: 1.0 }));
        assert!("relu(3)".parse::<Activation>().is_err());
        assert!("mish".parse::<Activation>().is_err());
    }
}
