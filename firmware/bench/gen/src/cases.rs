//! The networks: benchmarks by name, and the conformance suite.

use picovae_core::fixed::Rounding;
use picovae_core::model::wire::op;

use crate::{Kind, Layer, Net, Random, Values};

fn relu(outputs: usize) -> Layer {
    Layer { kind: Kind::Dense, outputs, short: true, clamp: None, table: false, zero_point: -128 }
}

fn dense(name: &str, inputs: usize, encoder: &[usize], latent: usize, decoder: &[usize]) -> Net {
    let layers = |widths: &[usize]| widths.iter().map(|&width| relu(width)).collect();
    Net {
        name: name.into(),
        inputs,
        encoder: layers(encoder),
        decoder: layers(decoder),
        latent,
        rounding: Rounding::Double,
        values: Values::Random,
        pruned: 0,
        seed: 1,
    }
}

/// The benchmark networks of issue 3.
pub fn benchmarks() -> Vec<Net> {
    vec![
        dense("ad", 640, &[128, 128, 128, 128, 8], 8, &[128, 128, 128, 128, 640]),
        dense("sensor", 64, &[32, 16, 8], 4, &[16, 32, 64]),
        dense("small", 64, &[32, 16, 4], 4, &[16, 32, 64]),
    ]
}

/// Both: 4-bit weights with pruned blocks.
pub fn sparse_nibbles() -> Vec<Net> {
    let nets = sparse().into_iter().step_by(2);
    nets.map(|net| Net { name: format!("{}-nibbles", net.name), values: Values::Nibbles, ..net })
        .collect()
}

/// The autoencoder again with half and three quarters of its blocks pruned, and with 4-bit weights.
pub fn compressed() -> Vec<Net> {
    let named = |name: &str| Net { name: name.into(), ..benchmarks().swap_remove(0) };
    vec![
        Net { pruned: 50, ..named("ad-sparse-50") },
        Net { pruned: 75, ..named("ad-sparse-75") },
        Net { values: Values::Nibbles, ..named("ad-4bit") },
        Net { values: Values::Nibbles, pruned: 50, ..named("ad-4bit-sparse-50") },
    ]
}

/// The article's VAE: 784-512-256-2x20 and back.
pub fn article() -> Net {
    dense("article", 784, &[512, 256, 40], 20, &[256, 512, 784])
}

/// Networks around every lane width: sizes, clamps, tables, zero points,
/// shifts, roundings and extremes, all drawn; four to five layers each.
pub fn conformance() -> Vec<Net> {
    let mut nets = Vec::new();
    for seed in 0..90 {
        let mut random = Random::new(1000 + seed);
        let mut size = |max: i64| random.range(1, max) as usize;
        // The first nets walk through all lengths around 4, 8, 16 and 32.
        let inputs = match seed {
            0..45 => 1 + seed as usize,
            45..50 => [255, 256, 257, 260, 513][seed as usize - 45],
            _ => size(80),
        };
        let latent = size(9);
        let widths = [size(40), size(20), size(20), size(40)];
        let wide_head = random.bits() & 1 == 0;
        let mut layer = |outputs: usize| {
            let low = random.range(-128, 127) as i8;
            Layer {
                kind: Kind::Dense,
                outputs,
                short: !random.bits().is_multiple_of(4),
                clamp: (random.bits().is_multiple_of(4))
                    .then(|| (low, low.max(random.range(-128, 127) as i8))),
                table: random.bits().is_multiple_of(4),
                zero_point: random.range(-128, 127) as i8,
            }
        };
        let head = if wide_head { 2 * latent } else { latent };
        nets.push(Net {
            name: format!("case-{seed}"),
            inputs,
            encoder: vec![layer(widths[0]), layer(widths[1]), layer(head)],
            decoder: vec![layer(widths[2]), layer(widths[3]), layer(inputs)],
            latent,
            rounding: if random.bits() & 1 == 0 { Rounding::Double } else { Rounding::Single },
            values: if random.bits().is_multiple_of(3) { Values::Extreme } else { Values::Random },
            pruned: 0,
            seed,
        });
    }
    nets
}

/// Some of those, and convolutions, with weights of 4 bits: lengths around the eight columns of a word.
pub fn nibbles() -> Vec<Net> {
    let windows = convolutions().into_iter().skip(3).step_by(2);
    let nets = conformance().into_iter().step_by(4).chain(windows);
    nets.map(|net| Net { name: format!("nibbles-{}", net.name), values: Values::Nibbles, ..net })
        .collect()
}

/// Some of those, and convolutions, with pruned blocks: none, some, all of them.
pub fn sparse() -> Vec<Net> {
    let windows = convolutions().into_iter().skip(3).step_by(3);
    let mut nets: Vec<Net> = conformance().into_iter().skip(1).step_by(4).chain(windows).collect();
    // Rows beyond the blocks after which M0+ has to empty its sums.
    nets.push(dense("long", 519, &[22, 16], 8, &[12, 519]));
    nets.push(dense("longer", 784, &[8, 4], 4, &[4, 784]));
    let pruned = [50, 0, 75, 20, 100, 90];
    nets.into_iter()
        .zip(pruned.into_iter().cycle())
        .map(|(net, pruned)| Net { name: format!("sparse-{pruned}-{}", net.name), pruned, ..net })
        .collect()
}

