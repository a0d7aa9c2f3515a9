//! The JSON that describes a Keras model: layers, and which outputs of which
//! layers they are called on. Keras 2 and Keras 3 write it differently.

use serde_json::Value as Json;

/// One output of one call of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tensor {
    pub(super) layer: String,
    /// Which call of the layer.
    pub(super) call: usize,
    /// Which of its outputs.
    pub(super) output: usize,
}

/// A layer or a nested model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'j> {
    pub(super) class: &'j str,
    pub(super) name: &'j str,
    pub(super) config: &'j Json,
    whole: &'j Json,
}

impl<'j> Layer<'j> {
    /// Reads `{"class_name": …, "config": {…}, …}`.
    pub(super) fn of(json: &'j Json) -> Option<Self> {
        let class = json.get("class_name")?.as_str()?;
        let config = json.get("config")?;
        let name = config.get("name").or_else(|| json.get("name")).and_then(Json::as_str);
        Some(Self { class, name: name.unwrap_or(class), config, whole: json })
    }

    /// Whether it consists of layers.
    pub(super) fn is_model(&self) -> bool {
        self.config.get("layers").is_some_and(Json::is_array)
    }

    /// Whether its layers form a chain rather than a graph.
    pub(super) fn is_sequential(&self) -> bool {
        self.class == "Sequential" || self.is_model() && self.config.get("output_layers").is_none()
    }

    /// The layers of a model, as far as they can be read.
    pub(super) fn layers(&self) -> Vec<Layer<'j>> {
        let layers = self.config.get("layers").and_then(Json::as_array);
        layers.into_iter().flatten().filter_map(Layer::of).collect()
    }

    /// What each call of the layer reads.
    pub(super) fn calls(&self) -> Vec<Vec<Tensor>> {
        let nodes = self.whole.get("inbound_nodes").and_then(Json::as_array);
        let nodes = nodes.into_iter().flatten();
        nodes
            .map(|node| {
                let mut tensors = Vec::new();
                if node.is_object() {
                    for part in ["args", "kwargs"] {
                        node.get(part).into_iter().for_each(|p| histories(p, &mut tensors));
                    }
                } else {
                    references(node, &mut tensors);
                }
                tensors
            })
            .collect()
    }

    /// Inputs (`input_layers`) or outputs (`output_layers`) of a model.
    pub(super) fn ends(&self, key: &str) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        self.config.get(key).into_iter().for_each(|ends| references(ends, &mut tensors));
        tensors
    }

    /// The shape of its input without the batch, where the layer states one;
    /// `None` in it where a length is left open.
    pub(super) fn input_shape(&self) -> Option<Vec<Option<usize>>> {
        let keys = ["batch_shape", "batch_input_shape", "build_input_shape"];
        let shape = keys.iter().find_map(|key| self.config.get(key)?.as_array())?;
        let len = |n: &Json| n.as_u64().and_then(|n| usize::try_from(n).ok());
        Some(shape.iter().skip(1).map(len).collect())
    }

    /// A setting that is a flag.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.config.get(key).and_then(Json::as_bool).unwrap_or(default)
    }

    /// A setting that is a number, by the first of its names that is there.
    pub(super) fn number(&self, keys: &[&str], default: f32) -> f32 {
        let number = keys.iter().find_map(|key| self.config.get(key)?.as_f64());
        number.map_or(default, |n| n as f32)
    }

    /// A setting that is a text.
    pub(super) fn text(&self, key: &str) -> Option<&'j str> {
        self.config.get(key)?.as_str()
    }

    /// A setting that is a number or a list of them, one an axis.
    pub(super) fn lengths(&self, key: &str) -> Option<Vec<usize>> {
        let value = self.config.get(key)?;
        let len = |n: &Json| n.as_u64().and_then(|n| usize::try_from(n).ok());
        match value.as_array() {
            Some(list) => list.iter().map(len).collect(),
            None => Some(vec![len(value)?]),
        }
    }
}

impl Layer<'_> {
    /// Whether its class is the user's own, whose code is not in the file.
    pub(super) fn is_of_user(&self) -> bool {
        const RECURRENT: [&str; 5] = ["Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN"];
        let module = self.whole.get("module").and_then(Json::as_str);
        self.class == "Lambda"
            || module.is_none_or(|module| !module.starts_with("keras"))
                && !RECURRENT.contains(&self.class)
    }

    /// The slices of a `GetItem`'s first call: (start, stop) an axis, the batch first.
    pub(super) fn slices(&self) -> Option<Vec<(Option<i64>, Option<i64>)>> {
        let list = self.whole.pointer("/inbound_nodes/0/args/1")?.as_array()?;
        let range = |json: &Json| {
            let of = json.get("config").filter(|_| json["class_name"] == "__slice__")?;
            let plain = of.get("step").is_none_or(|step| step.is_null() || *step == 1);
            plain.then(|| (of["start"].as_i64(), of["stop"].as_i64()))
        };
        list.iter().map(range).collect()
    }
}

/// Collects Keras 3's `{"class_name": "__keras_tensor__", …}`.
fn histories(json: &Json, found: &mut Vec<Tensor>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| histories(item, found)),
        Json::Object(map) => {
            if map.get("class_name").and_then(Json::as_str) == Some("__keras_tensor__") {
                let history = json.pointer("/config/keras_history");
                history.into_iter().for_each(|history| references(history, found));
            } else {
                map.values().for_each(|value| histories(value, found));
            }
        }
        _ => {}
    }
}

/// Collects `["layer", call, output, …]`, however nested.
fn references(json: &Json, found: &mut Vec<Tensor>) {
    match json {
        Json::Array(items) => {
            let index = |i: usize| items.get(i)?.as_u64().and_then(|n| usize::try_from(n).ok());
            match (items.first().and_then(Json::as_str), index(1), index(2)) {
                (Some(layer), Some(call), Some(output)) => {
                    found.push(Tensor { layer: layer.to_string(), call, output });
                }
                _ => items.iter().for_each(|item| references(item, found)),
            }
        }
        Json::Object(map) => map.values().for_each(|value| references(value, found)),
        _ => {}
    }
}
