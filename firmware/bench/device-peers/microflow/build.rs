//! Writes the autoencoder as a `.tflite` file, and the struct that microflow's macro reads it for.
//!
//! Field numbers are those of TensorFlow Lite's `schema.fbs`.

use std::path::Path;
use std::{env, fs};

use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, UnionWIPOffset, WIPOffset};

type Table = WIPOffset<TableFinishedWIPOffset>;
type Any = WIPOffset<UnionWIPOffset>;

const WIDTHS: [usize; 11] = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
const INT32: i8 = 2;
const INT8: i8 = 9;
const FULLY_CONNECTED: i8 = 9;
const FULLY_CONNECTED_OPTIONS: u8 = 8;

/// A field of a table.
enum Field {
    Offset(Any),
    Byte(i8),
    Unsigned(u8),
    Word(u32),
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let path = Path::new(&out).join("ad.tflite");
    fs::write(&path, model()).expect("OUT_DIR is writable");
    let source =
        format!("#[microflow::model({:?})]\npub struct Autoencoder;\n", path.display().to_string());
    fs::write(Path::new(&out).join("autoencoder.rs"), source).expect("OUT_DIR is writable");
}

/// Slot `n` of a table lies at byte `4 + 2n` of its vtable.
fn table(builder: &mut FlatBufferBuilder<'_>, fields: &[(u16, Field)]) -> Any {
    let start = builder.start_table();
    for (slot, field) in fields {
        let slot = 4 + 2 * slot;
        match *field {
            Field::Offset(offset) => builder.push_slot_always(slot, offset),
            Field::Byte(byte) => builder.push_slot_always(slot, byte),
            Field::Unsigned(byte) => builder.push_slot_always(slot, byte),
            Field::Word(word) => builder.push_slot_always(slot, word),
        }
    }
    let table: Table = builder.end_table(start);
    table.as_union_value()
}

struct Writer<'a> {
    builder: FlatBufferBuilder<'a>,
    buffers: Vec<Any>,
    tensors: Vec<Any>,
    state: u32,
}

impl Writer<'_> {
    fn draw(&mut self) -> i8 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state >> 16) as i8
    }

    /// Buffer: data 0.
    fn buffer(&mut self, data: &[u8]) {
        let data = Field::Offset(self.builder.create_vector(data).as_union_value());
        let buffer = table(&mut self.builder, &[(0, data)]);
        self.buffers.push(buffer);
    }

    /// Quantization: scale 2, zero point 3. Tensor: shape 0, type 1, buffer 2, quantization 4. Buffer 0 is the empty one.
    fn tensor(&mut self, shape: &[i32], kind: i8, scale: f32, zero_point: i64, data: &[u8]) -> i32 {
        let buffer = if data.is_empty() { 0 } else { self.buffers.len() as u32 };
        if !data.is_empty() {
            self.buffer(data);
        }
        let builder = &mut self.builder;
        let scale = Field::Offset(builder.create_vector(&[scale]).as_union_value());
        let zero_point = Field::Offset(builder.create_vector(&[zero_point]).as_union_value());
        let quantization = Field::Offset(table(builder, &[(2, scale), (3, zero_point)]));
        let shape = Field::Offset(builder.create_vector(shape).as_union_value());
        let fields =
            [(0, shape), (1, Field::Byte(kind)), (2, Field::Word(buffer)), (4, quantization)];
        let tensor = table(builder, &fields);
        self.tensors.push(tensor);
        self.tensors.len() as i32 - 1
    }
}

fn model() -> Vec<u8> {
    let builder = FlatBufferBuilder::new();
    let mut writer = Writer { builder, buffers: Vec::new(), tensors: Vec::new(), state: 1 };
    writer.buffer(&[]);
    let scale = 0.05;
    let mut x = writer.tensor(&[1, WIDTHS[0] as i32], INT8, scale, 3, &[]);
    let first = x;
    let mut operators = Vec::new();
    for pair in WIDTHS.windows(2) {
        let (inputs, outputs) = (pair[0], pair[1]);
        let of_weights = 0.01 / (inputs as f32).sqrt();
        let weights: Vec<u8> = (0..inputs * outputs).map(|_| writer.draw() as u8).collect();
        let bias: Vec<u8> =
            (0..outputs).flat_map(|_| (16 * i32::from(writer.draw())).to_le_bytes()).collect();
        let weights =
            writer.tensor(&[outputs as i32, inputs as i32], INT8, of_weights, 0, &weights);
        let bias = writer.tensor(&[outputs as i32], INT32, of_weights * scale, 0, &bias);
        let relu = outputs == 128;
        let y = writer.tensor(&[1, outputs as i32], INT8, scale, if relu { -128 } else { 0 }, &[]);
        // FullyConnectedOptions: activation 0. Operator: inputs 1, outputs 2, options' type 3, options 4.
        let builder = &mut writer.builder;
        let options = Field::Offset(table(builder, &[(0, Field::Byte(i8::from(relu)))]));
        let ins = Field::Offset(builder.create_vector(&[x, weights, bias]).as_union_value());
        let outs = Field::Offset(builder.create_vector(&[y]).as_union_value());
        let kind = Field::Unsigned(FULLY_CONNECTED_OPTIONS);
        operators.push(table(builder, &[(1, ins), (2, outs), (3, kind), (4, options)]));
        x = y;
    }
    let Writer { mut builder, buffers, tensors, .. } = writer;
    let builder = &mut builder;
    // SubGraph: tensors 0, inputs 1, outputs 2, operators 3. Code: old number 0, version 2, number 3.
    let tensors = Field::Offset(builder.create_vector(&tensors).as_union_value());
    let operators = Field::Offset(builder.create_vector(&operators).as_union_value());
    let ins = Field::Offset(builder.create_vector(&[first]).as_union_value());
    let outs = Field::Offset(builder.create_vector(&[x]).as_union_value());
    let graph = table(builder, &[(0, tensors), (1, ins), (2, outs), (3, operators)]);
    let number = Field::Word(FULLY_CONNECTED as u32);
    let code =
        table(builder, &[(0, Field::Byte(FULLY_CONNECTED)), (2, Field::Word(1)), (3, number)]);
    // Model: version 0, codes 1, graphs 2, buffers 4.
    let codes = Field::Offset(builder.create_vector(&[code]).as_union_value());
    let graphs = Field::Offset(builder.create_vector(&[graph]).as_union_value());
    let buffers = Field::Offset(builder.create_vector(&buffers).as_union_value());
    let root = table(builder, &[(0, Field::Word(3)), (1, codes), (2, graphs), (4, buffers)]);
    builder.finish(root, Some("TFL3"));
    builder.finished_data().to_vec()
}
