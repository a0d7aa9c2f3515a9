//! From an ONNX graph to a [`Network`], node by node.

use super::attributes::Attributes;
use super::operators;
use super::proto;
use super::tensor::{Data, MAX_ELEMENTS, Tensor};
use crate::import::Problem;
use crate::import::network::{Kind, Layout, Network, Node, Value};
use crate::import::state_dict::common_prefix;
use std::collections::HashMap;
use std::path::Path;

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// Computed from the input; its first axis is the batch.
    Value(Value),
    /// Known while reading.
    Constant(Tensor),
    /// Whether a value is greater than a number: half of a guarded softplus.
    Greater(Value, f32),
    /// Computed from all windows of a batch together: a loss.
    OverBatch,
    /// Behind a problem, or left out.
    Failed,
}

/// Why a node is not read, and what to do instead.
pub(super) type Refusal = (String, String);

/// A batch that the file leaves open: a number that no model multiplies by.
const OPEN_BATCH: usize = 7_919;
/// Nodes of a graph, at most.
const MAX_NODES: usize = 20_000;
/// Numbers computed while reading, at most.
const FOLD_BUDGET: usize = 1 << 23;

/// The state of reading one file.
pub(super) struct Reader<'p> {
    pub(super) network: Network,
    pub(super) file: &'p Path,
    /// Size of the batch in the file's shapes.
    pub(super) batch: usize,
    pub(super) batch_is_open: bool,
    /// What all names of weights begin with, e.g. `model.`
    pub(super) wrappers: String,
    /// Values whose frames are folded into the batch, and how many a window has.
    pub(super) folded: HashMap<Value, usize>,
    items: HashMap<String, Item>,
    opset: i64,
    budget: usize,
}

/// The node being read.
pub(super) struct Now<'p> {
    pub(super) node: &'p proto::Node,
    pub(super) attributes: Attributes<'p>,
    pub(super) inputs: Vec<Option<Item>>,
}

/// Reads a model.
pub(super) fn read(model: proto::Model, file: &Path) -> Result<Network, Vec<Problem>> {
    let fail = |subject: &str, reason: String, remedy: &str| {
        Err(vec![Problem::new(subject, reason, remedy)])
    };
    let Some(graph) = model.graph else {
        return fail("file", "it holds no graph".into(), "export the model again");
    };
    let is_standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.opset_import.iter().find(|o| is_standard(&o.domain)).map_or(1, |o| o.version);
    if !(7..=30).contains(&opset) {
        return fail("file", format!("opset {opset} is not read"), "export with opset 9 to 21");
    }
    if graph.node.len() > MAX_NODES {
        return fail("file", format!("{} nodes are no model's", graph.node.len()), "export again");
    }
    let mut reader = Reader {
        network: Network::new(Layout::ChannelsFirst),
        file,
        batch: 1,
        batch_is_open: false,
        wrappers: wrappers(graph.initializer.iter().map(|tensor| tensor.name.as_str())),
        folded: HashMap::new(),
        items: HashMap::new(),
        opset,
        budget: FOLD_BUDGET,
    };
    let mut left = MAX_ELEMENTS;
    for tensor in &graph.initializer {
        let item = match Tensor::read(tensor, file, &mut left) {
            Ok(tensor) => Item::Constant(tensor),
            Err(reason) => {
                reader.network.problem(&tensor.name, reason, "export the model again");
                Item::Failed
            }
        };
        reader.items.insert(tensor.name.clone(), item);
    }
    for input in &graph.input {
        if !reader.items.contains_key(&input.name) {
            let item = reader.input(input);
            reader.items.insert(input.name.clone(), item);
        }
    }
    for node in &graph.node {
        reader.node(node);
    }
    for output in &graph.output {
        match reader.items.get(&output.name) {
            Some(Item::Value(value)) => {
                let value = *value;
                reader.network.output(&output.name, value);
            }
            Some(Item::OverBatch) if graph.output.len() == 1 => reader.network.problem(
                &output.name,
                "is computed from all windows of a batch together, as losses are",
                "export a model that returns the reconstruction",
            ),
            Some(_) => {}
            None => reader.network.problem(
                &output.name,
                "is an output that no node gives",
                "export the model again",
            ),
        }
    }
    Ok(reader.network)
}

