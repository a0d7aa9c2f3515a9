//! Model files of every format made to hang, to exhaust memory or to run code.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

/// A file to be written.
#[derive(Debug)]
pub struct Hostile {
    /// Its name; the extension is that of the format it pretends to be.
    pub name: String,
    /// How it begins.
    pub bytes: Vec<u8>,
    /// How long it is, where longer: zeros that take no room on the disk.
    pub length: u64,
    /// Whether a change so small may go unnoticed; it must end in order all the same.
    pub may_pass: bool,
}

/// One good file a format.
const GOOD: [&str; 10] = [
    "onnx/conv1d.dynamo.onnx",
    "onnx/article.onnx",
    "onnx/article.safetensors",
    "torch/vae.pt",
    "torch/vae_legacy.pt",
    "keras/dense_vae.keras",
    "keras/dense_vae_keras2.h5",
    "tflite/vae_fp32.tflite",
    "tflite/dense_int8.tflite",
    "../../models/fan-vae/fan-vae.pvae",
];
/// A file that no device's model is as long as.
const ABSURD: u64 = 8 << 30;

/// Every one of them.
pub fn files() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut random = ChaCha8Rng::seed_from_u64(4);
    for path in GOOD {
        let good = fixture(path);
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let mut add = |what: &str, bytes: Vec<u8>, may_pass| {
            all.push(Hostile { name: format!("{what}-{name}"), bytes, length: 0, may_pass });
        };
        for eighth in 0..8 {
            add(&format!("truncated{eighth}"), good[..good.len() * eighth / 8].to_vec(), false);
        }
        for turn in 0..6 {
            let mut bytes = good.clone();
            for _ in 0..=turn {
                let at = random.random_range(0..bytes.len().min(4096));
                bytes[at] = random.random();
            }
            add(&format!("scribbled{turn}"), bytes, true);
        }
        let prefix = good[..good.len() / 2].to_vec();
        let length = ABSURD;
        all.push(Hostile {
            name: format!("sparse-{name}"),
            bytes: prefix,
            length,
            may_pass: false,
        });
    }
    let made = [torch(), onnx(), keras(), safetensors()].concat();
    all.extend(made.into_iter().map(|(name, bytes)| Hostile {
        name: name.to_string(),
        bytes,
        length: 0,
        may_pass: false,
    }));
    all
}

