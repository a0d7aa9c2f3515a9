//! A network as a file describes it: the form that ONNX, float TensorFlow Lite
//! and Keras files share before anything is understood as encoder or decoder.
//!
//! A reader calls [`Network::add`] once for each operator, in topological
//! order, with what the file says about it; [`super::assemble`] makes the model.
//! What a reader need **not** do: fold, fuse, flatten, permute weights for the
//! layout, look for heads or sampling. What it must do:
//!
//! - leave the batch out: shapes, axes and reshapes here count from the axis
//!   behind it;
//! - bring weights into the order [`Kind`] states, whatever the file's order;
//! - turn what it does not know into [`Kind::Unsupported`], and go on: every
//!   problem of a file is reported at once.
//!
//! ```text
//! let mut network = Network::new(Layout::ChannelsFirst);
//! let x = network.add(Node::new("x", "Input", Kind::Input { shape: vec![784] }), &[]);
//! let h = network.add(Node::new("encoder.0", "Gemm", Kind::FullyConnected { weight, bias }), &[x]);
//! let h = network.add(Node::new("/Relu", "Relu", Kind::Activation(Activation::Relu)), &[h]);
//! network.output("h", h);
//! ```

mod geometry;
mod infer;
mod kind;

pub(crate) use geometry::{geometry, places};
pub(crate) use kind::{Kind, Padding, Pool, Window};

use super::Problem;

/// Where the channels stand in a windowed operator's input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[channels][length][width]`, as PyTorch.
    ChannelsFirst,
    /// `[length][width][channels]`, as TensorFlow.
    #[allow(dead_code, reason = "of files that TensorFlow writes")]
    ChannelsLast,
}

impl Layout {
    /// Axis of the channels among `rank` axes.
    pub(crate) fn channel_axis(self, rank: usize) -> usize {
        match self {
            Self::ChannelsFirst => 0,
            Self::ChannelsLast => rank.saturating_sub(1),
        }
    }
}

/// What a node computes: the handle by which later nodes read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Value(usize);

impl Value {
    /// Index of the node, in the order of [`Network::nodes`].
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// One operator of the file. It has one output; an operator with several (a
/// split) is several nodes.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Layer name: of the weight without its suffix (`encoder.0`) where there
    /// is one, else the file's name of the node.
    pub(crate) name: String,
    /// The file's own word for the operator, for messages.
    pub(crate) operator: String,
    /// What it computes.
    pub(crate) kind: Kind,
    /// What it reads.
    pub(crate) inputs: Vec<Value>,
    /// Shape of its output without the batch; `None` behind a problem.
    pub(crate) shape: Option<Vec<usize>>,
}

impl Node {
    /// A node to be added; inputs and shape are filled in by [`Network::add`].
    pub(crate) fn new(name: impl Into<String>, operator: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), operator: operator.into(), kind, inputs: Vec::new(), shape: None }
    }

    /// How messages call the node.
    pub(crate) fn subject(&self) -> String {
        format!("{} ({})", self.name, self.operator)
    }
}

/// The operators of a file in topological order.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// Of windowed operators.
    pub(crate) layout: Layout,
    nodes: Vec<Node>,
    outputs: Vec<(String, Value)>,
    problems: Vec<Problem>,
}

/// Elements of one window's activation, at most: far beyond what a device
/// takes (65,535), and little enough to be no burden.
const MAX_ELEMENTS: usize = 1 << 20;

impl Network {
    /// An empty network.
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, nodes: Vec::new(), outputs: Vec::new(), problems: Vec::new() }
    }

    /// Adds a node behind its inputs and infers its shape. A node that does not
    /// fit its inputs becomes a problem, once; what follows it has no shape.
    pub(crate) fn add(&mut self, mut node: Node, inputs: &[Value]) -> Value {
        node.inputs = inputs.to_vec();
        let known: Option<Vec<&[usize]>> = inputs.iter().map(|input| self.shape(*input)).collect();
        let known = known.map(|shapes| self.without_batch(&node.kind, inputs, shapes));
        node.shape = match known {
            None => {
                // Behind a problem: only what is refused whatever it reads is worth saying.
                if let Kind::Unsupported { reason, remedy } = &node.kind {
                    self.problems.push(Problem::new(node.subject(), reason, remedy));
                }
                None
            }
            Some(shapes) => match infer::shape(&node.kind, &shapes, self.layout) {
                Ok(shape)
                    if shape
                        .iter()
                        .try_fold(1usize, |n, d| n.checked_mul(*d))
                        .is_some_and(|len| (1..=MAX_ELEMENTS).contains(&len)) =>
                {
                    Some(shape)
                }
                Ok(shape) => {
                    self.problems.push(Problem::new(
                        node.subject(),
                        format!("gives {shape:?}, nothing or more than a device can hold"),
                        "a layer may have 65,535 outputs: use smaller windows or more stride",
                    ));
                    None
                }
                Err((reason, remedy)) => {
                    self.problems.push(Problem::new(node.subject(), reason, remedy));
                    None
                }
            },
        };
        self.nodes.push(node);
        Value(self.nodes.len() - 1)
    }

    /// A constant operand may have an axis of 1 where the other one has its batch.
    fn without_batch<'s>(
        &self,
        kind: &Kind,
        inputs: &[Value],
        mut shapes: Vec<&'s [usize]>,
    ) -> Vec<&'s [usize]> {
        let constant = |value: &Value| {
            self.nodes.get(value.0).is_some_and(|node| matches!(node.kind, Kind::Constant(_)))
        };
        if let (Kind::Add | Kind::Subtract | Kind::Multiply | Kind::Divide, [a, b]) = (kind, inputs)
        {
            for (i, other, is_constant) in [(0, 1, constant(a)), (1, 0, constant(b))] {
                if is_constant
                    && shapes[i].len() == shapes[other].len() + 1
                    && let Some(([1], rest)) = shapes[i].split_at_checked(1)
                {
                    shapes[i] = rest;
                }
            }
        }
        shapes
    }

    /// Marks a value as an output of the file.
    pub(crate) fn output(&mut self, name: impl Into<String>, value: Value) {
        self.outputs.push((name.into(), value));
    }

    /// Reports something that is not about one node.
    pub(crate) fn problem(
        &mut self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem::new(subject, reason, remedy));
    }

    /// Shape of a value without the batch; `None` behind a problem.
    pub(crate) fn shape(&self, value: Value) -> Option<&[usize]> {
        self.nodes.get(value.0)?.shape.as_deref()
    }

    /// All nodes; a [`Value`] is an index into them.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All nodes with the values that stand for them.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Value, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (Value(index), node))
    }

    /// The node that computes a value.
    pub(crate) fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// All outputs, in the file's order.
    pub(crate) fn outputs(&self) -> &[(String, Value)] {
        &self.outputs
    }

    /// Everything found wrong so far.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

#[cfg(test)]
mod tests;