impl Reader<'_> {
    /// The window: its first axis is the batch, open or not.
    fn input(&mut self, input: &proto::ValueInfo) -> Item {
        let shape = input
            .kind
            .as_ref()
            .and_then(|kind| kind.tensor.as_ref())
            .and_then(|tensor| tensor.shape.as_ref());
        let Some(shape) = shape else {
            self.network.problem(&input.name, "has no shape", "export with an example input");
            return Item::Failed;
        };
        let fixed = |dim: &proto::Dimension| {
            dim.value.and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0)
        };
        let Some((batch, window)) = shape.dim.split_first().filter(|(_, rest)| !rest.is_empty())
        else {
            self.network.problem(
                &input.name,
                "has no batch and window axes",
                "export with an example input of shape [1, …]",
            );
            return Item::Failed;
        };
        let Some(window) = window.iter().map(fixed).collect::<Option<Vec<usize>>>() else {
            self.network.problem(
                &input.name,
                "leaves an axis beside the batch open",
                "export with a fixed window length: only the batch may be dynamic",
            );
            return Item::Failed;
        };
        self.batch_is_open |= fixed(batch).is_none();
        self.batch = fixed(batch).unwrap_or(OPEN_BATCH);
        Item::Value(self.add(&input.name, "Input", Kind::Input { shape: window }, &[]))
    }

    fn node(&mut self, node: &proto::Node) {
        let mut inputs = Vec::new();
        for name in &node.input {
            let item = if name.is_empty() { None } else { self.items.get(name).cloned() };
            if item.is_none() && !name.is_empty() {
                self.network.problem(
                    label(node),
                    format!("reads `{name}`, which no node before it gives: a cycle, or no order"),
                    "export the model again",
                );
                self.set(node, vec![Item::Failed]);
                return;
            }
            inputs.push(item);
        }
        let now = Now { node, attributes: Attributes(&node.attribute), inputs };
        let items = match self.operator(&now) {
            Ok(items) => items,
            Err((reason, remedy)) => {
                let failed = now.inputs.iter().flatten().any(|i| matches!(i, Item::Failed));
                // What reads the refused keeps silent, unless it is refused itself.
                if !(failed && operators::is_read(&node.op_type)) {
                    let subject = format!("{} ({})", label(node), node.op_type);
                    self.network.problem(subject, reason, remedy);
                }
                // What is behind it can be looked at all the same where the shape is known.
                match now.inputs.first() {
                    Some(Some(item)) if operators::keeps_shape(&node.op_type) => {
                        vec![item.clone()]
                    }
                    _ => vec![Item::Failed],
                }
            }
        };
        self.set(node, items);
    }

    fn set(&mut self, node: &proto::Node, items: Vec<Item>) {
        let mut items = items.into_iter();
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            self.items.insert(name.clone(), items.next().unwrap_or(Item::Failed));
        }
    }

    /// One item an output.
    fn operator(&mut self, now: &Now<'_>) -> Result<Vec<Item>, Refusal> {
        if now.inputs.iter().flatten().any(|item| matches!(item, Item::OverBatch)) {
            return Ok(vec![Item::OverBatch; now.node.output.len().max(1)]);
        }
        if !(now.node.domain.is_empty() || now.node.domain == "ai.onnx") {
            return Err((
                format!("is an operator of the domain `{}`", now.node.domain),
                "export with standard operators only".into(),
            ));
        }
        let known = now.inputs.iter().flatten();
        let all: Option<Vec<&Tensor>> = known
            .map(|item| match item {
                Item::Constant(tensor) => Some(tensor),
                _ => None,
            })
            .collect();
        if let Some(tensors) = all.filter(|tensors| !tensors.is_empty())
            && let Some(items) = self.folded(now, &tensors)?
        {
            return Ok(items);
        }
        self.may_read_frames(now)?;
        self.constant(now)
            .or_else(|| self.shape_operator(now))
            .or_else(|| self.layer(now))
            .or_else(|| self.elementwise(now))
            .unwrap_or_else(|| Err(operators::unknown(&now.node.op_type)))
    }

    /// Constants of the graph.
    fn constant(&mut self, now: &Now<'_>) -> Option<Result<Vec<Item>, Refusal>> {
        if now.node.op_type != "Constant" {
            return None;
        }
        let attributes = &now.attributes;
        let tensor = if let Some(tensor) = attributes.tensor("value", self.file) {
            tensor.map_err(again)
        } else if attributes.has("value_float") {
            let data = Data::Float(vec![attributes.float("value_float", 0.0)]);
            Ok(Tensor { shape: vec![], data })
        } else if attributes.has("value_int") {
            let data = Data::Int(vec![attributes.int("value_int", 0)]);
            Ok(Tensor { shape: vec![], data })
        } else if let Some(values) = attributes.floats("value_floats") {
            Ok(Tensor { shape: vec![values.len()], data: Data::Float(values) })
        } else if let Some(values) = attributes.ints("value_ints") {
            Ok(Tensor::ints(values))
        } else {
            Err(again("its value is not read"))
        };
        Some(tensor.and_then(|tensor| {
            self.spend(tensor.len())?;
            Ok(vec![Item::Constant(tensor)])
        }))
    }

    /// Counts what is computed while reading.
    pub(super) fn spend(&mut self, numbers: usize) -> Result<(), Refusal> {
        self.budget = self.budget.checked_sub(numbers).ok_or_else(|| {
            again("the file computes with more constants than a model of its size needs")
        })?;
        Ok(())
    }

    /// Shape of a value in the file, batch included.
    pub(super) fn full_shape(&self, value: Value) -> Result<Vec<usize>, Refusal> {
        let shape = self.network.shape(value).ok_or_else(|| again("stands behind a problem"))?;
        if let (Some(frames), [_, rest @ ..]) = (self.frames(value), shape) {
            return Ok(std::iter::once(self.batch * frames).chain(rest.iter().copied()).collect());
        }
        Ok(std::iter::once(self.batch).chain(shape.iter().copied()).collect())
    }

    /// Adds a node.
    pub(super) fn add(
        &mut self,
        name: &str,
        operator: &str,
        kind: Kind,
        inputs: &[Value],
    ) -> Value {
        let value = self.network.add(Node::new(name, operator, kind), inputs);
        if let Some(frames) = inputs.iter().find_map(|input| self.frames(*input)) {
            self.folded.insert(value, frames);
        }
        value
    }

    /// Adds a node named and called as the one being read.
    pub(super) fn push(&mut self, now: &Now<'_>, kind: Kind, inputs: &[Value]) -> Value {
        self.add(&label(now.node), &now.node.op_type, kind, inputs)
    }

    /// [`Self::push`], as the only output.
    pub(super) fn one(&mut self, now: &Now<'_>, kind: Kind, inputs: &[Value]) -> Vec<Item> {
        vec![Item::Value(self.push(now, kind, inputs))]
    }

    pub(super) fn opset(&self) -> i64 {
        self.opset
    }
}

