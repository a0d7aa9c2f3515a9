//! Activations, arithmetic, noise.

use super::reader::{Item, Now, Reader, Refusal, again};
use super::tensor::Tensor;
use crate::graph::Activation;
use crate::import::network::{Kind, Value};
use ndarray::{ArrayD, IxDyn};

impl Reader<'_> {
    /// Elementwise operators.
    pub(super) fn elementwise(&mut self, now: &Now<'_>) -> Option<Result<Vec<Item>, Refusal>> {
        let attributes = &now.attributes;
        let activation = |activation| Ok(Kind::Activation(activation));
        let kind = match now.node.op_type.as_str() {
            "Relu" => activation(Activation::Relu),
            "LeakyRelu" => {
                activation(Activation::LeakyRelu { alpha: attributes.float("alpha", 0.01) })
            }
            "Elu" => activation(Activation::Elu { alpha: attributes.float("alpha", 1.0) }),
            "Celu" if attributes.float("alpha", 1.0) == 1.0 => {
                activation(Activation::Elu { alpha: 1.0 })
            }
            "Sigmoid" => activation(Activation::Sigmoid),
            "Tanh" => activation(Activation::Tanh),
            "Softplus" => activation(Activation::Softplus),
            "Swish" if attributes.float("alpha", 1.0) == 1.0 => activation(Activation::Silu),
            "Gelu" if attributes.text("approximate", "none") == "none" => {
                activation(Activation::Gelu)
            }
            "Gelu" => Err((
                "is the tanh approximation of GELU".into(),
                "train with gelu(approximate='none'), the exact one".into(),
            )),
            "PRelu" => slope(now).map(|alpha| Kind::Activation(Activation::LeakyRelu { alpha })),
            "Exp" => Ok(Kind::Exp),
            "Log" => Ok(Kind::Log),
            "Sqrt" => Ok(Kind::Sqrt),
            "Erf" => Ok(Kind::Erf),
            "Erfc" => return Some(self.erfc(now)),
            "Identity" => Ok(Kind::Identity),
            "Dropout" => dropout(now),
            "Cast" => match attributes.int("to", 1) {
                1 | 10 | 11 | 16 => Ok(Kind::Identity),
                _ => Err(again("turns values of the window into integers")),
            },
            "Clip" => clip(now),
            "Max" | "Min" if now.inputs.len() == 2 => return Some(self.extreme(now)),
            "Pow" => power(now),
            "Neg" => return Some(self.times(now, -1.0)),
            "Selu" => return Some(self.selu(now)),
            "Add" | "Sub" | "Mul" | "Div" => return Some(self.arithmetic(now)),
            "Sum" if now.inputs.len() == 2 => return Some(self.arithmetic(now)),
            "Greater" => return Some(self.greater(now)),
            "Where" => return Some(self.guarded_softplus(now)),
            "RandomNormal" | "RandomNormalLike" | "StatelessRandomNormalV2" => {
                return Some(self.noise(now));
            }
            "Resize" | "Upsample" => return Some(self.resize(now)),
            _ => return None,
        };
        Some(kind.and_then(|kind| {
            let x = now.value(0)?;
            // `min(relu(x), 6)` in two nodes.
            if let Kind::Clip { low, high } = &kind
                && *low <= 0.0
                && *high == 6.0
                && matches!(self.network.node(x).kind, Kind::Activation(Activation::Relu))
                && let [before] = self.network.node(x).inputs[..]
            {
                return Ok(self.one(now, Kind::Activation(Activation::Relu6), &[before]));
            }
            Ok(self.one(now, kind, &[x]))
        }))
    }

    fn number(&mut self, now: &Now<'_>, value: f32) -> Value {
        self.push(now, Kind::Constant(ArrayD::from_elem(IxDyn(&[]), value)), &[])
    }

    fn times(&mut self, now: &Now<'_>, factor: f32) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let factor = self.number(now, factor);
        Ok(self.one(now, Kind::Multiply, &[x, factor]))
    }

    /// `1 + erf(-x)`, in which GELU is written by TensorFlow.
    fn erfc(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let minus = self.number(now, -1.0);
        let x = self.push(now, Kind::Multiply, &[x, minus]);
        let erf = self.push(now, Kind::Erf, &[x]);
        let one = self.number(now, 1.0);
        Ok(self.one(now, Kind::Add, &[erf, one]))
    }

    /// `gamma * elu(x)`.
    fn selu(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let x = now.value(0)?;
        let alpha = now.attributes.float("alpha", 1.673_263_2);
        let gamma = now.attributes.float("gamma", 1.050_701);
        let y = self.push(now, Kind::Activation(Activation::Elu { alpha }), &[x]);
        let gamma = self.number(now, gamma);
        Ok(self.one(now, Kind::Multiply, &[y, gamma]))
    }

    fn arithmetic(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let mut operands = Vec::new();
        for i in 0..2 {
            operands.push(match now.constant(i) {
                Some(tensor) => {
                    self.spend(tensor.len())?;
                    let array = self.one_window(tensor);
                    self.push(now, Kind::Constant(array), &[])
                }
                None => now.value(i)?,
            });
        }
        let kind = match now.node.op_type.as_str() {
            "Sub" => Kind::Subtract,
            "Mul" => Kind::Multiply,
            "Div" => Kind::Divide,
            _ => Kind::Add,
        };
        Ok(self.one(now, kind, &operands))
    }

    /// A constant written out for a fixed batch, the same for every window, once.
    fn one_window(&self, tensor: &Tensor) -> ArrayD<f32> {
        let array = tensor.array();
        if array.ndim() > 1 && self.batch > 1 && array.shape()[0] == self.batch {
            let first = array.index_axis(ndarray::Axis(0), 0).to_owned();
            if array.outer_iter().all(|window| window == first) {
                return first;
            }
        }
        array
    }

    /// `max(x, number)`, `min(x, number)`.
    fn extreme(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let (x, bound) = match (now.constant(0), now.constant(1)) {
            (None, Some(bound)) => (now.value(0)?, bound),
            (Some(bound), None) => (now.value(1)?, bound),
            _ => return Err(again("compares two computed values")),
        };
        let bound = bound.number().ok_or_else(|| again("its bound differs from place to place"))?;
        let kind = if now.node.op_type == "Max" {
            Kind::clip(bound, f32::INFINITY)
        } else if bound == 6.0
            && matches!(self.network.node(x).kind, Kind::Activation(Activation::Relu))
            && let [before] = self.network.node(x).inputs[..]
        {
            return Ok(self.one(now, Kind::Activation(Activation::Relu6), &[before]));
        } else {
            Kind::clip(f32::NEG_INFINITY, bound)
        };
        Ok(self.one(now, kind, &[x]))
    }

    fn greater(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let than = now.constant(1).and_then(Tensor::number);
        let than = than.ok_or_else(|| again("compares two computed values"))?;
        Ok(vec![Item::Greater(now.value(0)?, than)])
    }

    /// `x > 20 ? x : softplus(x)`: PyTorch's guard against overflow.
    fn guarded_softplus(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        if let Some(Some(Item::Greater(of, than))) = now.inputs.first()
            && let (Ok(x), Ok(otherwise)) = (now.value(1), now.value(2))
            && let node = self.network.node(otherwise)
            && matches!(node.kind, Kind::Activation(Activation::Softplus))
            && x == *of
            && node.inputs == [x]
            && *than >= 16.0
        {
            return Ok(vec![Item::Value(otherwise)]);
        }
        Err((
            "chooses between values by a condition".into(),
            "use one of relu, leaky relu, elu, softplus as the framework offers them".into(),
        ))
    }

    /// Noise, with the mean and scale that the file gives it.
    fn noise(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        let (shape, inputs) = if now.node.op_type == "RandomNormalLike" {
            match now.inputs.first() {
                Some(Some(Item::Constant(like))) => (like.shape.clone(), vec![]),
                _ => {
                    let like = now.value(0)?;
                    (self.full_shape(like)?, vec![like])
                }
            }
        } else {
            // Keras 3's own, which tf2onnx hands through, has its shape as an input.
            let shape = match now.node.op_type.as_str() {
                "RandomNormal" => now.attributes.ints("shape"),
                _ => now.wanted(0, "shape")?.as_ints(),
            };
            let shape = shape.unwrap_or_default();
            let shape: Option<Vec<usize>> =
                shape.iter().map(|d| usize::try_from(*d).ok()).collect();
            (shape.ok_or_else(|| again("its shape makes no sense"))?, vec![])
        };
        let window = shape.get(1..).unwrap_or(&[]).to_vec();
        let mut y = self.push(now, Kind::RandomNormal { shape: window }, &inputs);
        let scale = now.attributes.float("scale", 1.0);
        if scale != 1.0 {
            let scale = self.number(now, scale);
            y = self.push(now, Kind::Multiply, &[y, scale]);
        }
        if now.attributes.float("mean", 0.0) != 0.0 {
            let remedy = "sample as mu + exp(0.5 * logvar) * noise".to_string();
            return Err(("its noise has a mean of its own".into(), remedy));
        }
        Ok(vec![Item::Value(y)])
    }
}

