//! From a list of layers to a blob, without the host tools.

use picovae_core::arena::align_up;
use picovae_core::fixed::{Rounding, wide::Factor};
use picovae_core::model::packing::has_numbers_apart;
use picovae_core::model::wire::{self, Description, HEADER_LEN, Header, LayerRecord, Span};
use picovae_core::score::ScoreKind;

use crate::Random;
use crate::pack::{self, Rows};

/// How weights and inputs are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Uniform.
    Random,
    /// Only the extremes.
    Extreme,
    /// Weights of 4 bits.
    Nibbles,
}

/// What a layer does; windowed ones state `[length, width, channels]`, kernel, stride and padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Dense,
    Windowed {
        op: u8,
        input: [u16; 3],
        output: [u16; 3],
        kernel: [u8; 2],
        stride: [u8; 2],
        padding: [u8; 2],
    },
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub kind: Kind,
    /// Elements.
    pub outputs: usize,
    /// All shifts to the right; otherwise `-31..=3`, mixed.
    pub short: bool,
    pub clamp: Option<(i8, i8)>,
    pub table: bool,
    pub zero_point: i8,
}

/// A network.
#[derive(Clone, Debug)]
pub struct Net {
    pub name: String,
    pub inputs: usize,
    pub encoder: Vec<Layer>,
    pub decoder: Vec<Layer>,
    pub latent: usize,
    pub rounding: Rounding,
    pub values: Values,
    /// Percent of the blocks (four rows by sixteen columns) that are all zero.
    pub pruned: u8,
    pub seed: u64,
}

#[derive(Default)]
struct Payload(Vec<u8>);

impl Payload {
    fn push(&mut self, bytes: &[u8], alignment: usize) -> Span {
        self.0.resize(self.0.len().next_multiple_of(alignment), 0);
        let offset = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Span { offset, len: bytes.len() as u32 }
    }
}