type Named = (&'static str, Vec<u8>);

fn fixture(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A zip archive of entries, each a text and how many zeros follow.
fn archive(entries: &[(&str, &[u8], usize)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes, zeros) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
        for _ in 0..zeros >> 20 {
            zip.write_all(&vec![0; 1 << 20]).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// Pickles: code, bombs, depth, tensors outside of their storage.
fn torch() -> Vec<Named> {
    let pickle = |pickle: &[u8]| archive(&[("x/data.pkl", pickle, 0), ("x/data/0", &[0; 64], 0)]);
    let text =
        |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let int = |n: i64| [&[0x8a, 8], &n.to_le_bytes()[..]].concat();
    let deep = |open: &[u8], n: usize| [b"\x80\x02)", &open.repeat(n)[..], b"."].concat();
    let tensor = |len: i64, shape: i64, stride: i64| {
        let pair = |a: i64, b: i64| [&b"("[..], &int(a), &int(b), b"t"].concat();
        [
            &b"\x80\x02}"[..],
            &text("encoder.0.weight"),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            &int(len),
            b"tQ",
            &int(0),
            &pair(shape, shape),
            &pair(stride, 1),
            b"\x89NtRs.",
        ]
        .concat()
    };
    let laugh = [
        &b"\x80\x02)q\x00"[..],
        &b"0(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00tq\x00".repeat(60),
        b".",
    ];
    let copies = [
        &b"\x80\x02("[..],
        &b"K\x01".repeat(100_000),
        b"tq\x000",
        &b"cbuiltins\ntuple\nh\x00\x85R0".repeat(100),
        b".",
    ];
    let itself = [&b"\x80\x02}q\x00"[..], &text("state_dict"), b"h\x00s."];
    vec![
        ("code.pt", pickle(&[&b"\x80\x02cos\nsystem\n"[..], &text("true"), b"\x85R."].concat())),
        ("eval.pt", pickle(&[&b"\x80\x02cbuiltins\neval\n"[..], &text("1"), b"\x85R."].concat())),
        ("deep.pt", pickle(&deep(b"\x85", 900_000))),
        ("marks.pt", pickle(&deep(b"(", 900_000))),
        ("lists.pt", pickle(&deep(b"]", 4_000_000))),
        ("laughs.pt", pickle(&laugh.concat())),
        ("copies.pt", pickle(&copies.concat())),
        ("itself.pt", pickle(&itself.concat())),
        ("outside.pt", pickle(&tensor(16, 1 << 40, 1 << 40))),
        ("repeated.pt", pickle(&tensor(16, 1 << 20, 0))),
        ("storage.pt", pickle(&tensor(1 << 60, 4, 4))),
        ("bomb.pt", archive(&[("x/data.pkl", b"\x80\x02", 280 << 20)])),
        (
            "bomb-weights.pt",
            archive(&[("x/data.pkl", &tensor(1 << 26, 4, 4), 0), ("x/data/0", &[], 280 << 20)]),
        ),
    ]
}

/// Protocol buffers by hand: a field of bytes, a number, a run of them.
fn onnx() -> Vec<Named> {
    fn varint(mut n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n > 127 {
            bytes.push(n as u8 | 128);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    }
    let field = |tag: u64, bytes: &[u8]| {
        [varint(tag << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
    };
    let number = |tag: u64, n: u64| [varint(tag << 3), varint(n)].concat();
    let model = |graph: &[u8]| {
        let opset = field(8, &number(2, 17));
        [number(1, 8), field(7, graph), opset].concat()
    };
    let node = |op: &str, inputs: &[&str], output: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
        field(1, &[inputs, field(2, output.as_bytes()), field(4, op.as_bytes())].concat())
    };
    let dims = |dims: &[u64]| -> Vec<u8> {
        dims.iter().flat_map(|dim| field(1, &number(1, *dim))).collect()
    };
    let value = |tag: u64, name: &str, shape: &[u64]| {
        let tensor = [number(1, 1), field(2, &dims(shape))].concat();
        field(tag, &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat())
    };
    let ints = |name: &str, values: &[u64]| {
        let data: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        let head = [number(1, values.len() as u64), number(2, 7), field(8, name.as_bytes())];
        field(5, &[head.concat(), field(9, &data)].concat())
    };
    let (x, y) = (value(11, "x", &[1, 64]), value(12, "y", &[1, 64]));
    let graph = |parts: &[Vec<u8>]| model(&[&parts.concat()[..], &x, &y].concat());
    let chain = |op: &str, more: &[&str], n: usize| {
        let nodes = (0..n).map(|i| {
            let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
            node(op, &[&[from.as_str()], more].concat(), &to)
        });
        nodes.collect::<Vec<_>>().concat()
    };
    let nested = (0..20_000).fold(Vec::new(), |inner, _| {
        // A node whose attribute holds a graph.
        let attribute = [field(1, b"then_branch"), field(6, &inner), number(20, 5)].concat();
        let node = [field(4, b"If"), field(5, &attribute)].concat();
        let graph = field(1, &node);
        if graph.len() > 1 << 20 { inner } else { graph }
    });
    let start = ints("v0", &[1 << 19, 8]);
    let large = [
        start.clone(),
        node("ConstantOfShape", &["v0"], "c"),
        node("Shape", &["c"], "s"),
        ints("f", &[2, 1]),
        node("Tile", &["c", "f"], "t"),
    ];
    let grow = (0..200).map(|i| {
        let (from, to) = (format!("g{i}"), format!("g{}", i + 1));
        node("Concat", &[&from, &from], &to)
    });
    vec![
        ("empty-nodes.onnx", model(&[0x0a, 0x00].repeat(1 << 20))),
        ("cycle.onnx", graph(&[node("Relu", &["y"], "h"), node("Relu", &["h"], "y")])),
        ("nested.onnx", model(&nested)),
        ("folds.onnx", graph(&[ints("v0", &[1; 4096]), chain("Neg", &[], 19_000)])),
        ("squares.onnx", graph(&[ints("v0", &[3; 4096]), chain("Mul", &["v0"], 19_000)])),
        ("reductions.onnx", graph(&large)),
        ("doubling.onnx", graph(&[ints("g0", &[1; 64]), grow.collect::<Vec<_>>().concat()])),
        ("long.onnx", graph(&[node("Identity", &["x"], "v0"), chain("Relu", &[], 19_999)])),
        ("sums.onnx", graph(&[node("Identity", &["x"], "v0"), chain("Add", &["x"], 19_999)])),
        ("wide.onnx", model(&[value(11, "x", &[1, 1 << 40]), y.clone()].concat())),
        ("axes.onnx", model(&[value(11, "x", &[1; 4000]), y.clone()].concat())),
        ("varints.onnx", [vec![0x08], vec![0xff; 4 << 20]].concat()),
    ]
}

/// Configurations in Keras' archives, and bombs.
fn keras() -> Vec<Named> {
    let good = fixture("keras/dense_vae.keras");
    let mut zip = ZipArchive::new(Cursor::new(&good)).unwrap();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (config, weights) = (read("config.json"), read("model.weights.h5"));
    let text = String::from_utf8(config.clone()).unwrap();
    let with =
        |config: &[u8]| archive(&[("config.json", config, 0), ("model.weights.h5", &weights, 0)]);
    let model = |inner: &str| {
        format!(r#"{{"class_name": "Sequential", "config": {{"name": "m", "layers": [{inner}]}}}}"#)
    };
    let input = r#"{"class_name": "InputLayer", "config": {"batch_shape": [null, 4]}}"#;
    let wide = vec![r#"{"class_name": "Flatten", "config": {}}"#; 1000].join(",");
    let wide = model(&format!("{input}, {}", vec![model(&wide); 100].join(",")));
    let deep = (0..100).fold(input.to_string(), |inner, _| model(&inner));
    let cyclic = text.replace(r#"["dense", 0, 0]"#, r#"["z_mean", 0, 0]"#);
    assert_ne!(cyclic, text);
    vec![
        ("cycle.keras", with(cyclic.as_bytes())),
        ("lengths.keras", with(text.replace("12", "4000000000000").as_bytes())),
        ("brackets.keras", with("[".repeat(1_000_000).as_bytes())),
        ("deep.keras", with(model(&format!("{input}, {deep}")).as_bytes())),
        ("wide.keras", with(wide.as_bytes())),
        ("bomb.keras", archive(&[("config.json", b"{", 280 << 20)])),
        (
            "bomb-weights.keras",
            archive(&[
                ("config.json", &config, 0),
                ("model.weights.h5", &weights[..512], 280 << 20),
            ]),
        ),
    ]
}

/// Headers that lie.
fn safetensors() -> Vec<Named> {
    let with =
        |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let tensor = |shape: &str, offsets: &str| {
        with(&format!(
            r#"{{"encoder.0.weight":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#
        ))
    };
    let many: Vec<String> = (0..50_000)
        .map(|i| format!(r#""t{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    vec![
        ("header.safetensors", [&u64::MAX.to_le_bytes()[..], b"{"].concat()),
        ("length.safetensors", [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat()),
        ("shape.safetensors", tensor("[18446744073709551615,2]", "[0,8]")),
        ("offsets.safetensors", tensor("[1]", "[0,9223372036854775807]")),
        ("brackets.safetensors", with(&format!("{{{}", "[".repeat(1_000_000)))),
        ("many.safetensors", with(&format!("{{{}}}", many.join(",")))),
    ]
}