fn dropout(now: &Now<'_>) -> Result<Kind, Refusal> {
    match now.constant(2).and_then(Tensor::number) {
        Some(training) if training != 0.0 => {
            Err(("is in training mode".into(), "call model.eval() before exporting".into()))
        }
        _ => Ok(Kind::Identity),
    }
}

fn clip(now: &Now<'_>) -> Result<Kind, Refusal> {
    let bound = |name: &str, i: usize, default: f32| {
        if now.attributes.has(name) {
            return Ok(now.attributes.float(name, default));
        }
        if !now.has(i) {
            return Ok(default);
        }
        now.wanted(i, "bound")?.number().ok_or_else(|| again("its bound is no number"))
    };
    Ok(Kind::clip(bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?))
}

fn power(now: &Now<'_>) -> Result<Kind, Refusal> {
    let exponent = now.wanted(1, "exponent")?.number();
    match exponent.ok_or_else(|| again("its exponent is no number"))? {
        1.0 => Ok(Kind::Identity),
        exponent => Ok(Kind::Power { exponent }),
    }
}

/// A PReLU with one slope for all channels is a leaky ReLU.
fn slope(now: &Now<'_>) -> Result<f32, Refusal> {
    let slopes = now.wanted(1, "slope")?.floats();
    match slopes.first() {
        Some(first) if slopes.iter().all(|slope| slope == first) => Ok(*first),
        _ => Err((
            "has a slope of its own for each channel".into(),
            "use nn.PReLU(1) or a leaky ReLU".into(),
        )),
    }
}
