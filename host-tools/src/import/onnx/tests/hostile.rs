//! Damaged and hostile files are refused, and never panic.

use super::*;
use crate::import::onnx::proto;
use prost::Message;

fn problems(bytes: &[u8]) -> Vec<String> {
    let options = ForeignOptions::default();
    match parse_onnx(std::path::Path::new("x.onnx"), bytes, &options) {
        Err(ImportError::Problems { problems, .. }) => {
            problems.iter().map(Problem::to_string).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn attempt(bytes: &[u8]) {
    let _ = parse_onnx(std::path::Path::new("x.onnx"), bytes, &ForeignOptions::default());
}

#[test]
fn truncated_at_every_length() {
    for name in ["article.onnx", "plain.onnx"] {
        let (_, bytes) = fixture(name);
        for len in 0..bytes.len() {
            attempt(&bytes[..len]);
        }
    }
}

#[test]
fn flipped_bits() {
    for name in ["conv1d.onnx", "upsampled.dynamo.onnx", "depthwise.dynamo.onnx", "log_sigma.onnx"]
    {
        let (_, mut bytes) = fixture(name);
        for at in 0..bytes.len() {
            // Numbers are only numbers: fewer of them.
            let bit = 1 << (at * 7 % 8);
            bytes[at] ^= bit;
            attempt(&bytes);
            bytes[at] ^= bit;
        }
    }
}

#[test]
fn many_empty_messages() {
    // Two bytes a node, a graph of a million.
    let graph = [0x0a, 0x00].repeat(1 << 20);
    let mut bytes = vec![0x08, 0x08, 0x3a];
    prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
    bytes.extend(graph);
    assert!(problems(&bytes)[0].contains("larger than any model's"));
}

fn edit(name: &str, change: impl Fn(&mut proto::Graph)) -> Vec<u8> {
    let mut model = proto::decode(&fixture(name).1).unwrap();
    change(model.graph.as_mut().unwrap());
    model.encode_to_vec()
}

#[test]
fn cycles_and_absurd_sizes() {
    let cyclic = edit("article.onnx", |graph| {
        let last = graph.node.last().unwrap().output[0].clone();
        graph.node[0].input[0] = last;
    });
    assert!(problems(&cyclic)[0].contains("cycle"));
    let absurd = edit("article.onnx", |graph| {
        graph.initializer[0].dims = vec![i64::MAX, i64::MAX];
    });
    assert!(problems(&absurd).iter().any(|p| p.contains("makes no sense")));
    let outside = edit("article.onnx", |graph| {
        graph.initializer[0].data_location = 1;
        let (key, value) = ("location".to_string(), "../../etc/passwd".to_string());
        graph.initializer[0].external_data = vec![proto::Entry { key, value }];
    });
    assert!(problems(&outside).iter().any(|p| p.contains("not beside the model")));
}

#[test]
fn every_operator_that_is_not_read_is_named_at_once() {
    let bytes = edit("article.onnx", |graph| {
        let mut kinds = ["Softmax", "LSTM"].iter();
        for node in graph.node.iter_mut().filter(|node| node.op_type == "Relu").take(2) {
            node.op_type = kinds.next().unwrap().to_string();
        }
    });
    let found = problems(&bytes);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("Softmax") && found[1].contains("LSTM"), "{found:?}");
}
