//! Tensors of a file as f32, grouped into linear layers.

use super::Problem;
use crate::graph::{Activation, Layer};
use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayD};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;

/// The tensors of a file, by layer name; what could not be used is a problem.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    layers: BTreeMap<String, Linear>,
    /// Per-feature precision of a Gaussian likelihood.
    pub(super) precision: Option<Array1<f32>>,
    pub(super) problems: Vec<Problem>,
    /// Whether the file's metadata tells what a convolution's kernel means.
    own: bool,
}

#[derive(Debug, Default)]
struct Linear {
    weight: Option<Array2<f32>>,
    /// A convolution's weight, outputs first.
    kernel: Option<ArrayD<f32>>,
    bias: Option<Array1<f32>>,
    /// A tensor of this layer was refused already; say no more about it.
    refused: bool,
}

/// Name of the tensor that holds a Gaussian likelihood's precision.
pub(super) const PRECISION: &str = "likelihood.precision";

impl Tensors {
    /// Reads every tensor, with `strip` taken off the front of its name.
    pub(super) fn read(file: &SafeTensors<'_>, strip: &str, own: bool) -> Self {
        let mut all = Self { own, ..Self::default() };
        let mut names = file.names();
        names.sort_unstable();
        for full in names {
            let Ok(view) = file.tensor(full) else {
                continue;
            };
            let name = full.strip_prefix(strip).unwrap_or(full);
            if let Err(problem) = all.insert(name, full, &view) {
                if let Some((layer, _)) = name.rsplit_once('.') {
                    all.layers.entry(layer.into()).or_default().refused = true;
                }
                all.problems.push(problem);
            }
        }
        all.check_pairs();
        all
    }

    /// Names of all layers with a usable weight, in natural order (`2` before
    /// `10`).
    pub(super) fn names(&self) -> Vec<String> {
        let usable = self
            .layers
            .iter()
            .filter(|(_, layer)| layer.weight.is_some() || layer.kernel.is_some());
        let mut names: Vec<String> = usable.map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| natural_key(name));
        names
    }

    /// `(outputs, inputs)` of a layer's weight.
    pub(super) fn dim(&self, name: &str) -> Option<(usize, usize)> {
        Some(self.layers.get(name)?.weight.as_ref()?.dim())
    }

    /// Takes a layer out; a missing bias is zero (`Linear(bias=False)`).
    pub(super) fn take(&mut self, name: &str, activation: Activation) -> Option<Layer> {
        let layer = self.layers.remove(name)?;
        let weight = layer.weight?;
        let bias = layer.bias.unwrap_or_else(|| Array1::zeros(weight.nrows()));
        Some(Layer::fully_connected(name, weight, bias, activation))
    }

    /// Takes a convolution's kernel and bias out; a missing bias is zero.
    pub(super) fn take_kernel(&mut self, name: &str) -> Option<(ArrayD<f32>, Array1<f32>)> {
        let layer = self.layers.remove(name)?;
        let kernel = layer.kernel?;
        let bias = layer.bias.unwrap_or_else(|| Array1::zeros(kernel.shape()[0]));
        Some((kernel, bias))
    }

    /// Whether the file has anything under this layer name, usable or not.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.layers.contains_key(name)
    }

    fn insert(&mut self, name: &str, full: &str, view: &TensorView<'_>) -> Result<(), Problem> {
        let shape = view.shape().to_vec();
        if name == PRECISION {
            self.precision = Some(Array1::from_vec(values(full, view)?));
            return Ok(());
        }
        let Some((layer, role)) = name.rsplit_once('.') else {
            return Err(unknown(full, &shape));
        };
        match (role, &shape[..]) {
            ("weight", [out, input]) => {
                let values = values(full, view)?;
                let weight = Array2::from_shape_vec((*out, *input), values)
                    .map_err(|_| unknown(full, &shape))?;
                self.layers.entry(layer.into()).or_default().weight = Some(weight);
            }
            ("weight", [_, _, _] | [_, _, _, _]) if self.own => {
                let kernel = ArrayD::from_shape_vec(shape.clone(), values(full, view)?)
                    .map_err(|_| unknown(full, &shape))?;
                self.layers.entry(layer.into()).or_default().kernel = Some(kernel);
            }
            ("bias", [_]) => {
                let bias = Array1::from_vec(values(full, view)?);
                self.layers.entry(layer.into()).or_default().bias = Some(bias);
            }
            _ => return Err(unknown(full, &shape)),
        }
        Ok(())
    }

    /// A bias needs a weight with as many outputs.
    fn check_pairs(&mut self) {
        for (name, layer) in &mut self.layers {
            let rows = layer.weight.as_ref().map(Array2::nrows);
            let outputs = rows.or(layer.kernel.as_ref().map(|kernel| kernel.shape()[0]));
            let problem = match (outputs, &layer.bias) {
                _ if layer.refused => {
                    (layer.weight, layer.kernel) = (None, None);
                    continue;
                }
                (None, Some(_)) => Problem::new(
                    format!("{name}.weight"),
                    format!("missing, although `{name}.bias` is there"),
                    "export the complete state dict",
                ),
                (Some(outputs), Some(bias)) if outputs != bias.len() => Problem::new(
                    format!("{name}.bias"),
                    format!("{} elements for the {outputs} outputs of the weight", bias.len()),
                    "weight and bias come from different layers; export them together",
                ),
                _ => continue,
            };
            self.problems.push(problem);
        }
    }
}

