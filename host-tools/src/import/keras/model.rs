//! Calls the layers of a model in an order in which everything they read is
//! there; nested models are read in place.

use super::Refused;
use super::config::{Layer, Tensor};
use super::store::{Place, Store};
use crate::import::network::{Kind, Layout, Network, Node, Value};
use std::collections::{HashMap, HashSet};

/// Models inside models.
const MAX_DEPTH: usize = 8;

/// Nodes of the network: a nested model may be called more than once.
const MAX_NODES: usize = 4096;
/// Outputs of a layer that is not read, at most.
const MAX_OUTPUTS: usize = 8;

/// Layers of one model.
const MAX_LAYERS: usize = 1024;

/// What the calls of each layer gave, by name and number.
type Known<'j> = HashMap<(&'j str, usize), Vec<Value>>;

/// Reads a model into a network.
pub(super) struct Reader {
    pub(super) network: Network,
    pub(super) store: Store,
    pub(super) notes: Vec<String>,
    depth: usize,
    too_large: bool,
    /// Layers both of whose two outputs are read.
    pub(super) two_outputs: HashSet<String>,
}

impl Reader {
    pub(super) fn new(store: Store) -> Self {
        let network = Network::new(Layout::ChannelsLast);
        Self {
            network,
            store,
            notes: Vec::new(),
            depth: 0,
            too_large: false,
            two_outputs: HashSet::new(),
        }
    }

    /// Reads the outermost model.
    pub(super) fn read(&mut self, root: Layer<'_>) {
        let place = self.store.outermost();
        let outputs = self.model(root, None, place.as_ref());
        for (i, value) in outputs.into_iter().enumerate() {
            self.network.output(format!("output {i}"), value);
        }
    }

    /// The network, and what the user should know.
    pub(super) fn finish(self) -> (Network, Vec<String>) {
        (self.network, self.notes)
    }