impl Now<'_> {
    /// Input `i`, computed from the window.
    pub(super) fn value(&self, i: usize) -> Result<Value, Refusal> {
        match self.inputs.get(i) {
            Some(Some(Item::Value(value))) => Ok(*value),
            Some(Some(Item::Constant(_))) => {
                Err(again("computes with constants where a window is wanted"))
            }
            _ => Err(again(format!("input {i} is missing"))),
        }
    }

    /// Input `i` where it is there and constant.
    pub(super) fn constant(&self, i: usize) -> Option<&Tensor> {
        match self.inputs.get(i) {
            Some(Some(Item::Constant(tensor))) => Some(tensor),
            _ => None,
        }
    }

    pub(super) fn has(&self, i: usize) -> bool {
        matches!(self.inputs.get(i), Some(Some(_)))
    }

    /// Input `i`, which must be known while reading.
    pub(super) fn wanted(&self, i: usize, what: &str) -> Result<&Tensor, Refusal> {
        self.constant(i).ok_or_else(|| {
            (
                format!("its {what} is computed from the window"),
                format!("export with a constant {what}"),
            )
        })
    }

    /// Integers given as an attribute in older opsets and as input `i` in newer ones.
    pub(super) fn ints(&self, name: &str, i: usize) -> Result<Option<Vec<i64>>, Refusal> {
        if let Some(ints) = self.attributes.ints(name) {
            return Ok(Some(ints));
        }
        if !self.has(i) {
            return Ok(None);
        }
        let tensor = self.wanted(i, name)?;
        tensor.as_ints().map(Some).ok_or_else(|| again(format!("its {name} are no integers")))
    }
}

/// The wrappers that all weights with PyTorch's names have in common.
fn wrappers<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let is_weight = |name: &&str| name.ends_with(".weight") || name.ends_with(".bias");
    common_prefix(&names.filter(is_weight).collect::<Vec<_>>())
}

/// A refusal whose remedy is another export.
pub(super) fn again(reason: impl Into<String>) -> Refusal {
    (reason.into(), "export the model again".into())
}

/// How messages and layers call a node without weights.
pub(super) fn label(node: &proto::Node) -> String {
    let name = if node.name.is_empty() {
        node.output.first().map_or("", String::as_str)
    } else {
        node.name.as_str()
    };
    if name.is_empty() { node.op_type.clone() } else { name.to_string() }
}