/// A tensor's numbers as f32.
fn values(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Problem> {
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => numbers(data, f32::from_le_bytes),
        Dtype::F64 => numbers(data, |b| f64::from_le_bytes(b) as f32),
        Dtype::F16 => numbers(data, |b| f16::from_le_bytes(b).into()),
        Dtype::BF16 => numbers(data, |b| bf16::from_le_bytes(b).into()),
        other => {
            return Err(Problem::new(
                name,
                format!("dtype {other:?} is not read"),
                "save it as float32, float64, float16 or bfloat16",
            ));
        }
    };
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(values),
        Some(at) => Err(Problem::new(
            name,
            format!("element {at} is {}", values[at]),
            "training diverged: train again with a lower learning rate",
        )),
    }
}

fn numbers<const N: usize>(data: &[u8], to: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>().0.iter().map(|b| to(*b)).collect()
}

/// Says what an unusable tensor is likely to be, and what to do with it.
fn unknown(name: &str, shape: &[usize]) -> Problem {
    let role = name.rsplit('.').next().unwrap_or(name);
    let (what, remedy) = match (role, shape.len()) {
        ("running_mean" | "running_var" | "num_batches_tracked", _) => (
            "statistics of a batch normalization",
            "fold it into the layer before it (torch.nn.utils.fuse_linear_bn_eval) and export again",
        ),
        ("weight", 1) => (
            "the scale of a normalization layer",
            "fold batch normalization into the layer before it; layer normalization cannot be read",
        ),
        ("weight", 3..=5) => (
            "the kernel of a convolution",
            "convolutions are not read yet: use a network of Linear layers",
        ),
        (role, _) if role.starts_with("weight_ih") || role.starts_with("weight_hh") => (
            "a weight of a recurrent layer",
            "recurrent layers cannot be read: use a network of Linear layers over a window",
        ),
        _ => (
            "neither weight nor bias of a Linear layer",
            "leave it out of the exported state dict, if the model does not need it",
        ),
    };
    Problem::new(name, format!("shape {shape:?} is {what}"), remedy)
}

/// Splits digits from text, so that `encoder.10` follows `encoder.2`.
pub(super) fn natural_key(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(text_end);
        let digits_end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(digits_end);
        key.push((text.to_string(), digits.parse().unwrap_or(0)));
        rest = tail;
    }
    key
}