fn windowed(
    op: u8,
    input: [u16; 3],
    output: [u16; 3],
    kernel: [u8; 2],
    stride: [u8; 2],
    padding: [u8; 2],
) -> Layer {
    let outputs = output.iter().map(|&n| usize::from(n)).product();
    Layer { kind: Kind::Windowed { op, input, output, kernel, stride, padding }, ..relu(outputs) }
}

fn around(name: &str, layers: Vec<Layer>, rounding: Rounding) -> Net {
    let inputs = match layers[0].kind {
        Kind::Windowed { input, .. } => input.iter().map(|&n| usize::from(n)).product(),
        Kind::Dense => 1,
    };
    let mut net = dense(name, inputs, &[], 2, &[inputs]);
    net.encoder = layers;
    net.encoder.push(relu(2));
    net.rounding = rounding;
    net
}

/// The convolutions of issue 3, each the first layer of a network.
pub fn convolutions() -> Vec<Net> {
    let conv = |name: &str, op, input, output, padding: u8| {
        let layer = windowed(op, input, output, [5, 1], [2, 1], [padding, 0]);
        around(name, vec![layer], Rounding::Double)
    };
    let mut nets = vec![
        conv("conv-a", op::CONVOLUTION, [64, 1, 16], [32, 1, 32], 2),
        conv("conv-b", op::CONVOLUTION, [128, 1, 3], [64, 1, 16], 2),
        conv("tconv-a", op::TRANSPOSED_CONVOLUTION, [32, 1, 32], [64, 1, 16], 2),
    ];
    let chain = vec![
        windowed(op::CONVOLUTION, [9, 7, 3], [5, 7, 6], [3, 2], [2, 1], [1, 1]),
        windowed(op::DEPTHWISE_CONVOLUTION, [5, 7, 6], [5, 4, 6], [3, 3], [1, 2], [1, 1]),
        windowed(op::MAX_POOL, [5, 4, 6], [3, 2, 6], [2, 2], [2, 2], [1, 0]),
        windowed(op::TRANSPOSED_CONVOLUTION, [3, 2, 6], [6, 5, 5], [3, 3], [2, 2], [1, 0]),
        windowed(op::TRANSPOSED_CONVOLUTION, [6, 5, 5], [12, 5, 2], [1, 2], [2, 1], [0, 1]),
        windowed(op::AVERAGE_POOL, [12, 5, 2], [4, 2, 2], [3, 3], [3, 2], [0, 1]),
    ];
    nets.push(around("windows-double", chain.clone(), Rounding::Double));
    let mut odd = chain;
    for layer in &mut odd {
        layer.zero_point = 5;
        layer.clamp = Some((-100, 90));
        layer.table = true;
    }
    odd[3].short = false;
    nets.push(around("windows-single", odd, Rounding::Single));
    nets.extend((0..12).map(strip));
    nets
}

/// Channel by channel: a depthwise convolution in 1-D and 2-D, both pools; each the first layer of a network.
pub fn channelwise() -> Vec<Net> {
    let layer = |name: &str, op, input, output, kernel, stride, padding| {
        let layer = windowed(op, input, output, kernel, stride, padding);
        around(name, vec![layer], Rounding::Double)
    };
    let (depthwise, one, two) = (op::DEPTHWISE_CONVOLUTION, [64, 1, 16], [32, 1, 16]);
    let square = [8, 8, 16];
    vec![
        layer("dw-a", depthwise, one, one, [5, 1], [1, 1], [2, 0]),
        layer("dw-b", depthwise, square, square, [3, 3], [1, 1], [1, 1]),
        layer("max-pool", op::MAX_POOL, one, two, [2, 1], [2, 1], [0, 0]),
        layer("average-pool", op::AVERAGE_POOL, one, two, [2, 1], [2, 1], [0, 0]),
    ]
}

/// 1-D convolutions with a fused ReLU: whole strips on some backends. Lengths, kernels and strides are drawn.
fn strip(seed: u64) -> Net {
    let mut random = Random::new(500 + seed);
    let mut of = |low: i64, high: i64| random.range(low, high) as u16;
    let (length, channels, wide) = (of(5, 20), of(1, 9), 4 * of(1, 3));
    let (kernel, stride, last) = (of(1, 5), of(1, 3), 4 * of(1, 2));
    let padding = of(0, i64::from(kernel) - 1);
    let between = (length + padding - 1) / stride + 1 - of(0, 1);
    let back = (between - 1) * stride + kernel.max(stride) - padding;
    let (kernel, stride) = ([kernel as u8, 1], [stride as u8, 1]);
    let padding = [padding as u8, 0];
    let (first, middle, end) = ([length, 1, channels], [between, 1, wide], [back, 1, last]);
    let mut layers = vec![
        windowed(op::CONVOLUTION, first, middle, kernel, stride, padding),
        windowed(op::TRANSPOSED_CONVOLUTION, middle, end, kernel, stride, padding),
    ];
    layers[0].table = seed.is_multiple_of(3);
    layers[1].clamp = seed.is_multiple_of(4).then_some((-128, 40));
    let rounding = if seed.is_multiple_of(2) { Rounding::Double } else { Rounding::Single };
    let mut net = around(&format!("strip-{seed}"), layers, rounding);
    net.seed = seed;
    net.values = if seed.is_multiple_of(5) { Values::Extreme } else { Values::Random };
    net
}
