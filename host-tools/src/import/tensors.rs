//! Tensors of a file as f32, grouped into linear layers.

use super::Problem;
use super::batch_norm::{self, EPSILON, Statistics};
use super::named_tensor::NamedTensor;
use crate::graph::{Activation, Layer};
use ndarray::{Array1, Array2, ArrayD};
use std::collections::BTreeMap;

/// The tensors of a file, by layer name; what could not be used is a problem.
#[derive(Debug, Default)]
pub(super) struct Tensors {
    layers: BTreeMap<String, Linear>,
    /// Per-feature precision of a Gaussian likelihood.
    pub(super) precision: Option<Array1<f32>>,
    pub(super) problems: Vec<Problem>,
    /// What was taken for granted; worth telling, but no problem.
    pub(super) notes: Vec<String>,
    /// Whether the file's metadata tells what a convolution's kernel means.
    own: bool,
}

#[derive(Debug, Default)]
struct Linear {
    weight: Option<Array2<f32>>,
    /// A convolution's weight, outputs first.
    kernel: Option<ArrayD<f32>>,
    bias: Option<Array1<f32>>,
    /// Of a batch normalization, which has a bias and no weight matrix.
    statistics: Statistics,
    /// A tensor of this layer was refused already; say no more about it.
    refused: bool,
}

/// Name of the tensor that holds a Gaussian likelihood's precision.
pub(super) const PRECISION: &str = "likelihood.precision";

impl Tensors {
    /// Reads every tensor, with `strip` taken off the front of its name.
    pub(super) fn read(list: &[NamedTensor<'_>], strip: &str, own: bool) -> Self {
        let mut all = Self { own, ..Self::default() };
        let mut sorted: Vec<&NamedTensor<'_>> = list.iter().collect();
        sorted.sort_by(|a, b| a.name.cmp(&b.name));
        for tensor in sorted {
            let name = tensor.name.strip_prefix(strip).unwrap_or(&tensor.name);
            if let Err(problem) = all.insert(name, tensor) {
                if let Some((layer, _)) = name.rsplit_once('.') {
                    all.layers.entry(layer.into()).or_default().refused = true;
                }
                all.problems.push(problem);
            }
        }
        all.fold_batch_norms(strip);
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

    fn insert(&mut self, name: &str, tensor: &NamedTensor<'_>) -> Result<(), Problem> {
        let shape = &tensor.shape;
        let unknown = || unknown(&tensor.name, shape);
        if name == PRECISION {
            self.precision = Some(Array1::from_vec(tensor.values()?));
            return Ok(());
        }
        let (layer, role) = name.rsplit_once('.').ok_or_else(unknown)?;
        let layer = self.layers.entry(layer.into()).or_default();
        let vector = || Ok(Some(Array1::from_vec(tensor.values()?)));
        match (role, &shape[..]) {
            ("weight", [out, input]) => {
                let weight = Array2::from_shape_vec((*out, *input), tensor.values()?);
                layer.weight = Some(weight.map_err(|_| unknown())?);
            }
            ("weight", [_, _, _] | [_, _, _, _]) if self.own => {
                let kernel = ArrayD::from_shape_vec(shape.clone(), tensor.values()?);
                layer.kernel = Some(kernel.map_err(|_| unknown())?);
            }
            ("bias", [_]) => layer.bias = vector()?,
            ("weight", [_]) => layer.statistics.weight = vector()?,
            ("running_mean", [_]) => layer.statistics.mean = vector()?,
            ("running_var", [_]) => layer.statistics.variance = vector()?,
            // How many batches the statistics were gathered over.
            ("num_batches_tracked", [] | [1]) => {}
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Folds every batch normalization into the Linear that its name puts
    /// beside it; the others are problems.
    fn fold_batch_norms(&mut self, strip: &str) {
        let found = self.layers.extract_if(.., |_, layer| !layer.statistics.is_empty());
        let norms: Vec<(String, Linear)> = found.collect();
        for (name, norm) in norms {
            let neighbors = batch_norm::neighbors(&name);
            let normalization = norm.statistics.normalization(norm.bias.as_ref());
            let mut refused = norm.refused;
            let mut folded = None;
            for (before, neighbor) in [true, false].into_iter().zip(&neighbors) {
                let Some(linear) = neighbor.as_ref().and_then(|n| self.layers.get_mut(n)) else {
                    continue;
                };
                refused |= linear.refused;
                let (Some(norm), Some(weight)) = (&normalization, &mut linear.weight) else {
                    continue;
                };
                let width = if before { weight.nrows() } else { weight.ncols() };
                let outputs = weight.nrows();
                let bias = linear.bias.get_or_insert_with(|| Array1::zeros(outputs));
                if width != norm.scale.len() || bias.len() != outputs {
                    continue;
                }
                if before {
                    norm.after(weight, bias);
                } else {
                    norm.before(weight, bias);
                }
                folded = neighbor.clone();
                break;
            }
            match folded {
                Some(linear) => self.notes.push(format!(
                    "batch normalization `{name}` folded into `{linear}` with eps {EPSILON:e}, \
                     which a state dict does not hold"
                )),
                // Whatever stood in the way was refused by name already.
                None if refused => {}
                None => {
                    let statistics = &norm.statistics;
                    let (role, len) = match (&statistics.mean, &statistics.variance) {
                        (Some(mean), _) => ("running_mean", mean.len()),
                        (None, Some(variance)) => ("running_var", variance.len()),
                        _ => ("weight", statistics.weight.as_ref().map_or(0, Array1::len)),
                    };
                    self.problems.push(unknown(&format!("{strip}{name}.{role}"), &[len]));
                }
            }
        }
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

/// Says what an unusable tensor is likely to be, and what to do with it.
fn unknown(name: &str, shape: &[usize]) -> Problem {
    let role = name.rsplit('.').next().unwrap_or(name);
    let (what, remedy) = match (role, shape.len()) {
        ("running_mean" | "running_var" | "num_batches_tracked", _) => (
            "statistics of a batch normalization",
            "fold it into the layer before it (torch.nn.utils.fuse_linear_bn_eval), or put both in \
             one nn.Sequential, and export again",
        ),
        ("weight", 1) => (
            "the scale of a normalization layer",
            "fold batch normalization into the layer before it; layer normalization cannot be read",
        ),
        ("weight", 3..=5) => (
            "the kernel of a convolution, whose stride and padding a state dict does not hold",
            "export the model as ONNX (torch.onnx.export) and import that",
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
