//! A float file as a [`Network`]; what it means is told where every graph format's is.
//!
//! Weights that a converter stored as int8 or float16 (dynamic range, float16 quantization) are
//! brought back to float, and a note says so.

mod constants;
mod operators;
mod windows;

use super::super::network::{Kind, Layout, Network, Node, Value};
use super::flatbuffer::Damaged;
use super::names::{Names, layer_name};
use super::path::{Step, data_input};
use super::schema::{File, Fused, Operator, Tensor, TensorKind, code};
use crate::graph::Activation;
use constants::Constants;

/// A file's graph, and what its user should know.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) network: Network,
    pub(super) notes: Vec<String>,
}

/// Reads every operator; what is wrong is in the network's problems.
pub(super) fn read(file: &File<'_>, bytes: usize) -> Read {
    let mut reader = Reader {
        file,
        network: Network::new(Layout::ChannelsLast),
        values: vec![None; file.tensors.len()],
        constants: Constants::new(file, bytes),
        names: Names::default(),
    };
    for &input in &file.inputs {
        let tensor = &file.tensors[input];
        let shape = tensor.inner_shape().to_vec();
        let node = Node::new(&tensor.name, "input", Kind::Input { shape });
        reader.values[input] = Some(reader.network.add(node, &[]));
    }
    for operator in &file.operators {
        reader.operator(operator);
    }
    for &output in &file.outputs {
        let name = &file.tensors[output].name;
        match reader.values[output] {
            Some(value) => reader.network.output(name, value),
            None => reader.network.problem(
                name,
                "this output is computed by nothing that is read",
                "convert the model again, with float32 outputs",
            ),
        }
    }
    let notes = match reader.constants.narrow {
        0 => Vec::new(),
        n => vec![format!("{n} tensors of int8 or float16 weights are read as float32")],
    };
    Read { network: reader.network, notes }
}

struct Reader<'a, 'f> {
    file: &'f File<'a>,
    network: Network,
    /// What computes each tensor.
    values: Vec<Option<Value>>,
    constants: Constants<'a, 'f>,
    names: Names,
}

