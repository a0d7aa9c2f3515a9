//! Where in a checkpoint the state dict is.

use super::Refusal;
use super::value::{Global, Heap, Object, Value};

/// Keys under which training scripts keep the state dict, best first.
const WRAPPERS: [&str; 12] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "vae",
    "autoencoder",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "ema",
];

/// Dicts inside dicts that are looked into.
const MAX_DEPTH: usize = 4;

/// Names and values of the state dict in what a file holds.
///
/// # Errors
/// A [`Refusal`] that says what the file holds instead.
pub(super) fn state_dict<'a>(
    heap: &Heap<'a>,
    root: Value<'a>,
) -> Result<Vec<(String, Value<'a>)>, Refusal> {
    if let Some(found) = find(heap, root, 0) {
        return Ok(found);
    }
    if let Some(class) = module_class(heap, root) {
        return Err(Refusal::new(
            format!("a whole object of class `{class}`, whose code is not in the file"),
            "save the weights alone: torch.save(model.state_dict(), path)",
        ));
    }
    let what = match heap.get(root) {
        Some(Object::Dict(items)) => {
            let keys = items.iter().filter_map(|(key, _)| match key {
                Value::Text(key) => Some(format!("`{key}`")),
                _ => None,
            });
            let keys: Vec<String> = keys.take(8).collect();
            match keys[..] {
                [] => "an empty dict".to_string(),
                _ => format!("a dict without tensors, with the keys {}", keys.join(", ")),
            }
        }
        Some(Object::Sequence(_)) => "a list".into(),
        Some(Object::Tensor(_)) => "a single tensor".into(),
        _ => "no dict".into(),
    };
    Err(Refusal::new(
        format!("it holds {what}, and no state dict"),
        "save the weights: torch.save(model.state_dict(), path)",
    ))
}

fn find<'a>(heap: &Heap<'a>, value: Value<'a>, depth: usize) -> Option<Vec<(String, Value<'a>)>> {
    let dict = heap.dict(value)?;
    if depth < MAX_DEPTH {
        let wrapped = |key: &&str| find(heap, lookup(dict, key)?, depth + 1);
        if let Some(found) = WRAPPERS.iter().find_map(wrapped) {
            return Some(found);
        }
    }
    if let Some(parts) = parts(heap, dict) {
        return Some(parts);
    }
    let named = tensors(dict);
    named.iter().any(|(_, value)| heap.tensor(*value).is_some()).then_some(named)
}

/// Encoder and decoder that were saved as a state dict each:
/// `{"encoder": …, "decoder": …}`.
fn parts<'a>(heap: &Heap<'a>, dict: &[(Value<'a>, Value<'a>)]) -> Option<Vec<(String, Value<'a>)>> {
    let mut found = Vec::new();
    let (mut encoder, mut decoder) = (false, false);
    for (key, value) in dict {
        let (Value::Text(part), Some(inner)) = (key, heap.dict(*value)) else { continue };
        let named = tensors(inner);
        if named.iter().any(|(_, value)| heap.tensor(*value).is_some()) {
            encoder |= part.starts_with("enc");
            decoder |= part.starts_with("dec");
            found.extend(named.into_iter().map(|(name, value)| (format!("{part}.{name}"), value)));
        }
    }
    (encoder && decoder).then_some(found)
}

fn tensors<'a>(dict: &[(Value<'a>, Value<'a>)]) -> Vec<(String, Value<'a>)> {
    let named = |(key, value): &(Value<'a>, Value<'a>)| match key {
        Value::Text(name) => Some((name.to_string(), *value)),
        _ => None,
    };
    dict.iter().filter_map(named).collect()
}

/// The last value set for a key, as in Python.
fn lookup<'a>(dict: &[(Value<'a>, Value<'a>)], key: &str) -> Option<Value<'a>> {
    dict.iter().rev().find(|(k, _)| *k == Value::Text(key)).map(|(_, value)| *value)
}

/// The class of a model that was pickled whole, at the top or in a checkpoint.
fn module_class<'a>(heap: &Heap<'a>, root: Value<'a>) -> Option<Global<'a>> {
    let opaque = |value: Value<'a>| match heap.get(value)? {
        Object::Opaque(class) => Some(*class),
        _ => None,
    };
    let dict = heap.dict(root).unwrap_or_default();
    let wrapped = || WRAPPERS.iter().find_map(|key| opaque(lookup(dict, key)?));
    opaque(root).or_else(wrapped)
}
