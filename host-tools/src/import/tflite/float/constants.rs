//! Numbers of the file, in f32 whatever they are stored as.

use std::collections::{BTreeSet, HashMap};

use super::super::path::Step;
use super::super::schema::{File, Operator, Tensor, TensorKind, code};
use super::{EXPORT, refuse};
use half::f16;
use ndarray::{Array1, ArrayD, IxDyn};

/// Why a tensor cannot be read.
type Refusal = (String, &'static str);

/// Reads constant tensors, each as often as it is used, all of them within bounds.
pub(super) struct Constants<'a, 'f> {
    file: &'f File<'a>,
    /// Elements that may still be read: a hostile file may use one tensor without end.
    budget: usize,
    /// Tensors that were not float32.
    pub(super) narrow: usize,
    counted: BTreeSet<usize>,
    /// Tensors that are dequantized from others.
    dequantized: HashMap<usize, usize>,
}

impl<'a, 'f> Constants<'a, 'f> {
    /// Of a file of `bytes`.
    pub(super) fn new(file: &'f File<'a>, bytes: usize) -> Self {
        let pair = |operator: &Operator<'_>| {
            let from = operator.inputs.first().copied().flatten();
            Some((*operator.outputs.first()?, from?)).filter(|_| operator.code == code::DEQUANTIZE)
        };
        let dequantized = file.operators.iter().filter_map(pair).collect();
        Self { file, budget: 4 * bytes, narrow: 0, counted: BTreeSet::new(), dequantized }
    }

    /// The constant behind a tensor: itself, or what it is dequantized from.
    pub(super) fn source(&self, index: usize) -> Option<usize> {
        let tensor = self.file.tensors.get(index)?;
        if !tensor.data.is_empty() {
            return Some(index);
        }
        let from = *self.dequantized.get(&index)?;
        (!self.file.tensors[from].data.is_empty()).then_some(from)
    }

    /// Operand `at`, which must be in the file.
    pub(super) fn operand(
        &mut self,
        step: &Step<'a, 'f>,
        at: usize,
    ) -> Result<ArrayD<f32>, Refusal> {
        let index = step.operator.inputs.get(at).copied().flatten();
        match index.and_then(|index| self.source(index)) {
            Some(index) => self.read(index),
            None => refuse("its weights are not in the file", "freeze the weights when converting"),
        }
    }

    /// Operand `at` as a vector, `None` where it is left out.
    pub(super) fn vector(
        &mut self,
        step: &Step<'a, 'f>,
        at: usize,
    ) -> Result<Option<Array1<f32>>, Refusal> {
        if step.operator.inputs.get(at).copied().flatten().is_none() {
            return Ok(None);
        }
        let values = self.operand(step, at)?;
        let len = values.len();
        values.into_shape_with_order(len).map(Some).map_err(|_| (String::new(), EXPORT))
    }

    /// Operand `at` as integers of the file (axes, paddings, …).
    pub(super) fn integers(&self, step: &Step<'a, 'f>, at: usize) -> Option<Vec<i32>> {
        let tensor = self.file.tensors.get(step.operator.inputs.get(at).copied()??)?;
        if tensor.kind != TensorKind::Int32 || tensor.data.is_empty() {
            return None;
        }
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_le_bytes);
        Some(tensor.data.chunks_exact(4).map(word).collect())
    }

    /// A constant tensor.
    pub(super) fn read(&mut self, index: usize) -> Result<ArrayD<f32>, Refusal> {
        let tensor = &self.file.tensors[index];
        let (len, bytes) = (tensor.len(), tensor.data);
        let size = match tensor.kind {
            TensorKind::Float32 => 4,
            TensorKind::Float16 => 2,
            TensorKind::Int8 => 1,
            kind => return refuse(format!("`{}` is {kind}", tensor.name), "convert in float32"),
        };
        if tensor.is_sparse {
            return refuse("its weights are stored sparsely", "convert without sparsity");
        }
        if len.checked_mul(size) != Some(bytes.len()) {
            return refuse(format!("`{}` is cut off", tensor.name), EXPORT);
        }
        self.budget = self
            .budget
            .checked_sub(len)
            .ok_or_else(|| ("the model reads its weights over and over".to_string(), EXPORT))?;
        let float = |bytes: &[u8]| bytes.try_into().map_or(0.0, f32::from_le_bytes);
        let half = |bytes: &[u8]| bytes.try_into().map_or(0.0, |b| f16::from_le_bytes(b).to_f32());
        let values: Vec<f32> = match tensor.kind {
            TensorKind::Float32 => bytes.chunks_exact(4).map(float).collect(),
            TensorKind::Float16 => bytes.chunks_exact(2).map(half).collect(),
            _ => dequantized(tensor)?,
        };
        if tensor.kind != TensorKind::Float32 && self.counted.insert(index) {
            self.narrow += 1;
        }
        ArrayD::from_shape_vec(IxDyn(&tensor.shape), values)
            .map_err(|_| (format!("`{}` has no usable shape", tensor.name), EXPORT))
    }
}

/// Real values of int8 numbers: one scale, or one an index of an axis.
fn dequantized(tensor: &Tensor<'_>) -> Result<Vec<f32>, Refusal> {
    let inner: usize = tensor.shape.iter().skip(tensor.axis + 1).product();
    let count = tensor.shape.get(tensor.axis).copied().unwrap_or(1);
    let per_axis = tensor.scale.len() > 1;
    if tensor.scale.is_empty()
        || tensor.scale.len() != tensor.zero_point.len()
        || (per_axis && tensor.scale.len() != count)
    {
        return refuse(format!("`{}` has no usable scales", tensor.name), EXPORT);
    }
    let at = |i: usize| if per_axis { (i / inner.max(1)) % count.max(1) } else { 0 };
    let real = |(i, &q): (usize, &u8)| {
        let (scale, zero_point) = (tensor.scale[at(i)], tensor.zero_point[at(i)] as f32);
        scale * (f32::from(q as i8) - zero_point)
    };
    Ok(tensor.data.iter().enumerate().map(real).collect())
}