/// The blob of `net` in a packing.
pub fn write(net: &Net, packing: u8) -> Vec<u8> {
    let mut random = Random::new(net.seed);
    let mut payload = Payload::default();
    let mut records = Vec::new();
    let mut work = 0;
    for (decoder, layers) in [(false, &net.encoder), (true, &net.decoder)] {
        let mut inputs = if decoder { net.latent } else { net.inputs };
        for (index, layer) in layers.iter().enumerate() {
            let last = index + 1 == layers.len();
            let record = record(net, layer, inputs, last, packing, &mut random, &mut payload);
            let scratch = scratch(layer, inputs, record.packing);
            records.push(record);
            let reads = if decoder || index > 0 { align_up(inputs) } else { 0 };
            let bytes = if last { 2 * layer.outputs } else { layer.outputs };
            let writes = if decoder || !last { align_up(bytes) } else { 0 };
            work = work.max(reads + align_up(scratch) + writes);
            inputs = layer.outputs;
        }
    }
    let head = net.encoder.last().map_or(0, |layer| layer.outputs);
    let arena_len = align_up(net.inputs) + align_up(2 * head) + work;
    let layers = payload.push(bytemuck::cast_slice(&records), 4);
    let offset = payload.push(bytemuck::bytes_of(&0i32), 4).offset;
    let multiplier = payload.push(bytemuck::bytes_of(&(1i32 << 30)), 4).offset;
    let shift = payload.push(&[0xf9], 1).offset;
    let factor = Factor { multiplier: 1 << 30, shift: 30 };
    let precision = payload.push(&vec![1; 2 * net.inputs], 4).offset;
    let description = Description {
        name: &net.name,
        provenance: wire::Provenance { source: "random", source_sha256: "", tool: "bench-gen" },
        target: "",
        rounding: net.rounding,
        frontend: wire::Frontend {
            window_len: net.inputs as u16,
            hop: 1,
            channels: 1,
            remove_mean: false,
            lsb: 0,
            offset,
            multiplier,
            shift,
            zero_point: 0,
            scale_bits: 0,
        },
        layers,
        encoder_len: net.encoder.len() as u16,
        latent: wire::Latent {
            len: net.latent as u16,
            has_logvar: head == 2 * net.latent,
            mu_frac_bits: 8,
            logvar_frac_bits: 12,
            z_multiplier: 1_500_000_001,
            z_shift: -2,
            z_zero_point: 3,
        },
        likelihood: wire::Likelihood::Gaussian { precision, factor, constant: 0 },
        score: ScoreKind::ReconstructionError,
        mean_square: factor,
        threshold: None,
        calibration: wire::Calibration::default(),
        arena_len: arena_len as u32,
    };
    let description = postcard::to_allocvec(&description).expect("a description serializes");
    let mut blob = vec![0; HEADER_LEN];
    blob.extend(&description);
    blob.resize(blob.len().next_multiple_of(16), 0);
    blob.extend(&payload.0);
    let mut header = Header {
        magic: wire::MAGIC,
        version: 1,
        reserved: 0,
        total_len: blob.len() as u32,
        crc32: 0,
        description_len: description.len() as u32,
        sections: Span::default(),
        padding: [0; 4],
    };
    blob[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    header.crc32 = wire::checksum(&blob);
    blob[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
    blob
}

/// As `picovae_core::kernels::scratch_len`, from the shapes alone.
fn scratch(layer: &Layer, inputs: usize, packing: u8) -> usize {
    let wide = |inputs: usize| match packing & wire::packing::SPARSE {
        0 => 2 * inputs,
        _ => inputs.div_ceil(16) * 40,
    };
    let Kind::Windowed { op, input, kernel, stride, .. } = layer.kind else {
        return wide(inputs);
    };
    let taps = |axis: usize| match op {
        wire::op::TRANSPOSED_CONVOLUTION => kernel[axis].div_ceil(stride[axis]),
        _ => kernel[axis],
    };
    let patch = usize::from(taps(0)) * usize::from(taps(1)) * usize::from(input[2]);
    match op {
        wire::op::CONVOLUTION | wire::op::TRANSPOSED_CONVOLUTION => align_up(patch) + wide(patch),
        _ => 0,
    }
}

/// Rows and columns of each matrix of a layer.
fn matrices(layer: &Layer, inputs: usize) -> Vec<(usize, usize)> {
    let Kind::Windowed { op, input, output, kernel, stride, .. } = layer.kind else {
        return vec![(layer.outputs, inputs)];
    };
    let (channels, rows) = (usize::from(input[2]), usize::from(output[2]));
    match op {
        wire::op::CONVOLUTION => {
            vec![(rows, usize::from(kernel[0]) * usize::from(kernel[1]) * channels)]
        }
        wire::op::DEPTHWISE_CONVOLUTION => {
            vec![(rows, usize::from(kernel[0]) * usize::from(kernel[1]))]
        }
        wire::op::TRANSPOSED_CONVOLUTION => {
            let taps = |axis: usize, phase: u8| {
                usize::from(kernel[axis].saturating_sub(phase).div_ceil(stride[axis]))
            };
            let phases = (0..stride[0]).flat_map(|l| (0..stride[1]).map(move |w| (l, w)));
            phases.map(|(l, w)| (rows, taps(0, l) * taps(1, w) * channels)).collect()
        }
        _ => Vec::new(),
    }
}

fn record(
    net: &Net,
    layer: &Layer,
    inputs: usize,
    last: bool,
    packing: u8,
    random: &mut Random,
    payload: &mut Payload,
) -> LayerRecord {
    let mut record = LayerRecord {
        op: wire::op::FULLY_CONNECTED,
        packing: wire::packing::ROW_MAJOR,
        input_zero_point: random.range(-128, 127) as i8,
        in_shape: [1, 1, inputs as u16],
        out_shape: [1, 1, layer.outputs as u16],
        kernel: [1, 1],
        stride: [1, 1],
        table: wire::NO_TABLE,
        output: wire::output::INT16,
        ..LayerRecord::default()
    };
    if let Kind::Windowed { op, input, output, kernel, stride, padding } = layer.kind {
        record.op = op;
        (record.in_shape, record.out_shape) = (input, output);
        (record.kernel, record.stride, record.padding) = (kernel, stride, padding);
    }
    let wanted = match record.op {
        wire::op::DEPTHWISE_CONVOLUTION if packing != wire::packing::NIBBLES => {
            wire::packing::ROW_MAJOR
        }
        _ => packing,
    };
    let matrices: Vec<Drawn> = matrices(layer, inputs)
        .into_iter()
        .map(|(outputs, inputs)| Drawn::new(net, layer, outputs, inputs, last, random))
        .collect();
    let rows: Vec<Rows<'_>> = matrices.iter().map(Drawn::rows).collect();
    let packed = pack::pack_layer(wanted, &rows);
    record.packing = packed.packing;
    record.flags = packed.flags;
    record.weights = payload.push(&packed.bytes, 16);
    if has_numbers_apart(record.packing) {
        let all = |of: fn(&Drawn) -> &[i32]| matrices.iter().flat_map(of).copied().collect();
        let (biases, multipliers): (Vec<i32>, Vec<i32>) =
            (all(|m| &m.bias), all(|m| &m.multiplier));
        let shifts: Vec<i8> = matrices.iter().flat_map(|m| m.shift.clone()).collect();
        record.bias = payload.push(bytemuck::cast_slice(&biases), 4).offset;
        record.multiplier = payload.push(bytemuck::cast_slice(&multipliers), 4).offset;
        record.shift = payload.push(bytemuck::cast_slice(&shifts), 1).offset;
    }
    if !last {
        record.output = wire::output::INT8;
        record.output_zero_point = layer.zero_point;
        (record.clamp_min, record.clamp_max) = layer.clamp.unwrap_or((-128, 127));
        if layer.table {
            let table: Vec<u8> = (0..256).map(|_| random.bits() as u8).collect();
            record.table = payload.push(&table, 4).offset;
        }
    }
    record
}

/// A matrix of random weights with the numbers of its rows.
struct Drawn {
    inputs: usize,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i8>,
}

impl Drawn {
    fn new(
        net: &Net,
        layer: &Layer,
        outputs: usize,
        inputs: usize,
        last: bool,
        random: &mut Random,
    ) -> Self {
        let extreme = net.values == Values::Extreme;
        let mut weights: Vec<i8> = (0..inputs * outputs)
            .map(|_| match extreme {
                true if random.bits() & 1 == 0 => -127,
                true => 127,
                false if net.values == Values::Nibbles => random.range(-8, 7) as i8,
                false => random.range(-127, 127) as i8,
            })
            .collect();
        if net.pruned > 0 {
            prune(&mut weights, inputs, outputs, net.pruned, random);
        }
        let spread = if extreme { 200_000_000 } else { 20_000 };
        let bias = (0..outputs).map(|_| random.range(-spread, spread) as i32).collect();
        let multiplier =
            (0..outputs).map(|_| random.range(1 << 30, (1 << 31) - 1) as i32).collect();
        // Sums are some 5,000 * sqrt(inputs); most outputs should neither saturate nor vanish.
        let usual = 6 + (usize::BITS - inputs.leading_zeros()) as i64 / 2;
        let usual = if last { usual - 5 } else { usual };
        let shift = (0..outputs)
            .map(|_| match (layer.short, extreme) {
                (true, false) => -random.range((usual - 1).max(1), usual + 1) as i8,
                (true, true) => -random.range(1, 31) as i8,
                (false, false) => random.range(-usual, 3) as i8,
                (false, true) => random.range(-31, 0) as i8,
            })
            .collect();
        Self { inputs, weights, bias, multiplier, shift }
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            inputs: self.inputs,
            weights: &self.weights,
            bias: &self.bias,
            multiplier: &self.multiplier,
            shift: &self.shift,
        }
    }
}

/// Zeroes exactly `percent` of the blocks, rounded down, drawn.
fn prune(weights: &mut [i8], inputs: usize, outputs: usize, percent: u8, random: &mut Random) {
    let across = inputs.div_ceil(16);
    let mut blocks: Vec<usize> = (0..outputs.div_ceil(4) * across).collect();
    for _ in 0..blocks.len() * usize::from(percent) / 100 {
        let block = blocks.swap_remove(random.range(0, blocks.len() as i64 - 1) as usize);
        let (group, first) = (block / across, block % across * 16);
        for row in weights.chunks_mut(inputs).skip(4 * group).take(4) {
            row.iter_mut().skip(first).take(16).for_each(|weight| *weight = 0);
        }
    }
}
