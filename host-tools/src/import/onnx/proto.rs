//! The messages of an ONNX file, as far as they are read, and the guard that
//! runs before them: a small file must not unfold into large memory.

use prost::Message;
use prost::bytes::Bytes;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Opset {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, tag = "2")]
    pub(super) f: f32,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) s: Bytes,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<Tensor>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) raw_data: Bytes,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(super) uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub(super) external_data: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Type {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, optional, tag = "1")]
    pub(super) value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(super) parameter: Option<String>,
}

/// Bytes of structure (everything but the numbers of tensors) that are read: a
/// model takes a few thousand; one message of two bytes takes 200 in memory.
const MAX_STRUCTURE: usize = 1 << 20;

/// A message type as the guard sees it: fields that are messages themselves,
/// and fields that hold numbers.
struct Known {
    messages: &'static [(u32, &'static Known)],
    numbers: &'static [u32],
    fields: &'static [u32],
}

const TENSOR: Known =
    Known { messages: &[(13, &ENTRY)], numbers: &[4, 9, 10], fields: &[1, 2, 5, 7, 8, 13, 14] };
const ENTRY: Known = Known { messages: &[], numbers: &[], fields: &[1, 2] };
const ATTRIBUTE: Known =
    Known { messages: &[(5, &TENSOR)], numbers: &[], fields: &[1, 2, 3, 4, 5, 7, 8] };
const NODE: Known =
    Known { messages: &[(5, &ATTRIBUTE)], numbers: &[], fields: &[1, 2, 3, 4, 5, 7] };
// What is in it is small, and counted whole.
const VALUE_INFO: Known = Known { messages: &[], numbers: &[], fields: &[1, 2] };
const GRAPH: Known = Known {
    messages: &[(1, &NODE), (5, &TENSOR), (11, &VALUE_INFO), (12, &VALUE_INFO)],
    numbers: &[],
    fields: &[1, 5, 11, 12],
};
const MODEL: Known = Known { messages: &[(7, &GRAPH)], numbers: &[], fields: &[1, 7, 8] };

/// Reads a file's messages, or says what is wrong with them.
pub(super) fn decode(bytes: &[u8]) -> Result<Model, String> {
    let mut left = MAX_STRUCTURE;
    structure(bytes, &MODEL, &mut left)?;
    Model::decode(Bytes::copy_from_slice(bytes)).map_err(|error| error.to_string())
}

/// Whether the bytes begin as an ONNX model: its version, then a known field.
pub(in crate::import) fn is_onnx(bytes: &[u8]) -> bool {
    let Some((1, 0, rest)) = key(bytes) else { return false };
    let Some((version, rest)) = varint(rest) else { return false };
    let next = key(rest);
    (1..=100).contains(&version)
        && next.is_some_and(
            |(field, kind, _)| matches!((field, kind), (2..=4 | 6..=8 | 14 | 20 | 25, 2) | (5, 0)),
        )
}

/// Takes what a message's structure costs from `left`.
fn structure(mut bytes: &[u8], known: &Known, left: &mut usize) -> Result<(), String> {
    let early = || "it ends early".to_string();
    while !bytes.is_empty() {
        let (field, kind, rest) = key(bytes).ok_or_else(early)?;
        let (content, after) = match kind {
            0 => {
                let (_, after) = varint(rest).ok_or_else(early)?;
                (&rest[..rest.len() - after.len()], after)
            }
            1 => rest.split_at_checked(8).ok_or_else(early)?,
            2 => {
                let (len, rest) = varint(rest).ok_or_else(early)?;
                let len = usize::try_from(len).map_err(|_| early())?;
                rest.split_at_checked(len).ok_or_else(early)?
            }
            5 => rest.split_at_checked(4).ok_or_else(early)?,
            _ => return Err("it is no ONNX file".into()),
        };
        bytes = after;
        if known.numbers.contains(&field) && (kind == 2 || kind == 5 || kind == 1) {
            continue;
        }
        if !known.fields.contains(&field) {
            continue;
        }
        let inner = known.messages.iter().find(|(f, _)| *f == field && kind == 2);
        let cost = 2 + if inner.is_some() { 0 } else { content.len() };
        *left = left.checked_sub(cost).ok_or("its graph is larger than any model's")?;
        if let Some((_, inner)) = inner {
            structure(content, inner, left)?;
        }
    }
    Ok(())
}

fn key(bytes: &[u8]) -> Option<(u32, u8, &[u8])> {
    let (key, rest) = varint(bytes)?;
    Some((u32::try_from(key >> 3).ok()?, (key & 7) as u8, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}