    /// Reads a model; its own inputs where `inputs` are not given.
    fn model(
        &mut self,
        model: Layer<'_>,
        inputs: Option<&[Value]>,
        place: Option<&Place>,
    ) -> Vec<Value> {
        let layers = model.layers();
        if self.depth >= MAX_DEPTH || layers.len() > MAX_LAYERS {
            self.network.problem(
                model.name,
                format!(
                    "more than {MAX_DEPTH} models in each other, or {MAX_LAYERS} layers in one"
                ),
                "use a smaller network",
            );
            return Vec::new();
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let mut placed = Vec::new();
        for layer in layers {
            let count = counts.entry(layer.class).or_default();
            placed.push((layer, Place::layer(place, layer.name, layer.class, *count)));
            *count += 1;
        }
        self.depth += 1;
        let outputs = if model.is_sequential() {
            self.sequential(model, &placed, inputs)
        } else {
            self.functional(model, &placed, inputs)
        };
        self.depth -= 1;
        outputs
    }

    fn sequential(
        &mut self,
        model: Layer<'_>,
        layers: &[(Layer<'_>, Place)],
        inputs: Option<&[Value]>,
    ) -> Vec<Value> {
        let mut values = match inputs {
            Some(inputs) => inputs.to_vec(),
            None => {
                let first = layers.first().map(|(layer, _)| *layer);
                let stated = first.filter(|first| first.input_shape().is_some()).unwrap_or(model);
                vec![self.input(stated)]
            }
        };
        for (layer, place) in layers.iter().filter(|(layer, _)| layer.class != "InputLayer") {
            values = self.call(*layer, &values, place);
        }
        values
    }

    fn functional(
        &mut self,
        model: Layer<'_>,
        layers: &[(Layer<'_>, Place)],
        inputs: Option<&[Value]>,
    ) -> Vec<Value> {
        let mut known: Known<'_> = HashMap::new();
        let ends = model.ends("input_layers");
        if let Some(inputs) = inputs {
            for (end, value) in ends.iter().zip(inputs) {
                known.insert((&end.layer, 0), vec![*value]);
            }
        }
        let mut open = Vec::new();
        for (layer, place) in layers {
            if layer.class == "InputLayer" {
                known.entry((layer.name, 0)).or_insert_with(|| vec![self.input(*layer)]);
                continue;
            }
            for (call, reads) in layer.calls().into_iter().enumerate() {
                open.push((*layer, place, call, reads));
            }
        }
        let outputs = model.ends("output_layers");
        let read = open.iter().flat_map(|(.., reads)| reads).chain(&outputs);
        self.two_outputs.extend(with_two_outputs(read));
        let calls: Vec<&str> = open.iter().map(|(layer, ..)| layer.name).collect();
        let inner = first_calls(&calls, open.iter().flat_map(|(.., reads)| reads));
        let outer = first_calls(&calls, &outputs);
        let find = |known: &Known<'_>, first: &HashMap<String, usize>, tensor: &Tensor| {
            let first = first.get(&tensor.layer).copied().unwrap_or(0);
            let call = tensor.call.checked_sub(first)?;
            known.get(&(tensor.layer.as_str(), call))?.get(tensor.output).copied()
        };
        loop {
            let before = open.len();
            let mut waiting = Vec::new();
            for (layer, place, call, reads) in open {
                let values: Option<Vec<Value>> =
                    reads.iter().map(|tensor| find(&known, &inner, tensor)).collect();
                match values {
                    Some(values) if !values.is_empty() => {
                        let outputs = self.call(layer, &values, place);
                        known.insert((layer.name, call), outputs);
                    }
                    _ => waiting.push((layer, place, call, reads)),
                }
            }
            open = waiting;
            if open.is_empty() || open.len() == before || self.too_large {
                break;
            }
        }
        let values: Vec<Value> =
            outputs.iter().filter_map(|end| find(&known, &outer, end)).collect();
        if !self.too_large && (values.len() != outputs.len() || values.is_empty()) {
            let missing: Vec<&str> = open.iter().map(|(layer, ..)| layer.name).take(8).collect();
            self.network.problem(
                model.name,
                format!(
                    "its outputs depend on layers that read each other: {}",
                    missing.join(", ")
                ),
                "save the model again with model.save(path)",
            );
        }
        values
    }

    /// Calls a layer or a nested model.
    fn call(&mut self, layer: Layer<'_>, inputs: &[Value], place: &Place) -> Vec<Value> {
        if self.network.nodes().len() >= MAX_NODES {
            if !std::mem::replace(&mut self.too_large, true) {
                self.network.problem(
                    layer.name,
                    format!("the model has more than {MAX_NODES} operators"),
                    "use a smaller network",
                );
            }
            return Vec::new();
        }
        if layer.is_model() {
            return self.model(layer, Some(inputs), Some(place));
        }
        let values = match (layer.class, inputs) {
            ("Split", [x]) => self.split(layer, *x),
            (_, [x]) if self.halves(layer, *x) => self.cut_in_two(layer, *x),
            _ => self.layer(layer, inputs, place).map(|value| vec![value]),
        };
        match values {
            Ok(values) => values,
            // Of no shape, like what it reads.
            Err(Refused { behind: true, .. }) => vec![self.add(layer, Kind::Identity, inputs)],
            Err(Refused { reason, remedy, .. }) => {
                // However many outputs it has: what reads them is behind a problem.
                vec![self.add(layer, Kind::unsupported(reason, remedy), inputs); MAX_OUTPUTS]
            }
        }
    }

    /// A window of features, of the shape that `layer` states.
    fn input(&mut self, layer: Layer<'_>) -> Value {
        let shape = layer.input_shape().and_then(|shape| shape.into_iter().collect());
        let kind = match shape {
            Some(shape) => Kind::Input { shape },
            None => Kind::unsupported(
                "the shape of its input is left open",
                "build the model with the length of a window: keras.Input(shape=(length, channels))",
            ),
        };
        self.add(layer, kind, &[])
    }

    /// Adds one node of a layer.
    pub(super) fn add(&mut self, layer: Layer<'_>, kind: Kind, inputs: &[Value]) -> Value {
        self.network.add(Node::new(layer.name, layer.class, kind), inputs)
    }
}

/// Names of the layers whose outputs 0 and 1 are read, and no other.
fn with_two_outputs<'t>(read: impl Iterator<Item = &'t Tensor>) -> HashSet<String> {
    let mut seen: HashMap<&str, u8> = HashMap::new();
    for tensor in read {
        *seen.entry(&tensor.layer).or_default() |= 1 << tensor.output.min(2);
    }
    seen.into_iter().filter(|(_, outputs)| *outputs == 0b11).map(|(name, _)| name.into()).collect()
}

/// The number of each layer's first call in `references`. It is 0, but for
/// nested models: there Keras counts the making of the model as a call, in
/// some places of a file and some versions.
fn first_calls<'t>(
    calls: &[&str],
    references: impl IntoIterator<Item = &'t Tensor>,
) -> HashMap<String, usize> {
    let mut first: HashMap<String, usize> = HashMap::new();
    for tensor in references {
        let count = calls.iter().filter(|name| **name == tensor.layer).count();
        let beyond = tensor.call.saturating_add(1).saturating_sub(count);
        if count > 0 && beyond > 0 {
            let first = first.entry(tensor.layer.clone()).or_default();
            *first = beyond.max(*first);
        }
    }
    first
}