/// What an operator becomes: a kind, or why it cannot be.
type Found = Result<Kind, (String, &'static str)>;

fn refuse<T>(reason: impl Into<String>, remedy: &'static str) -> Result<T, (String, &'static str)> {
    Err((reason.into(), remedy))
}

const EXPORT: &str = "convert the model again; the file is not what a converter writes";

impl From<Damaged> for (String, &'static str) {
    fn from(_: Damaged) -> Self {
        ("its options are damaged".into(), EXPORT)
    }
}

impl<'a, 'f> Reader<'a, 'f> {
    /// Adds the operator, the function fused into it, and their values.
    fn operator(&mut self, operator: &'f Operator<'a>) {
        let Some(&output) = operator.outputs.first() else { return };
        let to = &self.file.tensors[output];
        // Shapes are computed in integers; the tensors' own shapes say the same.
        if !matches!(to.kind, TensorKind::Float32 | TensorKind::Float16) {
            return;
        }
        // Weights that are dequantized first: `Constants` looks through it.
        let from = operator.inputs.get(data_input(operator)).copied().flatten();
        if operator.code == code::DEQUANTIZE
            && from.is_some_and(|from| !self.file.tensors[from].data.is_empty())
        {
            return;
        }
        if operator.code == code::SPLIT {
            return self.split(operator);
        }
        let input = from.map_or(to, |from| &self.file.tensors[from]);
        let step = Step { operator, input, output: to };
        let name = layer_name(self.file, &step, &mut self.names);
        let word = operator.operator_name();
        let added = match operator.code {
            code::CONV_2D
            | code::DEPTHWISE_CONV_2D
            | code::TRANSPOSE_CONV
            | code::MAX_POOL_2D
            | code::AVERAGE_POOL_2D => self.windowed(&step, &name, &word),
            code::FULLY_CONNECTED => self.fully_connected(&step, &name, &word),
            _ => self.simple(&step).and_then(|(kind, inputs)| {
                let fused = match operator.code {
                    code::ADD | code::SUB | code::MUL | code::DIV => operator.fused(0)?,
                    code::CONCATENATION => operator.fused(1)?,
                    _ => Fused::None,
                };
                let value = self.network.add(Node::new(&name, &word, kind), &inputs);
                Ok((value, fused))
            }),
        };
        let value = match added {
            Ok((value, fused)) => self.fuse(&name, value, fused),
            Err((reason, remedy)) => {
                let inputs: Vec<Value> = self.operands(operator);
                let kind = Kind::unsupported(reason, remedy);
                self.network.add(Node::new(&name, &word, kind), &inputs)
            }
        };
        self.values[output] = Some(value);
    }

    /// The function fused into an operator, as a node of its own.
    fn fuse(&mut self, name: &str, value: Value, fused: Fused) -> Value {
        let kind = match fused {
            Fused::None => return value,
            Fused::Relu => Kind::Activation(Activation::Relu),
            Fused::Relu6 => Kind::Activation(Activation::Relu6),
            Fused::Tanh => Kind::Activation(Activation::Tanh),
            Fused::ReluN1To1 => Kind::Clip { low: -1.0, high: 1.0 },
            Fused::Other(number) => Kind::unsupported(
                format!("the function {number} of the schema is fused into it"),
                "use a usual activation",
            ),
        };
        self.network.add(Node::new(name, "fused activation", kind), &[value])
    }

    /// Values of the operands that are computed.
    fn operands(&self, operator: &Operator<'_>) -> Vec<Value> {
        operator.inputs.iter().flatten().filter_map(|&index| self.values[index]).collect()
    }

    /// The value of operand `at`.
    fn value(&self, step: &Step<'a, 'f>, at: usize) -> Result<Value, (String, &'static str)> {
        let index = step.operator.inputs.get(at).copied().flatten();
        index.and_then(|index| self.values[index]).ok_or_else(|| {
            ("one of its inputs is computed by nothing that is read".to_string(), EXPORT)
        })
    }

    /// `value` in another shape, where it has not got it.
    fn reshaped(&mut self, name: &str, value: Value, shape: &[usize]) -> Value {
        if self.network.shape(value).is_none_or(|have| have == shape) {
            return value;
        }
        let kind = Kind::Reshape { shape: shape.to_vec() };
        self.network.add(Node::new(name, "reshape", kind), &[value])
    }

    fn fully_connected(
        &mut self,
        step: &Step<'a, 'f>,
        name: &str,
        word: &str,
    ) -> Result<(Value, Fused), (String, &'static str)> {
        let weight = self.constants.operand(step, 1)?;
        let weight: ndarray::Array2<f32> = weight
            .into_dimensionality()
            .map_err(|_| ("its weights are no matrix".to_string(), EXPORT))?;
        let bias = self.constants.vector(step, 2)?;
        let mut value = self.value(step, 0)?;
        if step.input.len() == weight.ncols() {
            value = self.reshaped(name, value, &[weight.ncols()]);
        }
        let kind = Kind::FullyConnected { weight, bias };
        let value = self.network.add(Node::new(name, word, kind), &[value]);
        let value = self.reshaped(name, value, step.output.inner_shape());
        Ok((value, step.operator.fused(0)?))
    }

    /// Each part of a split is a slice.
    fn split(&mut self, operator: &'f Operator<'a>) {
        let input = operator.inputs.get(1).copied().flatten();
        let to = operator.outputs.first().map(|&output| &self.file.tensors[output]);
        let (Some(input), Some(to)) = (input, to) else { return };
        let from = &self.file.tensors[input];
        let step = Step { operator, input: from, output: to };
        let axis = self.constants.integers(&step, 0).and_then(|axes| inner_axis(from, &axes));
        let mut start = 0;
        for &output in &operator.outputs {
            let tensor = &self.file.tensors[output];
            let name = self.names.unique(tensor.name.clone());
            let kind = match axis.and_then(|axis| Some((axis, *tensor.inner_shape().get(axis)?))) {
                Some((axis, len)) => Kind::Slice { axis, start, end: start + len },
                None => Kind::unsupported("it splits the batch or along no constant axis", EXPORT),
            };
            if let Kind::Slice { end, .. } = kind {
                start = end;
            }
            let inputs: Vec<Value> = self.values[input].into_iter().collect();
            let node = Node::new(&name, operator.operator_name(), kind);
            self.values[output] = Some(self.network.add(node, &inputs));
        }
    }
}

/// The one axis of a list, the batch not counted.
fn inner_axis(tensor: &Tensor<'_>, axes: &[i32]) -> Option<usize> {
    let &[axis] = axes else { return None };
    let rank = i32::try_from(tensor.shape.len()).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(axis.checked_sub(1)?).ok().filter(|axis| *axis + 1 < tensor.shape.len())
}
